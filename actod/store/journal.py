"""The journal: chunks that no bundle holds yet, and which stream's next bundle is due."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from actod.config import SealConfig
from actod.model import PRIORITY, Instant, Stream, TrafficClass
from actod.store.chunk import Chunk, digest, pack, parse_stream, stream_key, unpack
from actod.store.faults import DamageError
from actod.store.schema import STREAM_SHIFT

LATE_NS = 60_000_000_000  # a bundle that waited this long beyond its time says so
_ID_MASK = (1 << STREAM_SHIFT) - 1
COLUMNS = "at, id, key, boot_id, count, bytes, masked, marks, first_wall, last_wall, monotonic, digest, mark"
_TOTALS = f"""SELECT at >> {STREAM_SHIFT}, key, boot_id, SUM(count), SUM(bytes), MIN(id), COUNT(*)
    FROM journal GROUP BY 1 ORDER BY 6"""  # noqa: S608 - a number


@dataclass(slots=True)
class OpenStream:
    """What waits of one stream and one boot. The clocks are those of its oldest chunk."""

    number: int
    stream: Stream
    boot_id: str
    count: int
    size: int
    oldest: int
    wall_ns: int
    monotonic_ns: int


@dataclass(slots=True)
class Cut:
    """Whole chunks of one stream, good by their digests, within a bundle's limits. `bad` are damaged chunks."""

    rows: list[tuple[int, int]] = field(default_factory=list)  # number, count
    bodies: list[bytes] = field(default_factory=list, repr=False)
    count: int = 0
    size: int = -1
    masked: dict[str, int] = field(default_factory=dict)
    marks: dict[str, list[int]] = field(default_factory=dict)
    first_wall_ns: int = 0
    last_wall_ns: int = 0
    bad: list[tuple[int, int, int]] = field(default_factory=list)  # number, count, size


