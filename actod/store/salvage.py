"""What is saved from a damaged store: each good row, and the count of what is gone."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from actod.model import Loss
from actod.store.checkpoint import Known
from actod.store.chunk import digest, parse_ranges, unpack
from actod.store.faults import UNREADABLE
from actod.store.journal import COLUMNS as JOURNAL_COLUMNS
from actod.store.ledger import Ledger, robot_key
from actod.store.outbox import COLUMNS as BUNDLE_COLUMNS
from actod.store.outbox import Outbox, Sealed
from actod.store.pages import LeafPages
from actod.store.schema import ARCHIVE, OUTBOX, PLACE_SHIFT, STATE_ROWS, STREAM_SHIFT

_BUNDLE_COLUMNS, _JOURNAL_COLUMNS, _WRAP_COLUMNS, _CHUNK_COLUMNS = 16, 13, 3, 2
_MOST_TRIES = 64  # of the ways in which one bundle's chunks may be meant
_MOST_PROBES = 4096  # of unreadable places in one table
_HIGHEST = (1 << 63) - 1


@dataclass(slots=True)
class Repair:
    """What a repair found. `lost` messages are in the ledger; None if not even their number is known."""

    number: int
    kept: int = 0
    lost: int | None = 0
    new_epoch: bool = False
    first: int = 0  # the lowest and the highest number of a message that was found, 0 for none
    last: int = 0


@dataclass(slots=True)
class _Found:
    """What was still readable beside the rows themselves."""

    store: dict[str, Any] | None = None
    counters: dict[str, Any] | None = None
    chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    chains_whole: bool = False
    identities: dict[str, str] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)


class Rebuild:
    """Copies good rows from `old` to `new`."""

    def __init__(self, old: sqlite3.Connection, new: sqlite3.Connection, result: Repair) -> None:
        self._old, self._new, self._result = old, new, result
        self._ledger, self._outbox = Ledger(new), Outbox(new)
        self._present = 0  # messages in journal, outbox and quarantine
        self._carried = 0  # losses that undelivered bundles tell of
        self._counters: dict[str, Any] = {}
        self._copied: set[int] = set()
        self._bundles: set[int] = set()
        self._streams: dict[tuple[str, str], int] = {}
        self._newest: dict[tuple[int, str], Sealed] = {}  # of each chain, whole or not
        self._leaves: LeafPages | None = None
        self._archived = True

    def run(self, *, known: Known | None, device: str, wall_ns: int, archived: bool = True) -> None:
        """Copy, count and decide on chains and epoch. Without `archived` what was delivered is left out."""
        found = self._small_tables()
        old = found.counters or {}
        kept = ("acknowledged.", "sealed", "submitted", "audit_")
        self._counters = {name: old[name] for name in old if name.startswith(kept)}
        self._counters["opens"] = old.get("opens", 0)
        self._archived = archived
        self._copy_bundles(readable_rows(self._old, "bundle", BUNDLE_COLUMNS))
        self._copy_journal(readable_rows(self._old, "journal", JOURNAL_COLUMNS))
        if self._expected(old, known) is None or self._expected(old, known) != self._present:
            self._copy_from_leaves()
        newest = list(self._newest.values())
        store = found.store or {"device": known.device if known else device, "epoch": 1}
        self._settle(found, known, store, newest)
        self._count_losses(found, known, wall_ns)
        self._ledger.write_identities({**(known.identities if known else {}), **found.identities})
        self._ledger.write_state("store", store)
        self._ledger.write_state("counters", self._counters)
        if memory := self._state("memory"):
            self._ledger.write_state("memory", memory)

    def _settle(self, found: _Found, known: Known | None, store: dict[str, Any], newest: list[Sealed]) -> None:
        """Go on with each chain where it was; where that is not known, begin a new epoch."""
        heads = dict(found.chains)
        device_seq = (found.counters or {}).get("device_seq", 0)
        if known and known.epoch >= store["epoch"]:
            store["epoch"] = known.epoch
            device_seq = max(device_seq, known.device_seq)
            for robot, head in known.heads.items():
                heads[robot] = max(heads.get(robot, (0, "")), head)
        elif not found.chains_whole:
            before = {"epoch": store["epoch"], "device_seq": device_seq, "head": heads.get(robot_key(None), (0, None))[1]}
            ids = {"first": self._result.first, "last": self._result.last}
            store |= {"epoch": store["epoch"] + 1, "began": {"reason": "damaged", "before": before, "known": ids}}
            heads, device_seq = {}, 0
            self._result.new_epoch = True
        for row in newest:
            if row.epoch == store["epoch"]:
                heads[row.robot] = max(heads.get(row.robot, (0, "")), (row.seq, row.payload_hash))
                device_seq = max(device_seq, row.device_seq)
        for robot, head in heads.items():
            self._ledger.write_chain(robot, *head)
        self._counters["chains"], self._counters["device_seq"] = len(heads), device_seq

    def _count_losses(self, found: _Found, known: Known | None, wall_ns: int) -> None:
        """Enter what is gone: everything that was journaled, less what is settled, less what is here.

        Settled by the file's own count: what was delivered since an older file may be here once more.
        """
        old = found.counters or {}
        last = max(old.get("last", 0), known.last if known else 0, self._result.last)
        settled = old.get("settled", 0) if old or known is None else known.settled
        losses = list(found.losses)
        if old or known:
            lost = max(0, last - settled - self._present)
            self._result.lost = lost
            losses += _damaged("damaged", "_store", lost, wall_ns)
        else:
            self._result.lost = None
            losses += _damaged("damaged_unknown", "_store", 1, wall_ns)
        pending = old.get("losses", 0)
        if known and known.last > old.get("last", 0):  # the file is older, or does not say
            pending = max(pending, known.losses)
        told = self._carried + sum(loss.count for loss in found.losses)
        losses += _damaged("damaged", "_ledger", pending - told, wall_ns)
        self._ledger.add_losses(losses)
        self._counters |= {"last": last, "settled": last - self._present}
        self._counters["losses"] = self._carried + sum(loss.count for loss in losses)

    def _small_tables(self) -> _Found:
        found = _Found(store=self._state("store"), counters=self._state("counters"))
        chains = list(self._text_rows("chain", "robot, seq, head, mark"))
        found.chains = {robot: (seq, head) for robot, seq, head in chains}
        found.chains_whole = found.counters is not None and found.counters.get("chains", 0) == len(chains)
        found.identities = dict(self._text_rows("identity", "digest, robot_id, mark"))
        columns = "reason, class, route, count, first_wall, last_wall, mark"
        found.losses = [Loss(*row) for row in self._text_rows("loss", columns)]
        return found

    def _state(self, key: str) -> dict[str, Any] | None:
        with contextlib.suppress(*UNREADABLE):
            query = "SELECT value, digest FROM state WHERE at=?"
            for text, mark in self._old.execute(query, (STATE_ROWS[key],)):
                if digest((key, text)) == mark:
                    value: dict[str, Any] = orjson.loads(text)
                    return value
        return None

    def _text_rows(self, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
        """Read a table with a text key from both ends; yield its good rows once, without their digest."""
        seen = set()
        for order in ("ASC", "DESC"):
            passed = set()
            with contextlib.suppress(*UNREADABLE):
                key = columns.partition(",")[0]
                for row in self._old.execute(f"SELECT {columns} FROM {table} ORDER BY {key} {order}"):  # noqa: S608
                    if row in passed:
                        break  # the tree leads in a circle
                    passed.add(row)
                    if digest(row[:-1]) == row[-1] and row not in seen:
                        seen.add(row)
                        yield row[:-1]

    def _expected(self, old: dict[str, Any], known: Known | None) -> int | None:
        """Return how many messages there should be in journal, outbox and quarantine; None if nobody knows."""
        if "last" in old:
            return int(old["last"]) - int(old.get("settled", 0))
        return known.last - known.settled if known else None

    def _copy_from_leaves(self) -> None:
        """Look for the rest where no tree leads any more; what was settled later than it was queued goes first."""
        (path,) = (row[2] for row in self._old.execute("PRAGMA database_list") if row[1] == "main")
        if not path:
            return
        with contextlib.suppress(*UNREADABLE, OSError, ValueError):
            self._old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with contextlib.closing(LeafPages(Path(path))) as self._leaves:
                rows = [row for row in self._leaves.rows(_BUNDLE_COLUMNS) if isinstance(row[0], int)]
                self._copy_bundles(iter(sorted(rows, key=lambda row: row[0] >> PLACE_SHIFT != ARCHIVE)))
                self._copy_journal(self._leaves.rows(_JOURNAL_COLUMNS))
        self._leaves = None

    def _copy_journal(self, rows: Iterator[tuple[Any, ...]]) -> None:
        numbers = self._streams  # an old page may name a stream by a number that is another's now
        for row in rows:
            if digest(row[:-1]) != row[-1] or not self._copy_chunks([(row[1], row[4])], row[11], b"", b""):
                continue
            number = numbers.setdefault((row[2], row[3]), len(numbers) + 1)
            placed = (number << STREAM_SHIFT | row[1], *row[1:-1])
            places = ",".join("?" * len(row))
            self._new.execute(f"INSERT INTO journal VALUES ({places})", (*placed, digest(placed)))  # noqa: S608
            self._present += row[4]
            self._add("journal", row[4])

    def _copy_bundles(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """Copy the bundles whose envelope is whole."""
        newest = self._newest
        for values in rows:
            if digest(values[:-1]) != values[-1]:
                continue
            row = Sealed(*values[:-1])
            before = newest.get((row.epoch, row.robot))
            newest[row.epoch, row.robot] = row if before is None else max(before, row, key=lambda each: each.seq)
            self._counters["bundle"] = max(self._counters.get("bundle", 0), row.id)
            wanted = row.id not in self._bundles and (self._archived or row.place != ARCHIVE)
            wrap = self._wrap(row.id) if wanted else None
            if wrap is None or not self._copy_chunks(list(parse_ranges(row.chunks)), row.digest, *wrap):
                continue
            self._bundles.add(row.id)
            self._outbox.insert(row, head=wrap[0], tail=wrap[1])
            name = ("outbox", "archive", "quarantine")[row.place]
            self._add(name, 1)
            self._add(f"{name}_bytes", row.size)
            if row.place == OUTBOX:
                self._add(f"waiting.{row.traffic_class}", 1)
            if row.place != ARCHIVE:
                self._present += row.count
                self._carried += row.losses

    def _wrap(self, number: int) -> tuple[bytes, bytes] | None:
        with contextlib.suppress(*UNREADABLE):
            for head, tail in self._old.execute("SELECT head, tail FROM wrap WHERE id=?", (number,)):
                return (head, tail) if isinstance(head, bytes) and isinstance(tail, bytes) else None
        for _number, head, tail in self._leaves.find(_WRAP_COLUMNS, number) if self._leaves else ():
            if isinstance(head, bytes) and isinstance(tail, bytes):
                return head, tail
        return None

    def _copy_chunks(self, chunks: list[tuple[int, int]], want: bytes, head: bytes, tail: bytes) -> bool:
        """Copy chunks if, joined between head and tail, they have the digest that they must have."""
        if any(number in self._copied for number, _count in chunks):
            return False  # an old page came back to life
        for number, count in chunks:
            self._result.first = min(self._result.first or number, number)
            self._result.last = max(self._result.last, number + count - 1)
        for stored in itertools.islice(itertools.product(*(self._chunk(number) for number, _count in chunks)), _MOST_TRIES):
            bodies = [unpack(body) or b"" for body in stored]
            if digest((), head, b",".join(bodies), tail) == want:
                numbers = [number for number, _count in chunks]
                self._new.executemany("INSERT INTO chunk VALUES (?,?)", zip(numbers, stored, strict=True))
                self._copied.update(numbers)
                self._result.kept += 1
                return True
        return False

    def _chunk(self, number: int) -> list[bytes]:
        """Return what may be a chunk, as stored: from its tree and from the leaves, where another table has such rows."""
        found: list[bytes] = []
        with contextlib.suppress(*UNREADABLE):
            found += [row[0] for row in self._old.execute("SELECT body FROM chunk WHERE id=?", (number,))]
        return found + ([row[1] for row in self._leaves.find(_CHUNK_COLUMNS, number)] if self._leaves else [])

    def _add(self, name: str, count: int) -> None:
        self._counters[name] = self._counters.get(name, 0) + count


def _damaged(reason: str, route: str, count: int, wall_ns: int) -> list[Loss]:
    return [Loss(reason, "normal", route, count, wall_ns, wall_ns)] if count > 0 else []


def readable_rows(connection: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    """Yield each row that can be read, in any order: around a damaged page from both sides, halving what is between.

    The first column is the integer key.
    """
    gaps = [(-_HIGHEST, 0, _HIGHEST)]
    probes = 0
    while gaps and probes < _MOST_PROBES:
        _width, low, high = heapq.heappop(gaps)
        for order in ("ASC", "DESC"):
            probes += 1
            key = columns.partition(",")[0]
            query = f"SELECT {columns} FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key} {order}"  # noqa: S608
            with contextlib.suppress(*UNREADABLE):
                for row in connection.execute(query, (low, high)):
                    if not low <= row[0] <= high:
                        break  # a page that the tree names twice, or in a loop: a walk along it may never end
                    yield row
                    low, high = (row[0] + 1, high) if order == "ASC" else (low, row[0] - 1)
                else:
                    break
        else:
            middle = (low + high) // 2
            for gap in ((low, middle), (middle + 1, high)):
                if gap[0] <= gap[1] and gap != (low, high):
                    heapq.heappush(gaps, (gap[0] - gap[1], *gap))
