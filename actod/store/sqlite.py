"""What can be done with the store: one transaction for each call. Runs on one thread; knows nothing of asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import partial

import structlog

from actod.errors import IntegrityError, TransientError
from actod.model import Bundle, Envelope, Group, Receipt, TrafficClass
from actod.proof.envelope import proof_id
from actod.store import repair, split
from actod.store.chunk import Chunk, gather, parse_ranges
from actod.store.faults import DamageError
from actod.store.journal import Cut, OpenStream
from actod.store.ledger import MAX_LOSS_LINES, robot_key
from actod.store.outbox import Sealed
from actod.store.schema import ARCHIVE, OUTBOX, PAGE_BYTES, QUARANTINE
from actod.store.status import SpoolStatus, read_status
from actod.store.storefile import StoreFile

_log = structlog.get_logger(__name__)
_PLACES = {OUTBOX: "outbox", ARCHIVE: "archive", QUARANTINE: "quarantine"}
_ROW_BYTES = 2048  # what a chunk or a bundle takes beside its events, generously
_MOST_STALE = 16  # groups that the redelivery window left, deleted together: each deletion rewrites pages
_MOST_EVICTED = 64  # archived bundles that one call drops at most, so that it ends soon


class SqliteStore(StoreFile):
    """Journal, outbox, archive, quarantine and ledger. Call its methods through `run`."""

    # -- journal ------------------------------------------------------------------------------------------------------

    def commit(self, group: Group) -> None:
        """Make a group durable, and have it witnessed. A group whose witness failed is only witnessed again."""
        if group is self._committed:
            self._committed = None
            return
        if not (group.readings or group.refusals or group.identities):
            return
        number = self._counters.get("last", 0) + 1
        self._recent.forget()
        chunks = gather(
            group.readings,
            number=number,
            boot_id=self._clock.boot_id(),
            max_events=self._seal.max_events,
            max_bytes=self._journal.most_bytes,
            recent=self._recent,
        )
        self._make_room(sum(chunk.size + _ROW_BYTES for chunk in chunks))
        with self._transaction():
            self._write_group(group, chunks, number)
        self._journal.note(chunks)
        self._stale = (self._stale if len(self._stale) < _MOST_STALE else []) + self._recent.keep(number)
        self.identities.update(
            {digest: robot for digest, robot in group.identities.items() if digest not in self.identities}
        )
        self._committed = group
        self._tell("checkpoint.commit", {"identities": dict(group.identities)} if group.identities else {})
        self._committed = None

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
            repair.keep_bytes(self._folder, f"chunk-{number}", self._journal.stored(number))
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
            self._trim_archive(self._archive_bytes)
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

    def has_outbox(self) -> bool:
        """Tell whether anything waits for the collector."""
        return self._counters.get("outbox", 0) > 0

    def _row(self, proof: str) -> Sealed | None:
        return self._out.get(proof) or self._outbox.find(proof)

    def _forget(self, row: Sealed) -> None:
        self._out.pop(row.proof_id, None)
        self._taken.discard(row.at)

    def _shift(self, row: Sealed, place: int, *, settled_wall: int | None, note: str | None) -> None:
        self._count(row, -1)
        self._count(self._outbox.move(row, place=place, settled_wall=settled_wall, note=note), 1)

    def _count(self, row: Sealed, sign: int) -> None:
        name = _PLACES[row.place]
        self._add(name, sign)
        self._add(f"{name}_bytes", sign * row.size)
        if row.place == OUTBOX:
            self._add(f"waiting.{row.traffic_class}", sign)

    def _discard(self, row: Sealed, reason: str) -> None:
        with self._transaction():
            self._count(row, -1)
            self._outbox.delete(row)
            self._lose(reason, "_store", row.traffic_class, row.count)
            self._add("settled", row.count)
            if row.losses:  # what its own ledger counted is not told by anyone now
                self._lose(reason, "_ledger", row.traffic_class, row.losses)
                self._add("losses", -row.losses)
        self._forget(row)
        self._tell("checkpoint.settled", {"lost": {reason: row.count}})

    # -- room ---------------------------------------------------------------------------------------------------------

    def _make_room(self, need: int) -> None:
        """Drop archived bundles until `need` bytes fit under the cap. Raises TransientError("disk_full")."""
        while self._live_bytes() + need > self._most_bytes:
            if not self._counters.get("archive", 0):
                raise TransientError("disk_full", "journal and outbox fill store.max_bytes")
            with self._transaction():
                self._trim_archive(0)

    def _live_bytes(self) -> int:
        pages, free = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
        return int(pages - free) * PAGE_BYTES

    def _trim_archive(self, most_bytes: int) -> None:
        """Drop the oldest of the lowest class from the archive until it holds `most_bytes`, some at a time."""
        for _ in range(_MOST_EVICTED):
            if self._counters.get("archive_bytes", 0) <= most_bytes:
                return
            row = self._outbox.least(ARCHIVE)
            if row is None:
                return
            self._count(row, -1)
            self._outbox.delete(row)
