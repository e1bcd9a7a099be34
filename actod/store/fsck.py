"""Every row of a store held against its digest, its counters and the audit log's last word. Reads only.

What it finds is damage that a start repairs and counts, or that the next bundle tells of; it says so before.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from actod.errors import ActodError
from actod.store.checkpoint import Known
from actod.store.chunk import digest, parse_ranges, unpack
from actod.store.faults import UNREADABLE
from actod.store.journal import COLUMNS as JOURNAL_COLUMNS
from actod.store.outbox import COLUMNS as BUNDLE_COLUMNS
from actod.store.outbox import Outbox, Sealed
from actod.store.salvage import readable_rows
from actod.store.schema import DATABASE_NAME, PLACES, STATE_ROWS, connect_read_only

_MOST_COMPLAINTS = 5  # of SQLite's own, that are shown
_SMALL_TABLES = {
    "chain": "robot, seq, head, mark",
    "identity": "digest, robot_id, mark",
    "loss": "reason, class, route, count, first_wall, last_wall, mark",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of damage. `messages` is how many it touches, None where that cannot be known."""

    where: str
    what: str
    messages: int | None = 0


@dataclass(slots=True)
class Examination:
    """What was read, and what is wrong. `audit_heads` are those that bundles carry, in the device's order."""

    findings: list[Finding] = field(default_factory=list)
    messages: dict[str, int] = field(default_factory=dict)
    audit_heads: list[str] = field(default_factory=list)


def examine(folder: Path, known: Known | None) -> Examination:
    """Examine the store in `folder`. `known` is the newest checkpoint of the audit log, read before this is called.

    Raises TransientError where the disk cannot be read.
    """
    path = folder / DATABASE_NAME
    if not path.exists():
        missing = None if known is None else known.last - known.settled
        return Examination([Finding("store", f"{DATABASE_NAME} is gone", missing)])
    try:
        with contextlib.closing(connect_read_only(path)) as connection:
            connection.execute("BEGIN")  # one moment's picture, beside a daemon that writes
            return _Examiner(connection, known).run()
    except (ActodError, *UNREADABLE) as exc:
        missing = None if known is None else known.last - known.settled
        return Examination([Finding("store", f"{DATABASE_NAME} cannot be read: {exc}", missing)])


