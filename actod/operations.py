"""What an operator can ask of the running daemon: one entry for each command of the control socket."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

from actod import __version__
from actod.errors import RejectedError
from actod.parts import Parts
from actod.service.control import Operation
from actod.service.why import Standing, explain


def operations(parts: Parts) -> dict[str, Operation]:
    """Return every command by its name."""
    return {
        "status": Operation(run=lambda _arguments: _status(parts), changes=False),
        "why": Operation(run=lambda _arguments: _why(parts), changes=False),
        "pins": Operation(run=lambda _arguments: _pins(parts), changes=False),
        "credentials": Operation(run=lambda _arguments: _credentials(parts), changes=False),
        "credential_rotated": Operation(run=lambda arguments: _credential_rotated(parts, arguments), changes=True),
    }


async def _status(parts: Parts) -> Mapping[str, Any]:
    """Return what the daemon is about: states, and the store in numbers."""
    return {
        "version": __version__,
        "uplink": parts.uplink.state,
        "sealing_waits_for": parts.sealer.waiting,
        "store": dataclasses.asdict(await parts.spool.status()),
    }


async def _why(parts: Parts) -> Mapping[str, Any]:
    """Say why the oldest bundle has not left."""
    status = await parts.spool.status()
    standing = Standing(
        intake=parts.source.state,
        sealing_waits_for=parts.sealer.waiting,
        uplink_state=parts.uplink.state,
        uplink_why=parts.uplink.why,
        bundles=status.outbox_bundles,
        bulk_bundles=status.by_class.get("bulk", {}).get("waiting", 0),
        oldest_seconds=status.outbox_oldest_seconds,
        messages=status.journal_messages,
        quarantined=status.quarantined_bundles,
        bulk_is_held=bool(parts.uplink.held()),
    )
    return {"why": explain(standing), "state": parts.uplink.state}


async def _pins(parts: Parts) -> Mapping[str, Any]:
    """Return the pins in force, and where they come from."""
    pin_set, guard = parts.tls.pin_set, parts.tls.guard
    return {
        "pins": sorted(guard.pins),
        "version": pin_set.version if pin_set is not None else None,
        "expires": f"{pin_set.expires:%Y-%m-%d}" if pin_set is not None else None,
        "report_only": guard.report_only,
    }


async def _credentials(parts: Parts) -> Mapping[str, Any]:
    """Return each credential's age, and whether the server took what its file holds now (None: not asked)."""
    await asyncio.to_thread(parts.ages.look, parts.tls.guard.trusted_now())
    proven = {"collector.api_key_file": parts.client.key_proven}
    return {key: {**dataclasses.asdict(age), "proven": proven.get(key)} for key, age in parts.ages.ages.items()}


async def _credential_rotated(parts: Parts, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring a rotation, and what became of the old credential, into the audit log."""
    key, old = arguments.get("key"), arguments.get("old")
    if key not in parts.ages.files or old not in {"kept", "refused", "accepted", "unknown"}:
        raise RejectedError("request_malformed", "key is a credential of the configuration, old what became of it")
    parts.audit.record("credential.rotated", key=key, old=old)
    parts.uplink.wake()
    return {}
