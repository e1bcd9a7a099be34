"""What an operator can ask of the running daemon: one entry for each command of the control socket."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from actod import __version__
from actod.parts import Parts
from actod.reload import Reloader
from actod.service.control import Operation


def operations(parts: Parts, reloader: Reloader) -> dict[str, Operation]:
    """Return every command by its name."""
    return {
        "reload": Operation(run=lambda _arguments: reloader.reload(), changes=True),
        "status": Operation(run=lambda _arguments: _status(parts), changes=False),
    }


async def _status(parts: Parts) -> Mapping[str, Any]:
    """Return what the daemon is about: states, and the store in numbers."""
    return {
        "version": __version__,
        "uplink": parts.uplink.state,
        "sealing_waits_for": parts.sealer.waiting,
        "store": dataclasses.asdict(await parts.spool.status()),
    }
