"""The store against a model: commits, seals, sendings, crashes, reboots and a lost file in any order."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actod.errors import TransientError
from actod.model import PRIORITY, Bundle, Envelope, Group, Stream, TrafficClass
from actod.store.sqlite import SqliteStore
from tests.store.parts import (
    DEVICE,
    ROBOT,
    SEAL,
    STOP,
    HandClock,
    RememberedLog,
    numbers,
    open_store,
    reading,
    receipt,
    sealed,
)

STREAMS = [ROBOT, DEVICE, STOP, Stream("r-2", "task", None, ROBOT.traffic_class)]


class StoreMachine(RuleBasedStateMachine):
    """Every message is in exactly one place, every number names one content, whatever happens in between."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="model-"))
        self.folder = self.root / "0"
        self.clock, self.log = HandClock(), RememberedLog()
        self.store: SqliteStore = open_store(self.folder, clock=self.clock, log=self.log)
        self.device = self.store.device
        self.next = 0
        self.lives = 0
        self.journal: dict[Stream, list[int]] = {stream: [] for stream in STREAMS}
        self.outbox: list[tuple[Envelope, list[int], int, int]] = []  # with what its ledger counts, and its number
        self.deferred: dict[TrafficClass, int] = {}
        self.delivered: list[int] = []
        self.withheld: list[int] = []
        self.withheld_losses = 0
        self.destroyed: list[int] = []
        self.losses: Counter[str] = Counter()  # ever brought about
        self.reported: Counter[str] = Counter()  # in bundles
        self.heads: dict[str | None, tuple[int, str]] = {}
        self.device_seq, self.epoch, self.put_count = 0, 1, 0
        self.bundles: dict[str, Bundle] = {}

    # -- ordinary life

    @initialize()
    def begin(self) -> None:
        assert self.store.genesis

    @rule(
        counts=st.lists(st.integers(0, 14), min_size=4, max_size=4),
        refused=st.integers(0, 3),
        size=st.sampled_from([0, 300]),
    )
    def commit(self, counts: list[int], refused: int, size: int) -> None:
        self._commit(counts, refused, size)

    @rule(counts=st.lists(st.integers(0, 3), min_size=4, max_size=4))
    def commit_while_the_audit_log_is_full(self, counts: list[int]) -> None:
        self.log.full = True
        made = self._group(counts, 1, 0)
        for _ in range(2):
            try:
                self.store.run(partial(self.store.commit, made))
            except TransientError:
                continue
            raise AssertionError("a commit that was not witnessed returned")
        self.log.full = False
        self.store.run(partial(self.store.commit, made))
        self._committed(made)

    @rule(seconds=st.sampled_from([1, 20, 40, 200]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(now=st.booleans())
    def seal(self, now: bool) -> None:
        if now:
            self.store.run(self.store.make_due)
        bundle = self.store.run(self.store.next_bundle)
        if bundle:
            self._check_and_put(bundle)

    @rule()
    def look_at_a_bundle_and_do_not_put_it(self) -> None:
        first = self.store.run(self.store.next_bundle)
        assert self.store.run(self.store.next_bundle) == first

    @rule(verdict=st.sampled_from(["receipt", "set_aside", "defer", "split", "nothing"]))
    def send(self, verdict: str) -> None:
        envelope = self.store.run(self.store.next_envelope)
        assert bool(envelope) == bool(self.outbox)
        if not envelope:
            return
        turn = [item for item in self.outbox if item[3] > self.deferred.get(item[0].traffic_class, 0)]
        if not turn:
            turn, self.deferred = self.outbox, {}
        expected = min(turn, key=lambda item: PRIORITY[item[0].traffic_class])
        assert envelope == expected[0]
        if verdict == "receipt":
            self.store.run(partial(self.store.receipt, envelope, receipt(envelope)))
            self.delivered += expected[1]
            if not any(stream.replaces and waiting for stream, waiting in self.journal.items()):
                self.deferred = {}
        elif verdict == "set_aside":
            self.store.run(partial(self.store.set_aside, envelope, "http_422"))
            self.withheld += expected[1]
            self.withheld_losses += expected[2]
            self.losses["withheld"] += len(expected[1])
        elif verdict == "defer":
            self.store.run(partial(self.store.defer, envelope))
            self.deferred[envelope.traffic_class] = expected[3]
        elif verdict == "split":
            self._split(expected)
        if verdict in ("receipt", "set_aside"):
            self.outbox.remove(expected)

    def _split(self, item: tuple[Envelope, list[int], int, int]) -> None:
        """Journal again what was sealed, under the name of what it replaces; its ledger is told anew."""
        envelope, inside, _carried, _seq = item
        bundle = self.bundles[envelope.proof_id]
        done = self.store.run(partial(self.store.split, envelope, most_bytes=150))
        assert done == (len(inside) > 1)
        if not done:
            return
        names = [envelope.payload_hash, *(bundle.replaces or "").split()]
        self.journal[replace(bundle.stream, replaces=" ".join(names))] = list(inside)
        self.outbox.remove(item)
        for loss in bundle.loss:
            self.reported[loss.reason] -= loss.count

    @rule()
    def begin_an_epoch(self) -> None:
        self.epoch += 1
        assert self.store.run(partial(self.store.begin_epoch, "key_adopted")) == self.epoch
        self.heads, self.device_seq = {}, 0

    # -- what goes wrong

    @rule(garbage=st.sampled_from([b"", b"\0" * 5000, b"\xff" * 3000]))
    def crash(self, garbage: bytes) -> None:
        old = self._leave_as_a_kill_does()
        if garbage:
            with (self.folder / "spool.db-wal").open("ab") as wal:
                wal.write(garbage)
        self._reopen()
        old.close()

    @rule()
    def restart(self) -> None:
        self.store.close()
        self._reopen()

    @rule()
    def restart_without_the_audit_log(self) -> None:
        """Start with the file alone: all that must go on stands in it, too."""
        self.store.close()
        self.log.known = {}
        self._reopen()

    @rule()
    def lose_power(self) -> None:
        self.store.close()
        self.clock.reboot()
        self._reopen()

    @precondition(lambda self: self.next > 0)
    @rule()
    def lose_the_file(self) -> None:
        self.store.close()
        (self.folder / "spool.db").unlink()
        present = [number for waiting in self.journal.values() for number in waiting] + self.withheld
        present += [number for _envelope, inside, _carried, _seq in self.outbox for number in inside]
        untold = sum((self.losses - self.reported).values()) + self.withheld_losses
        untold += sum(carried for _envelope, _inside, carried, _seq in self.outbox)
        self._reopen()
        self.destroyed += present
        self.journal = {stream: [] for stream in STREAMS}
        self.outbox, self.withheld, self.withheld_losses = [], [], 0
        self.losses = self.reported.copy()  # which losses they were is gone with the file; how many is not
        self.losses["damaged"] += len(present) + untold
        assert self.store.repaired
        assert self.store.repaired.lost == len(present)

    # -- what always holds

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        status = self.store.run(self.store.status)
        waiting = sum(map(len, self.journal.values()))
        assert status.journal_messages == waiting
        assert status.outbox_bundles == len(self.outbox)
        assert status.losses_pending == dict(self.losses - self.reported)
        counters = self.store._counters
        outside = sum(len(inside) for _envelope, inside, _carried, _seq in self.outbox) + len(self.withheld)
        assert counters.get("last", 0) == counters.get("settled", 0) + waiting + outside == self.next
        assert (self.store.device, self.store.epoch) == (self.device, self.epoch)

    def teardown(self) -> None:
        """Whatever happened: all that was acknowledged comes out in the end, once, or is counted."""
        while any(self.journal.values()) or self.losses != self.reported:
            if not any(self.journal.values()):
                self._commit([1, 0, 0, 0], 0, 0)
            self.seal(now=True)
        while self.outbox:
            self.send("receipt")
        assert sorted(self.delivered + self.withheld + self.destroyed) == list(range(self.next))
        self.store.close()
        shutil.rmtree(self.root)

    def _group(self, counts: list[int], refused: int, size: int) -> Group:
        made, number = Group(), self.next
        for stream, count in zip(STREAMS, counts, strict=True):
            for _ in range(count):
                made.readings.append(reading(number, stream, clock=self.clock, size=size))
                number += 1
        if refused:
            made.refuse(reason="not_json", traffic_class="bulk", route="notes", count=refused)
        return made

    def _commit(self, counts: list[int], refused: int, size: int) -> None:
        made = self._group(counts, refused, size)
        self.store.run(partial(self.store.commit, made))
        self._committed(made)

    def _committed(self, made: Group) -> None:
        for entry in made.readings:
            self.journal[entry.stream] += numbers(entry.event)
        self.next += len(made.readings)
        self.losses["not_json"] += sum(made.refusals.values())
        self.losses += Counter()

    def _check_and_put(self, bundle: Bundle) -> None:
        waiting = self.journal[bundle.stream]
        inside = numbers(bundle.events)
        assert inside == waiting[: bundle.count]
        assert bundle.count <= SEAL.max_events
        assert len(bundle.events) <= SEAL.max_bytes or bundle.count == 1
        seq, head = self.heads.get(bundle.stream.robot_id, (0, None))
        assert (bundle.seq, bundle.previous) == (seq + 1, head)
        assert (bundle.epoch, bundle.device_seq) == (self.epoch, self.device_seq + 1)
        assert bundle.replaces == bundle.stream.replaces
        envelope = sealed(bundle)
        self.bundles[envelope.proof_id] = bundle
        self.store.run(partial(self.store.put, bundle, envelope))
        del waiting[: bundle.count]
        self.heads[bundle.stream.robot_id] = (bundle.seq, envelope.payload_hash)
        self.device_seq += 1
        carried = sum(loss.count for loss in bundle.loss)
        self.put_count += 1
        self.outbox.append((envelope, inside, carried, self.put_count))
        for loss in bundle.loss:
            self.reported[loss.reason] += loss.count

    def _leave_as_a_kill_does(self) -> SqliteStore:
        """Copy the files as they are now, without -shm, which no crash keeps whole."""
        self.lives += 1
        new = self.root / str(self.lives)
        new.mkdir(mode=0o700)
        for name in ("spool.db", "spool.db-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, new / name)
        self.folder = new
        old, old._witness = self.store, lambda _event, _fields: None
        return old

    def _reopen(self) -> None:
        self.deferred = {}
        self.store = open_store(self.folder, clock=self.clock, log=self.log)


StoreMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTheStoreAgainstItsModel = StoreMachine.TestCase
