"""What an operator's stop of submission takes beside the hold itself: his commands, and the telling of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from actod.errors import TransientError
from actod.parts import Parts
from actod.proof.envelope import iso
from actod.submit.incident import Action

_LOOK_SECONDS = 2.0


async def act(parts: Parts, action: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stop submission, or let it go on. When this is answered, no further byte of a request leaves."""
    now = iso(parts.clock.now().wall_ns)
    await parts.hold.act(Action(action, str(arguments.get("reason", "")), now, int(arguments["uid"])))
    recorded = False
    with suppress(TransientError):  # the disk refuses: it is told as soon as it does not
        await _tell(parts)
        recorded = True
    parts.uplink.wake()
    return {"state": parts.uplink.state, "recorded": recorded}


async def follow(parts: Parts) -> None:
    """Take a lock that was set or ended beside us, and tell of each until the device's chain has it."""
    while True:
        before = parts.hold.locked
        await parts.hold.refresh()
        if parts.hold.locked != before:
            parts.uplink.wake()  # who waits for the end of a pause has a bundle in hand
        with suppress(TransientError):
            await _tell(parts)
        await asyncio.sleep(_LOOK_SECONDS)


async def _tell(parts: Parts) -> None:
    """Tell audit log, alerts and the device's chain what an operator did. Raises TransientError: the rest is told later."""
    async with parts.hold.telling:
        for action in parts.hold.incident.untold:
            facts = {"reason": action.reason, "uid": action.uid}
            if action not in parts.hold.told_of:
                parts.audit.record(f"incident.{action.action}ed", **facts)
                parts.hold.told_of.add(action)
            await parts.records.write("incident", action=action.action, asked_at=action.at, **facts)
            await parts.hold.told(action)
