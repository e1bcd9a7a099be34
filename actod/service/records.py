"""actod records itself: genesis, start, stop, digests, heartbeat. Journaled like any message, in the device's chain."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import Any, Protocol

from actod import __version__
from actod.model import Group, Reading, TrafficClass
from actod.ports import Clock, Masker, Spool
from actod.proof.envelope import iso

_INVENTORY = ("paho-mqtt", "orjson", "pynacl", "python-pkcs11", "httpx", "structlog")


class OwnRecords:
    """Writes actod's own events under robot_id null and task "actod"."""

    def __init__(self, *, masker: Masker, spool: Spool, clock: Clock) -> None:
        self._masker, self._spool, self._clock = masker, spool, clock

    async def write(self, kind: str, **data: Any) -> None:
        """Journal one record, durable on return. `kind` is a fixed word; `data` holds codes, counts and digests."""
        now = self._clock.now()
        reading = Reading(
            robot_id=None,
            task_id="actod",
            run_id=None,
            timestamp=iso(now.wall_ns),
            topic=f"actod/{kind}",
            data=data,
            route="_actod",
            mask_profile="secrets-only",
            traffic_class=TrafficClass.NORMAL,
            received=now,
        )
        await self._spool.commit(Group(readings=[self._masker.mask(reading)]))


class Numbers(Protocol):
    """What a heartbeat says of the store."""

    @property
    def journal_messages(self) -> int:
        """Return how many messages wait to be sealed."""

    @property
    def outbox_bundles(self) -> int:
        """Return how many bundles wait for the collector."""

    @property
    def quarantined_bundles(self) -> int:
        """Return how many bundles were set aside."""


def inventory() -> dict[str, str]:
    """Name the software that makes the record: part of what a third party may ask about."""
    versions = {"actod": __version__, "python": platform.python_version(), "kernel": platform.release()}
    versions["machine"] = platform.machine()
    for name in _INVENTORY:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # packed by a distribution: no reason not to start
            versions[name] = "unknown"
    versions["implementation"] = sys.implementation.name
    return versions


def heartbeat_facts(uplink_state: str, sealing_waits_for: str | None, status: Numbers) -> dict[str, Any]:
    """Return what a heartbeat says: states and counts."""
    return {
        "uplink": uplink_state,
        "sealing_waits_for": sealing_waits_for,
        "journaled": status.journal_messages,
        "outbox": status.outbox_bundles,
        "quarantined": status.quarantined_bundles,
    }
