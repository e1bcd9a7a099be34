"""The store and the audit log as the daemon opens them, on limits so small that everything happens often.

`actod/daemon.py`, `build`: the folder, the audit log, then the store with the log as its witness and memory.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import structlog

from actod.audit.log import AuditLog
from actod.audit.retention import Retention
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.model import Group, MaskedReading, Stream, TrafficClass
from actod.service.folder import own_folder
from actod.store.checkpoint import merged
from actod.store.spool import SqliteSpool
from tests.store.parts import HandClock, event

SEAL = SealConfig(max_events=8, max_bytes=6000, max_age_seconds=1000)
STORE = StoreConfig(max_bytes=1_500_000)
AUDIT = AuditConfig(max_file_bytes=12_000, max_bytes=12_500)  # an open file, and some that are compressed
STREAMS = (
    Stream("r-1", "task", "run", TrafficClass.NORMAL),
    Stream(None, "actod", None, TrafficClass.NORMAL),
    Stream("r-1", "task", "run", TrafficClass.INTERVENTION),
    Stream("r-2", "other", None, TrafficClass.BULK),
)
REFUSED = "not_json"


@dataclass(frozen=True, slots=True)
class Daemon:
    """What was opened, and what the audit log had known before."""

    spool: SqliteSpool
    audit: AuditLog
    retention: Retention
    clock: HandClock
    known: dict[str, object]

    async def close(self) -> None:
        await self.spool.close()
        self.audit.close()


async def open_daemon(state: Path, *, life: int) -> Daemon:
    own_folder(state)
    clock = HandClock()
    clock.boot += life // 2  # every second start is a boot
    clock.advance(life * 1000)
    audit = AuditLog(state / "audit", clock=clock, config=AUDIT)
    known = merged(audit.lines(back_to="device"))
    try:
        spool = await SqliteSpool.open(folder=state, seal=SEAL, store=STORE, clock=clock, witness=audit.witness, known=known)
    except BaseException:
        audit.close()
        raise
    return Daemon(spool, audit, Retention(audit, config=AUDIT), clock, known)


# -- content: all of it follows from its number, so that one look tells whether it is what was committed


def stream_of(number: int) -> Stream:
    return STREAMS[number * 7 // 5 % len(STREAMS)]


@lru_cache(maxsize=4096)
def event_of(number: int) -> bytes:
    shown = random.Random(number)  # noqa: S311 - no secret
    noise = shown.randbytes(shown.choice((0, 20, 200, 900))).hex().encode()  # that does not compress to nothing
    return event(number).replace(b'"pad":""', b'"pad":"%b"' % noise)


def group_of(first: int, count: int, refused: int, clock: HandClock) -> Group:
    made = Group()
    for number in range(first, first + count):
        made.readings.append(
            MaskedReading(stream_of(number), event_of(number), {"email": 1}, clock.now(), packet_id=1 + number % 200)
        )
    if refused:
        made.refuse(reason=REFUSED, traffic_class="bulk", route="notes", count=refused)
    if first % 7 == 0:
        made.identities = {f"{first:06x}": f"robot-{first}"}
    return made


def quiet() -> None:
    """Keep the daemon's own log out of a campaign's output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