class Journal:
    """The journal of one connection, with the totals of each open stream in memory."""

    def __init__(self, connection: sqlite3.Connection, seal: SealConfig, boot_id: str, *, compress: bool) -> None:
        self._connection, self._seal, self._boot_id, self._compress = connection, seal, boot_id, compress
        self._open: dict[tuple[Stream, str], OpenStream] = {}
        self._keys: dict[Stream, str] = {}
        self._everything = False
        self.most_bytes = seal.max_bytes  # of events in a bundle: less where the collector takes only smaller ones
        for number, key, boot, count, size, oldest, chunks in connection.execute(_TOTALS).fetchall():
            self._restore(number, key, boot, (count, size, chunks), oldest)

    def _restore(self, number: int, key: str, boot_id: str, sums: tuple[int, int, int], oldest: int) -> None:
        try:
            stream, count, size = parse_stream(key), int(sums[0]), int(sums[1]) + sums[2] - 1
        except (ValueError, TypeError) as exc:
            raise DamageError("store_damaged", "a journal row names no stream") from exc
        wall_ns, monotonic_ns = self._clocks(number, oldest)
        self._open[stream, boot_id] = OpenStream(number, stream, boot_id, count, size, oldest, wall_ns, monotonic_ns)

    def write(self, chunks: Sequence[Chunk]) -> int:
        """Insert chunks, inside the caller's transaction; return the bytes of their bodies as stored."""
        stored = 0
        numbers = self._numbers(chunks)
        for chunk in chunks:
            body = chunk.body
            packed = pack(body, compress=self._compress)
            row = (
                *(numbers[chunk.stream] << STREAM_SHIFT | chunk.number, chunk.number),
                *(self._keys.get(chunk.stream) or stream_key(chunk.stream), chunk.boot_id),
                *(len(chunk.events), chunk.size, _json(chunk.masked), _json(chunk.marks)),
                *(chunk.first_wall_ns, chunk.last_wall_ns, chunk.monotonic_ns, digest((), body)),
            )
            self._connection.execute("INSERT INTO journal VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", (*row, digest(row)))
            self._connection.execute("INSERT INTO chunk VALUES (?,?)", (chunk.number, packed))
            stored += len(packed)
        return stored

    def _numbers(self, chunks: Sequence[Chunk]) -> dict[Stream, int]:
        """Give each stream of a group its number: as before, or the smallest that is free."""
        used = {open_.number for open_ in self._open.values()}
        numbers: dict[Stream, int] = {}
        for chunk in chunks:
            known = self._open.get((chunk.stream, chunk.boot_id))
            if known:
                numbers[chunk.stream] = known.number
            elif chunk.stream not in numbers:
                numbers[chunk.stream] = next(number for number in itertools.count(1) if number not in used)
                used.add(numbers[chunk.stream])
        return numbers

    def note(self, chunks: Sequence[Chunk]) -> None:
        """Take chunks whose transaction was committed into the totals."""
        numbers = self._numbers(chunks)
        for chunk in chunks:
            count, size = len(chunk.events), chunk.size
            known = self._open.get((chunk.stream, chunk.boot_id))
            if known:
                known.count += count
                known.size += size + 1
                continue
            self._keys[chunk.stream] = stream_key(chunk.stream)
            self._open[chunk.stream, chunk.boot_id] = OpenStream(
                *(numbers[chunk.stream], chunk.stream, chunk.boot_id, count, size, chunk.number),
                *(chunk.first_wall_ns, chunk.monotonic_ns),
            )

    def make_due(self) -> None:
        """Let everything that is journaled now be due at once."""
        self._everything = bool(self._open)

    def due(self, now: Instant) -> OpenStream | None:
        """Return the stream to seal next: by priority, then the oldest. None if none is due."""
        due = [open_ for open_ in self._open.values() if self._everything or self._due_at(open_) <= now.monotonic_ns]
        return min(due, key=lambda open_: (PRIORITY[open_.stream.traffic_class], open_.oldest), default=None)

    def due_at_ns(self) -> int | None:
        """Return the monotonic time at which the next stream is due (it may have passed), None if none waits."""
        if self._everything:
            return 0
        return min(map(self._due_at, self._open.values()), default=None)

    def _due_at(self, open_: OpenStream) -> int:
        full = open_.count >= self._seal.max_events or open_.size >= self.most_bytes
        if full or open_.boot_id != self._boot_id or open_.stream.replaces:
            return 0
        return open_.monotonic_ns + int(self._seal.max_age_seconds * 1e9)

    def is_late(self, open_: OpenStream, now: Instant) -> bool:
        """Tell whether the stream's oldest chunk waited over a minute beyond its time; by wall clock after a boot."""
        waited = now.monotonic_ns - open_.monotonic_ns
        if open_.boot_id != self._boot_id:
            waited = now.wall_ns - open_.wall_ns
        return waited > self._seal.max_age_seconds * 1e9 + LATE_NS

    def cut(self, open_: OpenStream) -> Cut:
        """Read the stream's oldest chunks, checked, up to the limits of a bundle; at least one."""
        cut = Cut()
        query = f"SELECT {COLUMNS} FROM journal WHERE at BETWEEN ? AND ? ORDER BY at"  # noqa: S608 - fixed words
        owner = (stream_key(open_.stream), open_.boot_id)
        rows = self._connection.execute(query, _span(open_.number))
        try:
            for row in rows:
                if digest(row[:-1]) != row[-1]:
                    raise DamageError("store_damaged", "a journal row does not match its digest")
                if row[2:4] != owner:
                    raise DamageError("store_damaged", "a journal row of another stream: an old page came back to life")
                count, size = row[4], row[5]
                full = cut.count + count > self._seal.max_events or cut.size + 1 + size > self.most_bytes
                if cut.rows and full:
                    break
                body = self.body(row[1])
                if body is None or digest((), body) != row[11]:
                    cut.bad.append((row[1], count, size))
                else:
                    _append(cut, row, body)
        finally:
            rows.close()
        if not cut.rows and not cut.bad:
            raise DamageError("store_damaged", "journal rows are not where they were")
        return cut

    def body(self, number: int) -> bytes | None:
        """Return a chunk's events, None if they are missing or damaged."""
        return unpack(self.stored(number))

    def stored(self, number: int) -> Any:
        """Return a chunk as it stands in the file."""
        row = self._connection.execute("SELECT body FROM chunk WHERE id=?", (number,)).fetchone()
        return row[0] if row else None

    def remove(self, open_: OpenStream, numbers: Sequence[int]) -> bool:
        """Delete journal rows, inside the caller's transaction. False if one is not there."""
        before = self._connection.total_changes
        keys = [(open_.number << STREAM_SHIFT | number,) for number in numbers]
        self._connection.executemany("DELETE FROM journal WHERE at=?", keys)
        return self._connection.total_changes - before == len(numbers)

    def removed(self, open_: OpenStream, *, count: int, size: int) -> None:
        """Bring a stream's totals up to date after a committed removal of `count` messages in `size` bytes."""
        query = "SELECT MIN(at) FROM journal WHERE at BETWEEN ? AND ?"
        oldest = self._connection.execute(query, _span(open_.number)).fetchone()[0]
        if oldest is None:
            if open_.count != count:
                raise DamageError("store_damaged", "journal rows are not where they were")
            self._open.pop((open_.stream, open_.boot_id), None)
            self._keys.pop(open_.stream, None)
            self._everything = self._everything and bool(self._open)
            return
        open_.count -= count
        open_.size -= size + 1
        open_.oldest = oldest & _ID_MASK
        open_.wall_ns, open_.monotonic_ns = self._clocks(open_.number, open_.oldest)

    def oldest_chunk(self, traffic_class: TrafficClass) -> tuple[OpenStream, tuple[int, int, int]] | None:
        """Return the chunk of a class that has waited longest, as (number, count, size); it reads what a transaction did."""
        oldest: tuple[OpenStream, tuple[int, int, int]] | None = None
        query = "SELECT id, count, bytes FROM journal WHERE at BETWEEN ? AND ? ORDER BY at LIMIT 1"
        for open_ in self._open.values():
            if open_.stream.traffic_class == traffic_class:
                row = self._connection.execute(query, _span(open_.number)).fetchone()
                if row and (oldest is None or row[0] < oldest[1][0]):
                    oldest = open_, row
        return oldest

    def classes(self) -> set[TrafficClass]:
        """Return the classes of which something waits."""
        return {open_.stream.traffic_class for open_ in self._open.values()}

    def bundles_to_come(self) -> int:
        """Return how many bundles all that waits makes at most: two that follow each other fill more than one."""
        most_events, most_bytes = self._seal.max_events, self.most_bytes
        return sum(1 + 2 * (open_.count // most_events + open_.size // most_bytes) for open_ in self._open.values())

    def find(self, stream: Stream, boot_id: str) -> OpenStream | None:
        """Return the open stream of a bundle."""
        return self._open.get((stream, boot_id))

    def replacing(self) -> int:
        """Return how many bundles wait to be sealed again in smaller ones."""
        return sum(open_.stream.replaces is not None for open_ in self._open.values())

    def messages(self) -> int:
        """Return how many messages wait."""
        return sum(open_.count for open_ in self._open.values())

    def _clocks(self, number: int, oldest: int) -> tuple[int, int]:
        query = "SELECT first_wall, monotonic FROM journal WHERE at=?"
        known = type(oldest) is int  # in a damaged row it may be anything
        row = self._connection.execute(query, (number << STREAM_SHIFT | oldest,)).fetchone() if known else None
        if row is None or not all(type(clock) is int for clock in row):
            raise DamageError("store_damaged", "a journal row is not where it was")
        wall_ns, monotonic_ns = row
        return wall_ns, monotonic_ns


def _append(cut: Cut, row: tuple[Any, ...], body: bytes) -> None:
    number, count, size = row[1], row[4], row[5]
    for kind, masked in (orjson.loads(row[6]) if row[6] else {}).items():
        cut.masked[kind] = cut.masked.get(kind, 0) + masked
    for word, indexes in (orjson.loads(row[7]) if row[7] else {}).items():
        cut.marks.setdefault(word, []).extend(cut.count + index for index in indexes)
    cut.first_wall_ns = cut.first_wall_ns or row[8]
    cut.last_wall_ns = row[9]
    cut.rows.append((number, count))
    cut.bodies.append(body)
    cut.count += count
    cut.size += 1 + size


def _span(number: int) -> tuple[int, int]:
    """Return the first and last key that a stream's rows can have."""
    return number << STREAM_SHIFT, number << STREAM_SHIFT | _ID_MASK


def _json(mapping: Mapping[str, Any]) -> str:
    return orjson.dumps(mapping).decode() if mapping else ""