class _Examiner:
    """One examination."""

    def __init__(self, connection: sqlite3.Connection, known: Known | None) -> None:
        self._connection, self._known = connection, known
        self._outbox = Outbox(connection)
        self._result = Examination()
        self._counts: dict[str, int] = dict.fromkeys(("journal", "outbox", "archive", "quarantine"), 0)
        self._bundles: dict[str, int] = dict.fromkeys(PLACES.values(), 0)

    def run(self) -> Examination:
        """Look at everything."""
        self._structure()
        store, counters = self._state("store"), self._state("counters")
        self._state("memory", needed=False)
        chains = self._small_tables()
        self._journal()
        self._every_bundle()
        if counters is not None:
            self._add_up(counters, chains)
            if store is not None and self._known is not None:
                self._against_audit_log(self._known, store, counters)
        self._result.messages = dict(self._counts)
        return self._result

    def _find(self, what: str, messages: int | None = 0) -> None:
        self._result.findings.append(Finding("store", what, messages))

    def _structure(self) -> None:
        try:
            said = [row[0] for row in self._connection.execute(f"PRAGMA integrity_check({_MOST_COMPLAINTS})")]
        except UNREADABLE as exc:
            said = [str(exc)]
        if said != ["ok"]:
            self._find(f"the file's structure: {'; '.join(' '.join(each.split()) for each in said)}", None)

    def _state(self, name: str, *, needed: bool = True) -> dict[str, Any] | None:
        with contextlib.suppress(*UNREADABLE):
            query = "SELECT value, digest FROM state WHERE at=?"
            row = self._connection.execute(query, (STATE_ROWS[name],)).fetchone()
            if row is None and not needed:
                return None
            if row is not None and digest((name, row[0])) == row[1]:
                value: dict[str, Any] = orjson.loads(row[0])
                return value
        self._find(f"the row of {name} is missing or damaged")
        return None

    def _small_tables(self) -> int:
        chains = 0
        for table, columns in _SMALL_TABLES.items():
            bad = 0
            try:
                for row in self._connection.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608 - fixed words
                    bad += digest(row[:-1]) != row[-1]
                    chains += table == "chain"
            except UNREADABLE:
                bad += 1
            if bad:
                self._find(f"{bad} rows of the table {table} are damaged")
        return chains

    def _journal(self) -> None:
        rows, bodies = 0, 0
        for row in readable_rows(self._connection, "journal", JOURNAL_COLUMNS):
            if digest(row[:-1]) != row[-1]:
                rows += 1
            elif (body := self._body(row[1])) is None or digest((), body) != row[11]:
                bodies += row[4]
            else:
                self._counts["journal"] += row[4]
        if rows:
            self._find(f"{rows} rows of the journal are damaged", None)
        if bodies:
            self._find("events in the journal are damaged", bodies)

    def _body(self, number: int) -> bytes | None:
        with contextlib.suppress(*UNREADABLE):
            row = self._connection.execute("SELECT body FROM chunk WHERE id=?", (number,)).fetchone()
            return unpack(row[0]) if row else None
        return None

    def _every_bundle(self) -> None:
        rows, lost = 0, dict.fromkeys(PLACES.values(), 0)
        for values in readable_rows(self._connection, "bundle", BUNDLE_COLUMNS):
            if digest(values[:-1]) != values[-1]:
                rows += 1
                continue
            row = Sealed(*values[:-1])
            place = PLACES[row.place]
            self._bundles[place] += 1
            if self._envelope_is_whole(row):
                self._counts[place] += row.count
            else:
                lost[place] += row.count
        if rows:
            self._find(f"{rows} rows of bundles are damaged", None)
        for place, messages in lost.items():
            if messages:
                told = " (they were delivered)" if place == "archive" else ""
                self._find(f"envelopes in the {place} are damaged{told}", messages)

    def _envelope_is_whole(self, row: Sealed) -> bool:
        with contextlib.suppress(*UNREADABLE):
            envelope = self._outbox.envelope(row)
            if envelope is not None:
                self._result.audit_heads += _audit_head(envelope.body)
                return True
        return False

    def _add_up(self, counters: dict[str, int], chains: int) -> None:
        """Hold what is there against the counters: I2 of the store."""
        present = sum(self._counts[name] for name in ("journal", "outbox", "quarantine"))
        missing = counters.get("last", 0) - counters.get("settled", 0) - present
        if missing > 0:
            self._find("acknowledged messages are not here, nor are they counted as gone", missing)
        elif missing < 0:
            self._find("messages are here that were settled before: an old page came back to life", -missing)
        for place, found in self._bundles.items():
            if found != counters.get(place, 0):
                self._find(f"{found} bundles in the {place}, where there should be {counters.get(place, 0)}")
        if chains != counters.get("chains", 0):
            self._find(f"{chains} chain heads, where there should be {counters.get('chains', 0)}")
        named = {number for number, _count in self._named_chunks()}
        with contextlib.suppress(*UNREADABLE):
            stray = sum(1 for (number,) in self._connection.execute("SELECT id FROM chunk") if number not in named)
            if stray:
                self._find(f"{stray} chunks of events that no row names")

    def _named_chunks(self) -> Iterator[tuple[int, int]]:
        for row in readable_rows(self._connection, "journal", "at, id, count"):
            yield row[1], row[2]
        for row in readable_rows(self._connection, "bundle", "at, chunks"):
            with contextlib.suppress(ValueError, AttributeError, TypeError):
                yield from parse_ranges(row[1])

    def _against_audit_log(self, known: Known, store: dict[str, Any], counters: dict[str, int]) -> None:
        """COMMIT comes before the log's line: the log may be one line behind, the store never."""
        if known.device != store["device"]:
            self._find(f"the audit log is that of device {known.device}, the store that of {store['device']}", None)
        elif known.epoch > store["epoch"] or known.last > counters.get("last", 0):
            behind = max(0, known.last - counters.get("last", 0))
            self._find("the store is older than the audit log: it was restored, or the disk forgot", behind)
        elif known.epoch == store["epoch"] and counters.get("device_seq", 0) > known.device_seq + 1:
            what = "the audit log ends before the store: its end was cut off, or the disk forgot"
            self._result.findings.append(Finding("audit log", what))


def _audit_head(body: bytes) -> list[str]:
    """Return the audit log's head that an envelope carries, if it is one of actod's."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return [str(orjson.loads(body)["payload"]["meta"]["actod"]["audit"])]
    return []
