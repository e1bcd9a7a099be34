"""What an operator can ask of the running daemon: one entry for each command of the control socket."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from actod import __version__, incidents, maintenances
from actod.errors import RejectedError, TransientError
from actod.keys.commands import commands
from actod.meters import Meters
from actod.parts import Parts
from actod.reload import Reloader
from actod.service.control import Operation
from actod.service.maintenance import standing
from actod.service.why import Standing, explain
from actod.submit.incident import LOCK, UNLOCK

_PAGE = 50  # bundles in one own record


def operations(parts: Parts, reloader: Reloader, meters: Meters) -> dict[str, Operation]:
    """Return every command by its name."""
    return {
        "reload": Operation(run=lambda _arguments: reloader.reload(), changes=True),
        "status": Operation(run=lambda _arguments: _status(parts, meters), changes=False),
        "why": Operation(run=lambda _arguments: _why(parts), changes=False),
        "queue.retry": Operation(run=partial(_retry, parts), changes=True),
        "queue.purge": Operation(run=partial(_purge, parts), changes=True),
        "incident.lock": Operation(run=partial(incidents.act, parts, LOCK), changes=True),
        "incident.unlock": Operation(run=partial(incidents.act, parts, UNLOCK), changes=True),
        "maintenance.note": Operation(run=partial(maintenances.note, parts), changes=True),
        "alert.test": Operation(run=lambda _arguments: maintenances.test_alerts(parts), changes=True),
        "pins": Operation(run=lambda _arguments: _pins(parts), changes=False),
        "credentials": Operation(run=lambda _arguments: _credentials(parts), changes=False),
        "credential_rotated": Operation(run=lambda arguments: _credential_rotated(parts, arguments), changes=True),
        **{name: Operation(run=run, changes=True) for name, run in commands(parts.key_life).items()},
    }


async def _status(parts: Parts, meters: Meters) -> Mapping[str, Any]:
    """Return what the daemon is about: states, and the store in numbers; the days are those at the pace since the start."""
    return {
        "version": __version__,
        "intake": parts.source.state,
        "uplink": parts.uplink.state,
        "incident": parts.hold.incident.told if parts.hold.locked else "",
        "maintenance": await asyncio.to_thread(standing, parts.config.state_directory, parts.clock),
        "sealing_waits_for": parts.sealer.waiting,
        "disk_refuses": parts.refused,
        "signer": await _signer(parts),
        **await meters.facts(),
        "audit": parts.audit.coverage(),
    }


async def _why(parts: Parts) -> Mapping[str, Any]:
    """Say why the oldest bundle has not left."""
    status = await parts.spool.status()
    standing = Standing(
        intake=parts.source.state,
        disk_refuses=parts.refused,
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


async def _retry(parts: Parts, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring quarantined bundles back, as they are: the same proof ids. The device's chain says who was given another try."""
    bundles = 0
    async for proof_ids in _named(parts, arguments):
        done = [proof_id for proof_id in proof_ids if await parts.spool.retry(proof_id)]
        if not done:
            break
        await parts.records.write("retry", bundles=done)
        bundles += len(done)
    return {"bundles": bundles}


async def _purge(parts: Parts, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Drop undelivered bundles; the device's chain names them, beside the ledger's count."""
    bundles = messages = 0
    async for proof_ids in _named(parts, arguments):
        done = {proof_id: count for proof_id in proof_ids if (count := await parts.spool.purge(proof_id))}
        if not done:
            break
        await parts.records.write("purge", bundles=list(done), messages=sum(done.values()))
        bundles, messages = bundles + len(done), messages + sum(done.values())
    return {"bundles": bundles, "messages": messages}


async def _named(parts: Parts, arguments: Mapping[str, Any]) -> AsyncIterator[list[str]]:
    """Yield the proof ids that a command names: one, or in pages all that were set aside for a reason."""
    if "proof_id" in arguments:
        yield [str(arguments["proof_id"])]
    else:
        while proof_ids := await parts.spool.quarantined(str(arguments.get("reason", "")), limit=_PAGE):
            yield proof_ids


async def _signer(parts: Parts) -> Mapping[str, Any]:
    """Return how often and how fast the token signs, its failures by reason, and how long a TPM stays locked."""
    try:
        return await parts.signer_client.stats()
    except TransientError as exc:
        return {"reason": exc.reason}


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
    proven |= {key: file.proven for key, file in parts.scope_keys.items()}
    return {key: {**dataclasses.asdict(age), "proven": proven.get(key)} for key, age in parts.ages.ages.items()}


async def _credential_rotated(parts: Parts, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring a rotation, and what became of the old credential, into the audit log."""
    key, old = arguments.get("key"), arguments.get("old")
    if key not in parts.ages.files or old not in {"kept", "refused", "accepted", "unknown"}:
        raise RejectedError("request_malformed", "key is a credential of the configuration, old what became of it")
    parts.audit.record("credential.rotated", key=key, old=old)
    parts.uplink.wake()
    return {}
