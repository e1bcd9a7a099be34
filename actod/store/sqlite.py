"""What can be done with the store: one transaction for each call. Runs on one thread; knows nothing of asyncio."""

from __future__ import annotations

import dataclasses
from collections.abc import Set as AbstractSet
from functools import partial

import orjson
import structlog

from actod.errors import IntegrityError, RejectedError, TransientError
from actod.model import Bundle, ChainHeads, Envelope, Receipt, TrafficClass
from actod.proof.envelope import proof_id
from actod.store import split
from actod.store.archive import READ_BACK
from actod.store.chunk import parse_ranges
from actod.store.commits import ROW_BYTES, StoreCommits
from actod.store.faults import DamageError
from actod.store.journal import Cut, OpenStream
from actod.store.ledger import robot_key
from actod.store.outbox import Sealed
from actod.store.schema import ARCHIVE, OUTBOX, QUARANTINE
from actod.store.status import SpoolStatus, read_status
from actod.store.tally import Tally

_log = structlog.get_logger(__name__)


class SqliteStore(StoreCommits):
    """Journal, outbox, archive, quarantine and ledger. Call its methods through `run`."""

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
        self._clear_archive(len(envelope.body) - len(bundle.events) + ROW_BYTES)
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
            self._forget(row)

    def give_back(self, envelope: Envelope) -> None:
        """Let an envelope that was taken be sent by another."""
        row = self._out.get(envelope.proof_id)
        if row:
            self._forget(row)

    def receipt(self, envelope: Envelope, receipt: Receipt) -> None:
        """Archive what the collector confirmed. Once more is no error."""
        if receipt.proof_id != envelope.proof_id:
            raise IntegrityError("receipt_mismatch", "a receipt names another envelope")
        row = self._row(envelope.proof_id)
        if row is None or row.place == ARCHIVE:
            return
        whole = row.traffic_class not in READ_BACK or self._reads_back(row, envelope)
        with self._transaction():
            if not whole:
                row = self._outbox.keep_whole(row, envelope.body)
            self._shift(row, ARCHIVE, settled_wall=receipt.received_wall_ns, note=receipt.server_date)
            self._add("settled", row.count)
            self._add("losses", -row.losses)
            self._add("submitted", 1)
            self._trim_archive()
            self._expire_archive(receipt.server_date)
        if not self._journal.replacing():  # else all that is too large, and must wait, would come first again each time
            self._deferred = {}  # others pass: what was suspect may show whose fault it was
        self._forget(row)
        self._tell("checkpoint.settled")

    def _reads_back(self, row: Sealed, envelope: Envelope) -> bool:
        """Read a bundle from the disk, past every cache, and compare it with what was delivered."""
        self._db.execute("PRAGMA shrink_memory")
        self._cold.forget_cached()
        stored = self._outbox.envelope(row)
        if stored is not None and stored.body == envelope.body:
            return True
        _log.error("a delivered bundle could not be read back from the disk; it is written anew", proof_id=row.proof_id)
        return False

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

    def quarantined(self, reason: str, limit: int) -> list[str]:
        """Return the proof ids of up to `limit` bundles that were set aside for this reason."""
        return [row.proof_id for row in self._outbox.noted(QUARANTINE, reason, limit=limit)]

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
        self._tell("checkpoint.settled")
        return True

    def purge(self, proof: str) -> int:
        """Drop an undelivered bundle by an operator's command; return how many messages the ledger calls purged.

        Raises RejectedError("bundle_in_hand") for one that submission holds: it may leave, or have left, all the same.
        """
        row = self._outbox.find(proof)
        if row is None or row.place == ARCHIVE:
            return 0
        if row.at in self._taken:
            raise RejectedError(
                "bundle_in_hand", "it is about to be sent: actod incident lock, purge it, actod incident unlock"
            )
        self._discard(row, "purged")
        return row.count

    def status(self) -> SpoolStatus:
        """Return what the store holds, in numbers."""
        now = self._clock.now()
        return dataclasses.replace(
            read_status(self._db, wall_ns=now.wall_ns),
            written_bytes_a_day=self._wear.bytes_a_day(now.monotonic_ns),
            write_amplification=self._wear.amplification(),
        )

    def passed(self) -> tuple[int, int]:
        """Return how many messages were journaled and bundles confirmed since genesis. From any thread."""
        counters = self._counters
        return sum(counters.get(f"acknowledged.{word}", 0) for word in TrafficClass), counters.get("submitted", 0)

    def tally(self) -> Tally:
        """Return what was counted since the opening."""
        return self._tally.copy()

    def newest_receipts(self, limit: int) -> list[Sealed]:
        """Return the bundles that were confirmed last, newest first."""
        return sorted(self._outbox.newest(ARCHIVE, limit=limit), key=lambda row: row.settled_wall or 0, reverse=True)[:limit]

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
