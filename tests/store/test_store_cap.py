"""The hard cap on the whole state folder, what gives way when it is reached, and that every drop is counted."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actod.audit.log import AuditLog
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.errors import TransientError
from actod.model import Delivery, Group, Instant, MaskedReading, Stream, TrafficClass
from actod.store import repair
from actod.store.checkpoint import merged
from actod.store.outbox import CLASSES
from actod.store.schema import OUTBOX, QUARANTINE
from actod.store.sqlite import SqliteStore
from actod.store.vault import FOLDER, SealedVault, make_operator_key
from tests.store.parts import OPENED, HandClock, event, group, numbers, receipt, sealed

CAP = 8 << 20  # the smallest that is allowed
SEAL = SealConfig(max_events=200, max_bytes=40_000, max_age_seconds=30)
DROP = {"when_full": "drop_oldest", "drop_up_to": "safety"}
STREAMS = {each: Stream("r-1", "task", "run", each) for each in CLASSES}
chosen = random.Random(5)  # noqa: S311 - no secret


def disk_usage(folder: Path) -> int:
    """Return what `du -s` says: blocks of files and folders."""
    total = folder.stat().st_blocks
    for root, folders, files in os.walk(folder):
        for name in folders + files:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(root) / name).lstat().st_blocks
    return total * 512


@dataclass
class Robot:
    """A store and an audit log in one folder, as the daemon has them; measured at each commit."""

    folder: Path
    config: StoreConfig
    clock: HandClock = field(default_factory=HandClock)
    highest: int = 0
    repairs: int = 0
    received: dict[int, TrafficClass] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    delivered: set[int] = field(default_factory=set)

    def open(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        file_bytes, all_bytes = self.config.shares.audit_limits
        limits = AuditConfig(max_file_bytes=file_bytes, max_bytes=all_bytes)
        share = self.config.shares.audit
        self.audit = AuditLog(self.folder / "audit", clock=self.clock, config=limits, share_bytes=share)
        known = merged(self.audit.lines(back_to="device"))
        arguments: dict[str, Any] = {"seal": SEAL, "store": self.config, "compress": False, "known": known}
        self.store = SqliteStore(folder=self.folder, clock=self.clock, witness=self.witness, **arguments)
        OPENED.append(self.store)

    def witness(self, what: str, fields: Mapping[str, Any]) -> None:
        self.audit.witness(what, fields)
        self.measure()

    def measure(self) -> None:
        self.highest = max(self.highest, disk_usage(self.folder))

    def offer(self, number: int, count: int, traffic_class: TrafficClass, size: int) -> bool:
        """Commit a group as the pipeline does; False where it blocks."""
        made = Group()
        for index in range(number, number + count):
            noise = chosen.randbytes(size // 2).hex().encode()
            data = event(index).replace(b'"pad":""', b'"pad":"%b"' % noise)
            made.readings.append(MaskedReading(STREAMS[traffic_class], data, {}, self.clock.now(), packet_id=1 + index % 99))
        made.refuse(reason="not_json", traffic_class="bulk", route="notes", count=1)
        try:
            self.store.run(partial(self.store.commit, made))
        except TransientError as refused:
            return refused.reason != "disk_full"
        self.received.update(dict.fromkeys(range(number, number + count), traffic_class))
        return True

    def seal(self, most: int = 1000) -> None:
        self.store.run(self.store.make_due)
        for _ in range(most):
            bundle = self.store.run(self.store.next_bundle)
            if bundle is None:
                return
            self.store.run(partial(self.store.put, bundle, sealed(bundle)))
            self.told.update({f"{loss.reason} {loss.traffic_class}": loss.count for loss in bundle.loss})

    def deliver(self, most: int) -> None:
        for _ in range(most):
            envelope = self.store.run(self.store.next_envelope)
            if envelope is None:
                return
            self.store.run(partial(self.store.receipt, envelope, receipt(envelope)))
            self.delivered.update(numbers(envelope.body))

    def ledger(self, *reasons: str) -> Counter[str]:
        """Return what the ledger says, told or not, as "reason class": count."""
        counts = Counter(self.told)
        for loss in self.store._ledger.losses():
            counts[f"{loss.reason} {loss.traffic_class}"] += loss.count
        return Counter({name: count for name, count in counts.items() if name.split()[0] in reasons})

    def queued(self) -> set[int]:
        """Return the messages in journal, outbox and quarantine."""
        store = self.store
        bodies = [store._journal.body(number) for (number,) in store._db.execute("SELECT id FROM journal")]
        rows = [row for place in (OUTBOX, QUARANTINE) for row in store._outbox.first(place, limit=100_000)]
        bodies += [envelope.body for row in rows if (envelope := store._outbox.envelope(row))]
        return {number for body in bodies for number in numbers(body or b"")}

    def close(self) -> None:
        self.store.close()
        self.audit.close()


@pytest.fixture
def robots() -> Iterator[list[Robot]]:
    opened: list[Robot] = []
    yield opened
    for robot in opened:
        robot.audit.close()


def measure_in_repairs(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the folder each time that a repair syncs it, too: the new file is whole and the old one still there."""
    sync = repair.sync_folder

    def measured(folder: Path) -> None:
        robot.measure()
        robot.repairs += 1
        sync(folder)

    monkeypatch.setattr(repair, "sync_folder", measured)


