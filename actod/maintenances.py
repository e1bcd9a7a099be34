"""What maintenance asks of the running daemon: to note a run, and to try each channel of alerts with its credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from actod import beside
from actod.errors import TransientError
from actod.parts import Parts
from actod.proof.envelope import iso
from actod.service.alerts import attempt
from actod.service.maintenance import note_run, run_of


async def note(parts: Parts, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bring a run of maintenance into the audit log (a failure is an alert) and to disk, for the status."""
    kind, run = str(arguments.get("kind")), run_of(arguments)
    try:
        await asyncio.to_thread(note_run, parts.config.state_directory, kind, run)
    except OSError as exc:
        raise TransientError("maintenance_unwritten", exc.strerror or "") from exc
    parts.audit.record(
        "maintenance.done",
        kind=kind,
        result=run.result,
        failed=list(run.failed),
        warned=list(run.warned),
        asked=list(run.asked),
    )
    return {"result": run.result}


async def test_alerts(parts: Parts) -> Mapping[str, Any]:
    """Send an alert of the kind `test` to each channel; return "" or a word for why it did not arrive, by channel."""
    wall_ns = parts.clock.now().wall_ns
    body: dict[str, Any] = {"alert": "test", "count": 1, "environment": parts.config.environment}
    body |= {"device": parts.spool.device, "at": iso(wall_ns), "facts": {}}
    channels = beside.webhooks(parts.config)
    reasons = await asyncio.gather(*(attempt(channel, body, wall_ns=wall_ns) for channel in channels))
    return {"channels": {channel.name: reason for channel, reason in zip(channels, reasons, strict=True)}}
