"""The journal's side of the store: groups become durable, and bundles are cut from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog

from actod.model import Bundle, Group, TrafficClass
from actod.store import repair
from actod.store.chunk import Chunk, gather
from actod.store.journal import Cut, OpenStream
from actod.store.ledger import MAX_LOSS_LINES, robot_key
from actod.store.room import StoreRoom

_log = structlog.get_logger(__name__)
ROW_BYTES = 2048  # what a chunk or a bundle takes beside its events, generously
_MOST_STALE = 16  # groups that the redelivery window left, deleted together: each deletion rewrites pages
_READING_BYTES = 32


class StoreCommits(StoreRoom):
    """Takes groups, hands out bundles."""

    _committing: tuple[Group, int] | None = None  # a group whose commit was refused half way, and how many parts are durable

    def commit(self, group: Group) -> None:
        """Make a group durable, and have it witnessed. A group whose witness failed is only witnessed again."""
        if self._committing is None or self._committing[0] is not group:
            self._committing = (group, 0)
        if group.readings or group.refusals or group.identities:
            for index, part in enumerate(self._parts(group)):
                if index >= self._committing[1]:
                    self._commit_part(group, part, index)
        self._committing = None

    def _parts(self, group: Group) -> list[Group]:
        """Divide a group so that each part fits one transaction; most are one part."""
        most, size = self._shares.largest_event, 0
        if sum(len(reading.event) for reading in group.readings) + _READING_BYTES * len(group.readings) < most // 2:
            return [group]
        parts = [Group(identities=group.identities)]
        for reading in group.readings:
            size += len(reading.event) + len(reading.event) // 16 + _READING_BYTES
            if size > most and parts[-1].readings:
                parts.append(Group())
                size = len(reading.event)
            parts[-1].readings.append(reading)
        parts[-1].refusals, parts[-1].memory = group.refusals, group.memory  # counted anew with what is sent again
        return parts

    def _commit_part(self, group: Group, part: Group, index: int) -> None:
        number = self._counters.get("last", 0) + 1
        chunks, dropped = self._fit(part, number)
        with self._transaction():
            self._write_group(part, chunks, number)
            for traffic_class, count in dropped.items():
                self._lose("queue_full", "_store", traffic_class, count)
        self._journal.note(chunks)
        self._wear.note(sum(chunk.size for chunk in chunks))
        self._tally.journaled(chunks)
        self._stale = (self._stale if len(self._stale) < _MOST_STALE else []) + self._recent.keep(number)
        self.identities.update({digest: robot for digest, robot in part.identities.items() if digest not in self.identities})
        self._committing = (group, index + 1)
        self._tell("checkpoint.commit", {"identities": dict(part.identities)} if part.identities else {})

    def _fit(self, part: Group, number: int) -> tuple[list[Chunk], Counter[TrafficClass]]:
        """Make room for a part; return its chunks, and how many readings of each class had to be left out for that."""
        readings, dropped = part.readings, Counter[TrafficClass]()
        while True:
            self._recent.forget()
            chunks = gather(
                readings,
                number=number,
                boot_id=self._clock.boot_id(),
                max_events=self._seal.max_events,
                max_bytes=self._journal.most_bytes,
                recent=self._recent,
            )
            classes = {chunk.stream.traffic_class for chunk in chunks}
            need = sum(chunk.size + ROW_BYTES for chunk in chunks)
            left_out = self._make_room(need, classes) if chunks else None
            if left_out is None:
                return chunks, dropped
            dropped[left_out] += sum(1 for reading in readings if reading.stream.traffic_class == left_out)
            readings = [reading for reading in readings if reading.stream.traffic_class != left_out]

    def _write_group(self, group: Group, chunks: Sequence[Chunk], number: int) -> None:
        self._journal.write(chunks)
        entries = self._recent.entries()
        if entries:
            self._db.execute("INSERT INTO recent VALUES (?,?)", (number, entries))
            if len(self._stale) >= _MOST_STALE:
                self._db.executemany("DELETE FROM recent WHERE id=?", [(old,) for old in self._stale])
        for chunk in chunks:
            self._add(f"acknowledged.{chunk.stream.traffic_class}", len(chunk.events))
            self._add("last", len(chunk.events))
            self._add("journal", len(chunk.events))
        for (reason, traffic_class, route), count in group.refusals.items():
            self._lose(reason, route, traffic_class, count)
        if group.identities:
            self._ledger.write_identities(group.identities)
        if group.memory is not None:
            self._ledger.write_state("memory", group.memory)

    def make_due(self) -> None:
        """Let everything that is journaled be due at once."""
        self._journal.make_due()

    def due_in_seconds(self) -> float | None:
        """Return how long it is until a bundle is due: 0 if one is, None if nothing waits."""
        due_at = self._journal.due_at_ns()
        if self._bundle or due_at is None:
            return 0.0 if self._bundle else None
        return max(0.0, (due_at - self._clock.now().monotonic_ns) / 1e9)

    def next_bundle(self) -> Bundle | None:
        """Return the bundle that is to be sealed next; the same one until it is put. None if none is due."""
        while self._bundle is None:
            now = self._clock.now()
            open_ = self._journal.due(now)
            if open_ is None:
                return None
            cut = self._journal.cut(open_)
            if cut.bad:
                self._drop(open_, cut)
                continue
            self._mended = False
            self._cut, self._bundle = cut, self._compose(open_, cut, late=self._journal.is_late(open_, now))
        return self._bundle

    def _compose(self, open_: OpenStream, cut: Cut, *, late: bool) -> Bundle:
        seq, head = self._chains.get(robot_key(open_.stream.robot_id), (0, None))
        return Bundle(
            device=self.device,
            epoch=self.epoch,
            seq=seq + 1,
            device_seq=self._counters.get("device_seq", 0) + 1,
            previous=head,
            stream=open_.stream,
            events=b",".join(cut.bodies),
            count=cut.count,
            first_received_wall_ns=cut.first_wall_ns,
            last_received_wall_ns=cut.last_wall_ns,
            boot_id=open_.boot_id,
            rows=tuple(number for number, _count in cut.rows),
            marks={word: tuple(indexes) for word, indexes in cut.marks.items()},
            masked=cut.masked,
            loss=tuple(self._ledger.losses(MAX_LOSS_LINES)),
            replaces=open_.stream.replaces,
            sealed_late=late,
        )

    def _drop(self, open_: OpenStream, cut: Cut) -> None:
        """Take chunks out whose events are damaged; their number is known, and goes into the ledger."""
        count = sum(lost for _number, lost, _size in cut.bad)
        for number, _count, _size in cut.bad:
            repair.keep_bytes(self._folder, f"chunk-{number}", self._journal.stored(number), self._shares)
        with self._transaction():
            self._journal.remove(open_, [number for number, _count, _size in cut.bad])
            self._db.executemany("DELETE FROM chunk WHERE id=?", [(bad[0],) for bad in cut.bad])
            self._lose("damaged", "_store", open_.stream.traffic_class, count)
            self._add("settled", count)
            self._add("journal", -count)
        self._journal.removed(open_, count=count, size=sum(size + 1 for _number, _count, size in cut.bad) - 1)
        _log.error("journal rows were damaged; they are counted in the ledger", messages=count)
        self._tell("checkpoint.settled", {"lost": {"damaged": count}})
