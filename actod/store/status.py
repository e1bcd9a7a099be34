"""What the store holds, in numbers: for `actod status`, the metrics and the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from actod.store.ledger import Ledger
from actod.store.outbox import CLASSES, Outbox
from actod.store.schema import OUTBOX


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """A moment's picture. Ages are in seconds by the wall clock, None where nothing waits; bytes are of content.

    `acknowledged` counts messages made durable since genesis, `sealed` and `submitted` bundles, `opens` starts; `by_class`
    maps a class to the messages that it brought and the bundles of it that wait. The two figures of wear are those of the
    running daemon since its start, None where there is none: what it has the disk write, all files together.
    """

    device: str
    epoch: int
    journal_messages: int
    journal_bytes: int
    journal_oldest_seconds: float | None
    outbox_bundles: int
    outbox_bytes: int
    outbox_oldest_seconds: float | None
    archived_bundles: int
    archived_bytes: int
    quarantined_bundles: int
    acknowledged: int
    sealed: int
    submitted: int
    file_bytes: int
    opens: int = 0
    written_bytes_a_day: int | None = None
    write_amplification: float | None = None
    losses_pending: Mapping[str, int] = field(default_factory=dict)
    by_class: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def read_status(connection: sqlite3.Connection, *, wall_ns: int) -> SpoolStatus:
    """Read the picture from one connection. Raises DamageError."""
    ledger, outbox = Ledger(connection), Outbox(connection)
    store, counters = ledger.state("store"), ledger.state("counters")
    journal = connection.execute("SELECT COUNT(*), SUM(count), SUM(bytes), MIN(first_wall) FROM journal").fetchone()
    heads = [row.sealed_wall for row in outbox.oldest(OUTBOX)]
    losses: dict[str, int] = {}
    for loss in ledger.losses():
        losses[loss.reason] = losses.get(loss.reason, 0) + loss.count
    return SpoolStatus(
        device=store["device"],
        epoch=store["epoch"],
        journal_messages=journal[1] or 0,
        journal_bytes=journal[2] or 0,
        journal_oldest_seconds=_age(wall_ns, journal[3]),
        outbox_bundles=counters.get("outbox", 0),
        outbox_bytes=counters.get("outbox_bytes", 0),
        outbox_oldest_seconds=_age(wall_ns, min(heads, default=None)),
        archived_bundles=counters.get("archive", 0),
        archived_bytes=counters.get("archive_bytes", 0),
        quarantined_bundles=counters.get("quarantine", 0),
        acknowledged=sum(counters.get(f"acknowledged.{word}", 0) for word in CLASSES),
        sealed=counters.get("sealed", 0),
        submitted=counters.get("submitted", 0),
        opens=counters.get("opens", 0),
        file_bytes=_pragma(connection, "page_count") * _pragma(connection, "page_size"),
        losses_pending=losses,
        by_class={
            str(word): {
                "acknowledged": counters.get(f"acknowledged.{word}", 0),
                "waiting": counters.get(f"waiting.{word}", 0),
            }
            for word in CLASSES
        },
    )


def _age(wall_ns: int, since_ns: int | None) -> float | None:
    return None if since_ns is None else max(0.0, (wall_ns - since_ns) / 1e9)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
