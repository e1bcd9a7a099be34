"""What each place holds, and what makes room when the database's share is full.

First the archive gives way: it was delivered. Then, of the classes that may be dropped (`store.when_full`), the lowest
gives up what has waited longest, queued or just arriving. Nothing else is given up: the call is refused and the broker keeps
what it was not acknowledged. Sealing goes on meanwhile: what is journaled has the room reserved that its bundles will need.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from actod.errors import TransientError
from actod.model import PRIORITY, TrafficClass
from actod.proof.serverdate import is_older, trusted_time
from actod.store.faults import DamageError
from actod.store.journal import OpenStream
from actod.store.outbox import Sealed
from actod.store.schema import ARCHIVE, OUTBOX, PLACES, QUARANTINE, live_bytes
from actod.store.storefile import StoreFile

_log = structlog.get_logger(__name__)
_BUNDLE_BYTES = 4096  # what a bundle takes beside its events; rarely more, with thousands of marks
_LEDGER_BYTES = 16 * 1024  # kept free for counters, losses and chain heads
_MOST_GIVEN_UP = 64  # bundles or chunks that one transaction drops at most, so that it ends soon
_SAY_NS = 60_000_000_000
_QUEUE_FULL = "queue_full"


class StoreRoom(StoreFile):
    """Moves and drops bundles, counted; makes room."""

    _said_ns: int | None = None

    def has_outbox(self) -> bool:
        """Tell whether anything waits for the collector."""
        return self._counters.get("outbox", 0) > 0

    def _shift(self, row: Sealed, place: int, *, settled_wall: int | None, note: str | None) -> Sealed:
        self._count(row, -1)
        moved = self._outbox.move(row, place=place, settled_wall=settled_wall, note=note)
        self._count(moved, 1)
        return moved

    def _count(self, row: Sealed, sign: int) -> None:
        name = PLACES[row.place]
        self._add(name, sign)
        self._add(f"{name}_bytes", sign * row.size)
        if row.place == OUTBOX:
            self._add(f"waiting.{row.traffic_class}", sign)

    def _discard(self, row: Sealed, reason: str) -> None:
        """Drop one undelivered bundle, and have that witnessed."""
        with self._transaction():
            self._drop_bundle(row, reason)
        self._forget(row)
        self._tell("checkpoint.settled", {"lost": {reason: row.count}})

    def _drop_bundle(self, row: Sealed, reason: str) -> None:
        """Drop an undelivered bundle inside the caller's transaction; count its messages, and what its ledger told."""
        self._count(row, -1)
        self._outbox.delete(row)
        self._lose(reason, "_store", row.traffic_class, row.count)
        self._add("settled", row.count)
        if row.losses:  # what its own ledger counted is not told by anyone now
            self._lose(reason, "_ledger", row.traffic_class, row.losses)
            self._add("losses", -row.losses)

    def _forget(self, row: Sealed) -> None:
        self._out.pop(row.proof_id, None)
        self._taken.discard(row.at)

    # -- room ---------------------------------------------------------------------------------------------------------

    def _make_room(self, need: int, arriving: Iterable[TrafficClass]) -> TrafficClass | None:
        """See that `need` bytes fit; return the arriving class that has to be given up for that, if one has.

        Raises TransientError("disk_full") where nothing more may be given up.
        """
        classes = set(arriving)
        while (lacking := self._lacking(need)) > 0:
            if self._counters.get("archive", 0):
                with self._transaction():
                    self._trim_archive(free_bytes=lacking)
                continue
            for droppable in self._to_drop(classes):
                if self._drop_oldest(droppable, lacking):
                    break
                if droppable in classes:
                    return droppable
            else:  # what may be dropped is all on its way to the collector, or there is none
                raise TransientError("disk_full", "the queue fills its share of store.max_bytes")
        return None

    def _lacking(self, need: int) -> int:
        """Return how many bytes are missing for `need` more, and for sealing all that is journaled."""
        reserved = _LEDGER_BYTES + _BUNDLE_BYTES * self._journal.bundles_to_come()
        return live_bytes(self._db) + need + reserved - self._shares.database

    def _to_drop(self, arriving: set[TrafficClass]) -> list[TrafficClass]:
        """Return the classes of what is queued or arriving that the operator lets be dropped, the lowest first."""
        queued = {row.traffic_class for place in (OUTBOX, QUARANTINE) for row in self._outbox.oldest(place)}
        there = arriving | queued | self._journal.classes()
        return sorted(filter(self._may_drop, there), key=PRIORITY.__getitem__, reverse=True)

    def _clear_archive(self, need: int) -> None:
        """Let the archive give way to what is queued already."""
        while self._counters.get("archive", 0) and live_bytes(self._db) + need > self._shares.database:
            with self._transaction():
                self._trim_archive(free_bytes=need)

    def _may_drop(self, traffic_class: TrafficClass) -> bool:
        highest = TrafficClass(self._config.drop_up_to)
        return self._config.when_full == "drop_oldest" and PRIORITY[traffic_class] >= PRIORITY[highest]

    def _drop_oldest(self, lowest: TrafficClass, lacking: int) -> int:
        """Give up what has waited longest of a class, and have that witnessed; return how many messages that were."""
        goal = live_bytes(self._db) - lacking - self._shares.database // 64  # a little more, so as not to do it each time
        dropped: list[Sealed] = []
        emptied: dict[int, tuple[OpenStream, list[tuple[int, int, int]]]] = {}
        with self._transaction():
            for _ in range(_MOST_GIVEN_UP):
                row, chunk = self._oldest_bundle(lowest), self._journal.oldest_chunk(lowest)
                if row is not None and (chunk is None or row.first_number < chunk[1][0]):
                    self._drop_bundle(row, _QUEUE_FULL)
                    dropped.append(row)
                elif chunk is not None:
                    open_, numbers = chunk
                    self._drop_chunk(open_, numbers)
                    emptied.setdefault(open_.number, (open_, []))[1].append(numbers)
                if (row is None and chunk is None) or live_bytes(self._db) <= goal:
                    break
        for row in dropped:
            self._forget(row)
        for open_, chunks in emptied.values():
            self._emptied(open_, chunks)
        count = sum(row.count for row in dropped) + sum(each[1] for _o, chunks in emptied.values() for each in chunks)
        if count:
            self._say_dropped(lowest, count)
            self._tell("checkpoint.settled", {"lost": {_QUEUE_FULL: count}, "class": str(lowest)})
        return count

    def _say_dropped(self, lowest: TrafficClass, count: int) -> None:
        """Log that messages are given up, once a minute; each is counted in the ledger."""
        now = self._clock.now().monotonic_ns
        if self._said_ns is None or now - self._said_ns > _SAY_NS:
            self._said_ns = now
            _log.error("the queue is full: the oldest messages of a class are given up", messages=count, of=str(lowest))

    def _oldest_bundle(self, traffic_class: TrafficClass) -> Sealed | None:
        """Return the oldest undelivered bundle of a class, but none that is on its way to the collector."""
        rows = [self._outbox.oldest_of(place, traffic_class, skip=self._taken) for place in (OUTBOX, QUARANTINE)]
        return min((row for row in rows if row), key=lambda row: row.id, default=None)

    def _drop_chunk(self, open_: OpenStream, chunk: tuple[int, int, int]) -> None:
        number, count, _size = chunk
        if not self._journal.remove(open_, [number]):
            raise DamageError("store_damaged", "a journal row is not where it was")
        self._db.execute("DELETE FROM chunk WHERE id=?", (number,))
        self._lose(_QUEUE_FULL, "_store", open_.stream.traffic_class, count)
        self._add("settled", count)
        self._add("journal", -count)

    def _emptied(self, open_: OpenStream, chunks: list[tuple[int, int, int]]) -> None:
        """Bring memory up to date with what was dropped of a stream."""
        if self._bundle and {number for number, _count, _size in chunks} & set(self._bundle.rows):
            self._bundle, self._cut, self._mended = None, None, True  # it is cut anew from what is left
        count, size = sum(each[1] for each in chunks), sum(each[2] + 1 for each in chunks) - 1
        self._journal.removed(open_, count=count, size=size)

    def _hold_quarantine(self) -> None:
        """Inside the caller's transaction: where a class may be dropped, hold the quarantine to its share."""
        while self._counters.get("quarantine_bytes", 0) > self._shares.quarantine:
            row = self._outbox.least(QUARANTINE)
            if row is None or not self._may_drop(row.traffic_class):
                return
            self._drop_bundle(row, "quarantine_full")

    def _expire_archive(self, server_date: str | None) -> None:
        """Inside the caller's transaction: drop what was confirmed too long ago, if the time can be trusted."""
        wall_ns = self._clock.now().wall_ns
        now = trusted_time(server_date, wall_ns=wall_ns, synchronised=self._clock.synchronised())
        days = self._config.archive_max_age_days
        for _ in range(_MOST_GIVEN_UP if now else 0):
            old = [row for row in self._outbox.oldest(ARCHIVE) if now and is_older(row.note, now, days=days)]
            if not old:
                return
            for row in old:
                self._count(row, -1)
                self._outbox.delete(row)

    def _trim_archive(self, *, free_bytes: int = 0) -> None:
        """Drop the oldest of the lowest class from the archive: what is beyond its share, and until so much is free."""
        goal = live_bytes(self._db) - free_bytes
        for _ in range(_MOST_GIVEN_UP):
            beyond = self._counters.get("archive_bytes", 0) > self._shares.archive
            row = self._outbox.least(ARCHIVE) if beyond or live_bytes(self._db) > goal else None
            if row is None:
                return
            self._count(row, -1)
            self._outbox.delete(row)