def test_the_folder_never_passes_its_cap_and_every_message_is_somewhere(
    tmp_path: Path, robots: list[Robot], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was received is delivered, queued, or counted as dropped or damaged: exactly, in each class."""
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, **DROP))
    robots.append(robot)
    robot.open()
    measure_in_repairs(robot, monkeypatch)
    vault = SealedVault(
        robot.folder / FOLDER, operator_key=make_operator_key(tmp_path / "key"), max_bytes=robot.config.shares.vault
    )
    number = 0
    for step in range(600):
        traffic_class = chosen.choices(CLASSES, (1, 2, 8, 8))[0]
        count, size = chosen.choice(((1, 4000), (20, 200), (60, 600), (4, 12_000)))
        if traffic_class == TrafficClass.INTERVENTION:
            count, size = 1, 200
        if robot.offer(number, count, traffic_class, size):
            number += count
        if step % 3 == 0:
            vault.keep(Delivery("t", b"x" * 300, 1, 1, 1, duplicate=False, retained=False, received=Instant(step, step)))
            robot.seal(3)
        if step % 150 == 149:  # the network comes back for a while
            robot.deliver(60)
        if step == 300:
            robot.close()
            robot.open()
        if step == 450:  # the disk damages a page while the store is as full as it may be
            page = robot.store._db.execute("SELECT rootpage FROM sqlite_schema WHERE name='journal'").fetchone()[0]
            robot.close()
            with (robot.folder / "spool.db").open("r+b") as file:
                file.seek(512 * (page - 1))
                file.write(bytes(512))
            robot.open()
            assert robot.store.repaired
            robot.measure()
    assert robot.highest <= CAP
    assert robot.repairs > 2
    assert disk_usage(robot.folder / FOLDER) > 150_000, "the vault was filled"
    missing = Counter(robot.received[number] for number in robot.received.keys() - robot.queued() - robot.delivered)
    dropped, damaged = robot.ledger("queue_full"), robot.ledger("damaged")["damaged normal"]  # a page says no class
    for each in (TrafficClass.INTERVENTION, TrafficClass.SAFETY, TrafficClass.BULK, TrafficClass.NORMAL):
        assert 0 <= missing[each] - dropped[f"queue_full {each}"] <= damaged
    assert missing.total() == dropped.total() + damaged
    assert dropped["queue_full bulk"] > 500
    assert not dropped["queue_full intervention"]
    assert len(robot.delivered) > 500
    robot.close()


def test_an_archive_gives_way_first_and_then_the_lowest_class_that_may_be_dropped(
    tmp_path: Path, robots: list[Robot]
) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, when_full="drop_oldest", drop_up_to="bulk"))
    robots.append(robot)
    robot.open()
    number = 0
    while robot.offer(number, 20, TrafficClass.NORMAL, 1000):
        number += 20
    robot.seal()
    robot.deliver(3)
    assert robot.offer(number, 20, TrafficClass.NORMAL, 1000), "what was delivered makes room"
    number += 20
    while robot.offer(number, 20, TrafficClass.NORMAL, 1000):
        number += 20
    assert not robot.ledger("queue_full"), "a class that blocks is never dropped"
    assert robot.offer(number, 20, TrafficClass.BULK, 1000), "a class that may be dropped is taken, and dropped"
    assert robot.ledger("queue_full") == {"queue_full bulk": 20}
    assert robot.highest <= CAP
    robot.close()


def test_dropped_messages_are_the_oldest_of_their_class_and_stand_in_the_next_bundle(
    tmp_path: Path, robots: list[Robot]
) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, **DROP))
    robots.append(robot)
    robot.open()
    for first in range(0, 2400, 20):
        assert robot.offer(first, 20, TrafficClass.BULK if first % 40 else TrafficClass.SAFETY, 1000)
    dropped = robot.ledger("queue_full")
    assert set(dropped) == {"queue_full bulk"}
    left = [
        number
        for open_ in robot.store._journal._open.values()
        for number, *_ in robot.store._db.execute("SELECT id FROM journal WHERE at >> 44 = ?", (open_.number,))
        if open_.stream.traffic_class == TrafficClass.BULK
    ]
    assert min(left) > 1 + 2 * dropped["queue_full bulk"] - 80, "the newest are kept"
    robot.seal()
    assert robot.told["queue_full bulk"] == dropped["queue_full bulk"]
    robot.close()


def test_a_lower_class_that_is_all_in_hand_neither_stops_the_store_nor_what_may_be_dropped_instead(
    tmp_path: Path, robots: list[Robot]
) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, when_full="drop_oldest"))
    robots.append(robot)
    robot.open()
    robot.offer(0, 20, TrafficClass.BULK, 1000)
    robot.seal()
    in_hand = robot.store.run(robot.store.take)
    assert in_hand
    assert in_hand.traffic_class == TrafficClass.BULK
    number = 20
    while not robot.ledger("queue_full"):
        assert robot.offer(number, 20, TrafficClass.NORMAL, 1000)
        number += 20
    assert set(robot.ledger("queue_full")) == {"queue_full normal"}
    robot.store.run(partial(robot.store.give_back, in_hand))
    while robot.ledger("queue_full").keys() == {"queue_full normal"}:
        assert robot.offer(number, 20, TrafficClass.NORMAL, 1000)
        number += 20
    assert robot.ledger("queue_full")["queue_full bulk"] == 21, "what came back goes first, with the loss that it told of"
    robot.close()


def test_what_only_a_class_in_hand_could_give_up_blocks(tmp_path: Path, robots: list[Robot]) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, when_full="drop_oldest", drop_up_to="bulk"))
    robots.append(robot)
    robot.open()
    robot.offer(0, 20, TrafficClass.BULK, 1000)
    robot.seal()
    assert robot.store.run(robot.store.take)
    number = 20
    while robot.offer(number, 20, TrafficClass.NORMAL, 1000):
        number += 20
    assert not robot.ledger("queue_full")
    robot.close()


def test_a_bundle_whose_messages_were_dropped_while_the_token_signed_is_cut_anew(
    tmp_path: Path, robots: list[Robot]
) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, **DROP))
    robots.append(robot)
    robot.open()
    robot.offer(0, 20, TrafficClass.BULK, 1000)
    robot.store.make_due()
    cut = robot.store.run(robot.store.next_bundle)
    assert cut
    number = 20
    while not robot.ledger("queue_full"):
        robot.offer(number, 20, TrafficClass.BULK, 1000)
        number += 20
    with pytest.raises(TransientError, match="bundle_stale"):
        robot.store.run(partial(robot.store.put, cut, sealed(cut)))
    robot.seal(1)
    robot.close()


def test_a_group_that_no_transaction_can_take_is_committed_in_parts_once_each(tmp_path: Path, robots: list[Robot]) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP))
    robots.append(robot)
    robot.open()
    made = group(range(1000), STREAMS[TrafficClass.NORMAL], clock=robot.clock, size=1500)
    parts = robot.store._parts(made)
    assert len(parts) > 2
    witness, robot.store._witness = robot.store._witness, _refuses_after(2)
    with pytest.raises(TransientError):
        robot.store.run(partial(robot.store.commit, made))
    robot.store._witness = witness
    robot.store.run(partial(robot.store.commit, made))
    assert robot.store.run(robot.store.status).journal_messages == 1000
    robot.measure()
    assert robot.highest <= CAP
    robot.close()


def _refuses_after(lines: int) -> Any:
    left = [lines]

    def witness(_event: str, _fields: Mapping[str, Any]) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise TransientError("audit_full")

    return witness


def test_a_reader_that_stays_cannot_make_the_write_ahead_log_grow_beyond_its_share(
    tmp_path: Path, robots: list[Robot]
) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=CAP, **DROP))
    robots.append(robot)
    robot.open()
    robot.offer(0, 1, TrafficClass.BULK, 100)
    reader = sqlite3.connect(f"file:{robot.folder / 'spool.db'}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM journal").fetchone() == (1,)
    made = group(range(20), STREAMS[TrafficClass.BULK], clock=robot.clock, size=2000)
    refused = ""
    while not refused:
        try:
            robot.store.run(partial(robot.store.commit, made))
        except TransientError as exc:
            refused = exc.reason
    assert refused == "wal_held"
    assert (robot.folder / "spool.db-wal").stat().st_size <= robot.config.shares.wal
    reader.close()
    robot.store.run(partial(robot.store.commit, made))
    robot.close()


def test_a_smaller_cap_builds_the_file_anew_within_it(tmp_path: Path, robots: list[Robot]) -> None:
    robot = Robot(tmp_path / "state", StoreConfig(max_bytes=4 * CAP))
    robots.append(robot)
    robot.open()
    for first in range(0, 8000, 100):
        robot.offer(first, 100, TrafficClass.NORMAL, 1000)
    robot.seal()
    robot.deliver(1000)
    robot.offer(8000, 5, TrafficClass.NORMAL, 1000)
    robot.close()
    assert (robot.folder / "spool.db").stat().st_size > CAP // 2
    robot.config = StoreConfig(max_bytes=CAP)
    robot.open()
    assert (robot.folder / "spool.db").stat().st_size <= robot.config.shares.database
    assert robot.store.run(robot.store.status).journal_messages == 5
    robot.measure()
    robot.close()
    robot.open()
    assert robot.store.repaired is None
    robot.close()
