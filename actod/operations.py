"""What an operator can ask of the running daemon: one entry for each command of the control socket."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from actod import __version__
from actod.keys.commands import commands
from actod.parts import Parts
from actod.service.control import Operation


def operations(parts: Parts) -> dict[str, Operation]:
    """Return every command by its name."""
    return {
        "status": Operation(run=lambda _arguments: _status(parts), changes=False),
        **{name: Operation(run=run, changes=True) for name, run in commands(parts.key_life).items()},
    }


async def _status(parts: Parts) -> Mapping[str, Any]:
    """Return what the daemon is about: states, and the store in numbers."""
    return {
        "version": __version__,
        "uplink": parts.uplink.state,
        "sealing_waits_for": parts.sealer.waiting,
        "store": dataclasses.asdict(await parts.spool.status()),
    }
