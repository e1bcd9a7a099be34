"""What can be done with the store: one transaction for each call. Runs on one thread; knows nothing of asyncio."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import orjson
import structlog

from actod.errors import IntegrityError, TransientError
from actod.model import Bundle, ChainHeads, Envelope, Group, Receipt, TrafficClass
from actod.proof.envelope import proof_id
from actod.store import repair, split
from actod.store.chunk import Chunk, gather, parse_ranges
from actod.store.faults import DamageError
from actod.store.journal import Cut, OpenStream
from actod.store.ledger import MAX_LOSS_LINES, robot_key
from actod.store.outbox import Sealed
from actod.store.room import StoreRoom
from actod.store.schema import ARCHIVE, OUTBOX, QUARANTINE
from actod.store.status import SpoolStatus, read_status

_log = structlog.get_logger(__name__)
_ROW_BYTES = 2048  # what a chunk or a bundle takes beside its events, generously
_MOST_STALE = 16  # groups that the redelivery window left, deleted together: each deletion rewrites pages
_READING_BYTES = 32


class SqliteStore(StoreRoom):
    """Journal, outbox, archive, quarantine and ledger. Call its methods through `run`."""

    _committing: tuple[Group, int] | None = None  # a group whose commit was refused half way, and how many parts are durable

    # -- journal ------------------------------------------------------------------------------------------------------

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
            need = sum(chunk.size + _ROW_BYTES for chunk in chunks)
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

    # -- outbox -------------------------------------------------------------------------------------------------------

    def put(self, bundle: Bundle, envelope: Envelope) -> None:
        """Seal: journal rows out, envelope in, chain on, losses carried."""
        if envelope.proof_id == self._put:
            return
        if envelope.proof_id != proof_id(envelope.payload_hash):
            raise IntegrityError("proof_id_mismatch", "an envelope's id does not follow from its hash")
        open_ = self._journal.find(bundle.stream, bundle.boot_id)
        if bundle != self._bundle or self._cut is None or open_ is None:
            if self._mended:
                raise TransientError("bundle_stale", "the store was repaired since this bundle was cut")
            raise IntegrityError("bundle_unknown", "only the bundle that next_bundle returned can be put")
        self._clear_archive(len(envelope.body) - len(bundle.events) + _ROW_BYTES)
        with self._transaction():
            self._move(bundle, envelope, open_, self._cut)
        robot = robot_key(bundle.stream.robot_id)
        self._chains[robot] = (bundle.seq, envelope.payload_hash)
        self._journal.removed(open_, count=bundle.count, size=len(bundle.events))
        self._bundle, self._cut, self._put = None, None, envelope.proof_id
        head = [self.epoch, bundle.seq, envelope.payload_hash]
        self._tell("checkpoint.sealed", {"device_seq": bundle.device_seq, "heads": {robot: head}})

    def _move(self, bundle: Bundle, envelope: Envelope, open_: OpenStream, cut: Cut) -> None:
        taken = self._journal.remove(open_, bundle.rows) and self._ledger.take_losses(bundle.loss)
        if not taken:
            raise DamageError("store_damaged", "what the bundle holds is no longer there")
        self._add("bundle", 1)
        row, head, tail = self._outbox.row_of(
            bundle, envelope, number=self._counters["bundle"], chunks=cut.rows, wall_ns=self._clock.now().wall_ns
        )
        self._outbox.insert(row, head=head, tail=tail)
        robot = robot_key(bundle.stream.robot_id)
        if bundle.seq == 1:
            self._add("chains", 1)
        self._ledger.write_chain(robot, bundle.seq, envelope.payload_hash)
        self._counters["device_seq"] = bundle.device_seq
        self._add("sealed", 1)
        self._add("journal", -bundle.count)
        self._count(row, 1)

    def next_envelope(self, without: AbstractSet[TrafficClass] = frozenset()) -> Envelope | None:
        """Return what is sent next: the oldest of the highest priority that was neither taken nor deferred.

        None if nothing waits, or nothing but the classes in `without`.
        """
        while self.has_outbox():
            after = partial(self._outbox.after, OUTBOX, skip=self._taken, without=without)
            row = after(self._deferred) or after({})
            if row is None:
                if not self._taken and not without:
                    raise DamageError("store_damaged", "bundles that were queued are not there")
                return None
            if row.id <= self._deferred.get(row.traffic_class, -1):
                self._deferred = {}  # each had its turn
            if envelope := self._hand_out(row):
                return envelope
        return None

    def take(self, without: AbstractSet[TrafficClass] = frozenset()) -> Envelope | None:
        """Return what is sent next, and hand it out to nobody else until it is settled, deferred or given back."""
        envelope = self.next_envelope(without)
        if envelope:
            self._taken.add(self._out[envelope.proof_id].at)
        return envelope

    def _hand_out(self, row: Sealed) -> Envelope | None:
        """Put an envelope together; one that can no longer be is dropped and counted."""
        envelope = self._outbox.envelope(row)
        if envelope is None:
            _log.error("a sealed bundle was damaged; its messages are counted in the ledger", messages=row.count)
            self._discard(row, "damaged")
        else:
            self._out[row.proof_id] = row
        return envelope

    def defer(self, envelope: Envelope) -> None:
        """Let all others have their turn first."""
        row = self._out.get(envelope.proof_id)
        if row:
            self._deferred[row.traffic_class] = max(row.id, self._deferred.get(row.traffic_class, -1))
            self._taken.discard(row.at)

    def give_back(self, envelope: Envelope) -> None:
        """Let an envelope that was taken be sent by another."""
        row = self._out.get(envelope.proof_id)
        if row:
            self._taken.discard(row.at)

    def receipt(self, envelope: Envelope, receipt: Receipt) -> None:
        """Archive what the collector confirmed. Once more is no error."""
        if receipt.proof_id != envelope.proof_id:
            raise IntegrityError("receipt_mismatch", "a receipt names another envelope")
        row = self._row(envelope.proof_id)
        if row is None or row.place == ARCHIVE:
            return
        with self._transaction():
            self._shift(row, ARCHIVE, settled_wall=receipt.received_wall_ns, note=receipt.server_date)
            self._add("settled", row.count)
            self._add("losses", -row.losses)
            self._add("submitted", 1)
            self._trim_archive()
        self._deferred = {}  # others pass: what was suspect may show whose fault it was
        self._forget(row)
        self._tell("checkpoint.settled")

    def set_aside(self, envelope: Envelope, reason: str) -> None:
        """Quarantine what the collector will never take, and say so in the ledger."""
        row = self._row(envelope.proof_id)
        if row is None or row.place != OUTBOX:
            return
        with self._transaction():
            self._shift(row, QUARANTINE, settled_wall=self._clock.now().wall_ns, note=reason)
            self._lose("withheld", "_outbox", row.traffic_class, row.count)
            self._hold_quarantine()
        self._forget(row)
        self._tell("checkpoint.settled", {"lost": {"withheld": row.count}})

    def split(self, envelope: Envelope, *, most_bytes: int) -> bool:
        """Put a bundle's readings back into the journal, to be sealed in bundles that name it; hold all to `most_bytes`.

        False if it cannot be cut.
        """
        self.limit(most_bytes)
        row = self._row(envelope.proof_id)
        if row is None or row.place != OUTBOX:
            return True
        returned = split.returned(
            envelope,
            chunks=list(parse_ranges(row.chunks)),
            bodies=list(self._outbox.chunks(number for number, _count in parse_ranges(row.chunks))),
            max_events=self._seal.max_events,
            max_bytes=most_bytes,
        )
        if returned is None:
            return False
        chunks, losses = returned
        with self._transaction():
            self._count(row, -1)
            self._outbox.delete(row)
            self._journal.write(chunks)
            self._ledger.add_losses(losses)
            self._add("journal", row.count)
        self._journal.note(chunks)
        self._forget(row)
        self._tell("checkpoint.split", {"replaced": row.payload_hash})
        return True

    def limit(self, most_bytes: int) -> None:
        """Hold bundles that are cut from now on to so many bytes of events."""
        self._journal.most_bytes = min(self._seal.max_bytes, most_bytes)

    def replacing(self) -> int:
        """Return how many bundles that were split wait to be sealed again."""
        return self._journal.replacing()

    def sample(self, share: float) -> Envelope | None:
        """Return one archived envelope, `share` (0 to 1) of the way through the archive; None if there is none."""
        row = self._outbox.near(ARCHIVE, share)
        return self._outbox.envelope(row) if row else None

    def retry(self, proof: str) -> bool:
        """Bring a quarantined bundle back to the outbox. False if there is none."""
        row = self._outbox.find(proof)
        if row is None or row.place != QUARANTINE:
            return False
        with self._transaction():
            self._shift(row, OUTBOX, settled_wall=None, note=None)
        return True

    def purge(self, proof: str) -> bool:
        """Drop a bundle that was not delivered, by an operator's command; the ledger says so. False if there is none."""
        row = self._outbox.find(proof)
        if row is None or row.place == ARCHIVE:
            return False
        self._discard(row, "purged")
        return True

    def status(self) -> SpoolStatus:
        """Return what the store holds, in numbers."""
        return read_status(self._db, wall_ns=self._clock.now().wall_ns)

    def heads(self) -> ChainHeads:
        """Return where the epoch stands."""
        device_seq = self._counters.get("device_seq", 0)
        newest = self._outbox.numbered(self._counters.get("bundle", 0))
        known = newest is not None and (newest.epoch, newest.device_seq) == (self.epoch, device_seq)
        return ChainHeads(
            device=self.device,
            epoch=self.epoch,
            device_seq=device_seq,
            payload_hash=newest.payload_hash if newest and known else None,
            heads=tuple((orjson.loads(robot), seq, head) for robot, (seq, head) in sorted(self._chains.items()) if head),
        )

    def _row(self, proof: str) -> Sealed | None:
        return self._out.get(proof) or self._outbox.find(proof)
