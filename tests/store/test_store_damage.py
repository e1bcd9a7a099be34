"""Damage of every kind: the store starts by itself, keeps each good row, and counts the rest."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import shutil
import sqlite3
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from actod.errors import TransientError
from actod.store import repair, salvage
from actod.store.chunk import digest
from actod.store.ledger import robot_key
from actod.store.outbox import Sealed
from actod.store.pages import LeafPages
from actod.store.schema import ARCHIVE, PAGE_BYTES, QUARANTINE, STREAM_SHIFT
from actod.store.sqlite import SqliteStore
from tests.store.parts import DEVICE, ROBOT, HandClock, RememberedLog, group, numbers, open_store, receipt, sealed

GROUPS, PER_GROUP = 60, 7
MESSAGES = GROUPS * PER_GROUP
DELIVERED, WITHHELD = 5 * PER_GROUP, PER_GROUP
OWN = 10_000_000  # a message of the test's own, that carries the ledger when nothing else does


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RememberedLog, HandClock]:
    """Make a store with everything in it: journal, outbox, archive, quarantine, losses; closed cleanly."""
    folder, log, clock = tmp_path_factory.mktemp("filled") / "state", RememberedLog(), HandClock()
    store = open_store(folder, clock=clock, log=log, compress=False)
    for number in range(GROUPS):
        first = number * PER_GROUP
        made = group(range(first, first + PER_GROUP), (ROBOT, DEVICE)[number % 2], clock=clock, size=100)
        made.identities = {f"{number:02}": f"robot-{number}"}
        store.run(partial(store.commit, made))
        if number % 2 and (bundle := store.run(store.next_bundle)):
            store.run(partial(store.put, bundle, sealed(bundle)))
        if number == 30:
            for _ in range(5):
                envelope = store.run(store.next_envelope)
                assert envelope
                store.run(partial(store.receipt, envelope, receipt(envelope)))
            envelope = store.run(store.next_envelope)
            assert envelope
            store.run(partial(store.set_aside, envelope, "http_422"))
    store.close()
    return folder, log, clock


@pytest.fixture
def state(filled: tuple[Path, RememberedLog, HandClock], tmp_path: Path) -> tuple[Path, RememberedLog, HandClock]:
    folder, log, clock = filled
    shutil.copytree(folder, tmp_path / "state")
    remembered = RememberedLog()
    remembered.known = dict(log.known)
    return tmp_path / "state", remembered, clock


def rows(store: SqliteStore, place: int) -> list[Sealed]:
    return store.run(lambda: store._outbox.first(place, limit=10_000))  # looked up anew after a repair


def drained(store: SqliteStore) -> tuple[Counter[int], Counter[str]]:
    """Seal and deliver everything; return how often each message came out, and the ledger by reason.

    Losses of the ledger's own lines are counted apart, as "ledger".
    """
    out: Counter[int] = Counter()
    losses: Counter[str] = Counter()
    for place in (ARCHIVE, QUARANTINE):
        for row in rows(store, place):
            envelope = store.run(lambda row=row: store._outbox.envelope(row))
            out.update(numbers(envelope.body) if envelope else [])
    while True:
        store.run(store.make_due)
        bundle = store.run(store.next_bundle)
        envelope = store.run(store.next_envelope)
        if bundle:
            try:
                store.run(partial(store.put, bundle, sealed(bundle)))
            except TransientError:  # the store was repaired since it was cut: it is cut anew
                continue
            for loss in bundle.loss:
                losses["ledger" if loss.route == "_ledger" else loss.reason] += loss.count
        elif envelope:
            out.update(numbers(envelope.body))
            store.run(partial(store.receipt, envelope, receipt(envelope)))
        elif store.run(store.status).losses_pending:
            store.run(partial(store.commit, group([OWN], DEVICE, clock=HandClock())))
        else:
            del out[OWN]
            return out, losses


def check(store: SqliteStore, log: RememberedLog) -> int:
    """All that is not there any more is counted, exactly; return how many that are."""
    out, losses = drained(store)
    assert set(out.values()) <= {1}, "a message came out twice"
    gone = MESSAGES - len(out)
    settled = DELIVERED + WITHHELD  # what is lost of these was delivered, or is in the ledger already
    assert gone - settled <= losses["damaged"] <= gone
    counters = store._counters
    assert counters["last"] == counters["settled"] + sum(row.count for row in rows(store, QUARANTINE))
    assert log.known["last"] >= MESSAGES
    return gone


def test_a_sound_store_says_that_nothing_is_gone(state: tuple[Path, RememberedLog, HandClock]) -> None:
    folder, log, clock = state
    store = open_store(folder, clock=clock, log=log)
    assert store.repaired is None
    out, losses = drained(store)
    assert len(out) == MESSAGES
    assert not losses, "withheld stood in a bundle already"
    store.close()


@pytest.mark.parametrize("seed", [*range(20), 98, 204, 521, 537, 705, 1129])
def test_flipped_bytes_anywhere_are_survived_and_counted(state: tuple[Path, RememberedLog, HandClock], seed: int) -> None:
    folder, log, clock = state
    chosen = random.Random(seed)  # noqa: S311 - no secret
    data = bytearray((folder / "spool.db").read_bytes())
    for _ in range(chosen.choice([1, 1, 3, 20])):
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    (folder / "spool.db").write_bytes(data)
    store = open_store(folder, clock=clock, log=log)
    assert (store.epoch, store.device) == (1, log.known["device"])
    check(store, log)
    store.close()


ALTERED = [
    "UPDATE journal SET masked = replace(masked, 'email', 'phone')",
    "UPDATE journal SET marks = '{\"retained\":[0]}'",
    "UPDATE journal SET key = replace(key, 'task', 'mask')",
    "UPDATE journal SET first_wall = first_wall + 1",
    "UPDATE bundle SET payload_hash = replace(payload_hash, 'a', 'b') WHERE note IS NULL",
    "UPDATE bundle SET chunks = '1+7' WHERE note IS NULL",
    "UPDATE chain SET head = replace(head, 'a', 'b')",
    "UPDATE chain SET seq = seq + 1",
    "UPDATE identity SET robot_id = 'robot-x'",
    "UPDATE state SET value = replace(value, '\"epoch\":1', '\"epoch\":2')",
    "UPDATE chunk SET body = CAST(replace(CAST(body AS TEXT), 'robot/state', 'robot/stats') AS BLOB)",
    "UPDATE wrap SET tail = CAST('x' AS BLOB)",
    "UPDATE journal SET id = 1.5",
    "UPDATE journal SET monotonic = 'x'",
    "UPDATE wrap SET tail = CAST(tail AS TEXT)",  # one bit of a row's header makes another type
    "UPDATE wrap SET head = 0",
    "DELETE FROM chunk WHERE id > 200",
    "DELETE FROM journal WHERE id > 300",
    "DELETE FROM bundle WHERE note IS NULL",
]


@pytest.mark.parametrize("statement", ALTERED)
def test_what_was_altered_is_never_used(state: tuple[Path, RememberedLog, HandClock], statement: str) -> None:
    """SQLite sees nothing wrong here: only our own digests and counts do."""
    folder, log, clock = state
    heads = dict(log.known["heads"])
    with contextlib.closing(sqlite3.connect(folder / "spool.db", isolation_level=None)) as damaged:
        assert damaged.execute(statement).rowcount > 0
    store = open_store(folder, clock=clock, log=log)
    assert set(store.identities.values()) == {f"robot-{number}" for number in range(GROUPS)}
    assert (store.epoch, store.device) == (1, log.known["device"])
    store.run(store.make_due)
    bundle = store.run(store.next_bundle)
    if bundle:
        _epoch, seq, head = heads[robot_key(bundle.stream.robot_id)]
        assert (bundle.seq, bundle.previous) == (seq + 1, head)
        assert (bundle.stream in (ROBOT, DEVICE), set(bundle.masked), dict(bundle.marks)) == (True, {"email"}, {})
    check(store, log)
    if store.repaired is None:
        assert "chunk" in statement or "wrap" in statement, "content is checked when it is read"
    store.close()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_survived_and_counted(state: tuple[Path, RememberedLog, HandClock], share: float) -> None:
    folder, log, clock = state
    with (folder / "spool.db").open("r+b") as file:
        file.truncate(int((folder / "spool.db").stat().st_size * share))
    store = open_store(folder, clock=clock, log=log)
    assert store.repaired
    assert check(store, log) > 0
    assert list((folder / "damaged").iterdir())
    store.close()


def test_a_zero_filled_tail_is_survived_and_counted(state: tuple[Path, RememberedLog, HandClock]) -> None:
    folder, log, clock = state
    size = (folder / "spool.db").stat().st_size
    with (folder / "spool.db").open("r+b") as file:
        file.seek(size * 2 // 3)
        file.write(b"\0" * (size - size * 2 // 3))
    store = open_store(folder, clock=clock, log=log)
    assert check(store, log) > 0
    store.close()


def test_a_deleted_file_is_counted_exactly_and_chains_go_on(state: tuple[Path, RememberedLog, HandClock]) -> None:
    folder, log, clock = state
    (folder / "spool.db").unlink()
    heads = dict(log.known["heads"])
    store = open_store(folder, clock=clock, log=log)
    assert not store.genesis
    assert (store.device, store.epoch) == (log.known["device"], 1)
    assert len(store.identities) == GROUPS
    assert store.repaired
    assert store.repaired.lost == MESSAGES - DELIVERED
    store.run(partial(store.commit, group([0], ROBOT, clock=clock)))
    store.run(store.make_due)
    bundle = store.run(store.next_bundle)
    assert bundle
    assert [1, bundle.seq - 1, bundle.previous] == heads['"r-1"']
    store.close()


def test_a_deleted_wal_is_noticed_and_no_number_is_used_twice(tmp_path: Path) -> None:
    log, clock = RememberedLog(), HandClock()
    store = open_store(tmp_path / "1", clock=clock, log=log)
    store.run(partial(store.commit, group(range(20), clock=clock)))
    store.close()
    store = open_store(tmp_path / "1", clock=clock, log=log)
    store.run(partial(store.commit, group(range(20, 50), clock=clock)))
    bundle = store.run(store.next_bundle)
    assert bundle
    store.run(partial(store.put, bundle, sealed(bundle)))
    (tmp_path / "2").mkdir()
    shutil.copy(tmp_path / "1" / "spool.db", tmp_path / "2" / "spool.db")  # as a kill leaves it, without its WAL
    store.close()
    store = open_store(tmp_path / "2", clock=clock, log=log)
    assert store.repaired
    assert store.repaired.lost == 30
    store.run(store.make_due)
    again = store.run(store.next_bundle)
    assert again
    assert (again.seq, again.device_seq, again.previous) == (2, 2, sealed(bundle).payload_hash)
    assert [(loss.reason, loss.count) for loss in again.loss] == [("damaged", 30)]
    store.close()


def test_an_identity_that_the_audit_log_alone_remembers_is_the_robots_still(tmp_path: Path) -> None:
    log, clock = RememberedLog(), HandClock()
    open_store(tmp_path / "1", clock=clock, log=log).close()
    store = open_store(tmp_path / "1", clock=clock, log=log)
    made = group([0], clock=clock)
    made.identities = {"0f": "robot-1"}
    store.run(partial(store.commit, made))
    (tmp_path / "2").mkdir()
    shutil.copy(tmp_path / "1" / "spool.db", tmp_path / "2" / "spool.db")  # its WAL is gone
    store.close()
    for _ in range(2):
        store = open_store(tmp_path / "2", clock=clock, log=log)
        assert store.identities == {"0f": "robot-1"}
        store.close()
        log.known["identities"] = {}  # the second start has it from the file


@pytest.mark.parametrize("damaged", [False, True])
def test_refusals_that_an_older_file_does_not_know_are_counted_as_lost(tmp_path: Path, damaged: bool) -> None:
    log, clock = RememberedLog(), HandClock()
    store = open_store(tmp_path / "1", clock=clock, log=log)
    store.run(partial(store.commit, group([0], clock=clock)))
    store.close()
    store = open_store(tmp_path / "1", clock=clock, log=log)
    made = group([1, 2], clock=clock)
    made.refuse(reason="not_json", traffic_class="bulk", route="notes", count=7)
    store.run(partial(store.commit, made))
    (tmp_path / "2").mkdir()
    shutil.copy(tmp_path / "1" / "spool.db", tmp_path / "2" / "spool.db")  # its WAL is gone
    store.close()
    if damaged:
        with contextlib.closing(sqlite3.connect(tmp_path / "2" / "spool.db", isolation_level=None)) as old:
            old.execute("DELETE FROM journal")
    store = open_store(tmp_path / "2", clock=clock, log=log)
    losses = {loss.route: loss.count for loss in store._ledger.losses()}
    assert losses == {"_store": 2 + damaged, "_ledger": 7}
    store.close()


def test_what_an_older_and_damaged_file_lost_is_not_offset_by_what_was_delivered_since(tmp_path: Path) -> None:
    """Bundle 1 was delivered and is back; that its messages are settled says nothing about those that are gone."""
    log, clock = RememberedLog(), HandClock()
    store = open_store(tmp_path / "1", clock=clock, log=log)
    store.run(partial(store.commit, group(range(20), clock=clock)))
    while bundle := store.run(store.next_bundle):
        store.run(partial(store.put, bundle, sealed(bundle)))
    store.close()
    (tmp_path / "2").mkdir()
    shutil.copy(tmp_path / "1" / "spool.db", tmp_path / "2" / "spool.db")
    store = open_store(tmp_path / "1", clock=clock, log=log)
    envelope = store.run(store.next_envelope)
    assert envelope
    store.run(partial(store.receipt, envelope, receipt(envelope)))
    store.run(partial(store.commit, group(range(20, 25), clock=clock)))
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "2" / "spool.db", isolation_level=None)) as old:
        old.execute("DELETE FROM bundle WHERE seq=2")
    store = open_store(tmp_path / "2", clock=clock, log=log)
    assert store.repaired
    assert store.repaired.lost == 15
    store.close()


def test_the_end_of_the_audit_log_is_enough_even_where_its_files_are_as_small_as_is_allowed(tmp_path: Path) -> None:
    log, clock = RememberedLog(), HandClock()
    store = open_store(tmp_path, clock=clock, log=log)
    for number in range(200):
        store.run(partial(store.commit, group([number], clock=clock)))
    store.close()
    full = [index for index, (_event, fields) in enumerate(log.lines) if "device" in fields]
    assert max(later - earlier for earlier, later in itertools.pairwise(full)) <= 40  # two files of 16 KiB hold 80


def test_rows_of_an_old_page_that_bear_another_streams_number_are_sealed_under_their_own_stream(tmp_path: Path) -> None:
    """The numbers of streams are used again: a page that came back to life may hold rows of another one."""
    log, clock = RememberedLog(), HandClock()
    store = open_store(tmp_path, clock=clock, log=log)
    store.run(partial(store.commit, group(range(3), ROBOT, clock=clock)))
    store.run(partial(store.commit, group(range(3, 6), DEVICE, clock=clock)))
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db", isolation_level=None)) as file:
        row = list(file.execute("SELECT * FROM journal ORDER BY at").fetchall()[1])
        file.execute("DELETE FROM journal WHERE at=?", (row[0],))
        row[0] = 1 << STREAM_SHIFT | row[1]
        file.execute(f"INSERT INTO journal VALUES ({','.join('?' * len(row))})", (*row[:-1], digest(tuple(row[:-1]))))  # noqa: S608
    store = open_store(tmp_path, clock=clock, log=log)
    found = {}
    while store.run(store.status).journal_messages:
        store.run(store.make_due)
        if bundle := store.run(store.next_bundle):
            store.run(partial(store.put, bundle, sealed(bundle)))
            found[bundle.stream] = numbers(bundle.events)
    assert found == {ROBOT: [0, 1, 2], DEVICE: [3, 4, 5]}
    store.close()


def test_a_damaged_store_without_an_audit_log_begins_a_new_epoch(state: tuple[Path, RememberedLog, HandClock]) -> None:
    folder, _log, clock = state
    with (folder / "spool.db").open("r+b") as file:
        file.write(b"\0" * 8192)
    store = open_store(folder, clock=clock, log=RememberedLog())
    assert store.epoch == 2
    assert store.run(store.status).losses_pending == {"damaged_unknown": 1}
    store.close()


def test_damage_that_is_met_in_the_middle_of_work_is_repaired_in_the_middle_of_work(
    state: tuple[Path, RememberedLog, HandClock],
) -> None:
    folder, log, clock = state
    store = open_store(folder, clock=clock, log=log)
    roots = dict(store._db.execute("SELECT name, rootpage FROM sqlite_schema").fetchall())
    with (folder / "spool.db").open("r+b") as file:
        file.seek((roots["bundle"] - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    store._db.execute("PRAGMA shrink_memory")
    store.run(partial(store.commit, group(range(MESSAGES, MESSAGES + 5), clock=clock)))
    store.run(store.next_envelope)
    out, losses = drained(store)
    assert store.repaired
    assert len(out) + losses["damaged"] == MESSAGES + 5
    store.close()


@pytest.mark.parametrize("filler", [b"\0", b"\xa5"])
@pytest.mark.parametrize("table", ["bundle", "journal", "chunk", "wrap"])
def test_a_page_that_points_to_all_others_is_not_their_end(
    state: tuple[Path, RememberedLog, HandClock], table: str, filler: bytes
) -> None:
    folder, log, clock = state
    with contextlib.closing(sqlite3.connect(folder / "spool.db")) as file:
        (root,) = file.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchone()
    with (folder / "spool.db").open("r+b") as opened:
        opened.seek((root - 1) * PAGE_BYTES)
        assert opened.read(1) == b"\x05", "an interior page"
        opened.seek((root - 1) * PAGE_BYTES)
        opened.write(filler * PAGE_BYTES)
    store = open_store(folder, clock=clock, log=log)
    assert check(store, log) == 0
    assert store.repaired
    assert store.repaired.lost == 0
    store.close()


def test_leaves_on_the_freelist_and_cells_that_no_pointer_names_are_not_brought_back(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log, compress=False)
    for number in range(0, 400, 10):
        store.run(partial(store.commit, group(range(number, number + 10), clock=clock, size=80)))
    for _ in range(35):
        bundle = store.run(store.next_bundle)
        assert bundle
        store.run(partial(store.put, bundle, sealed(bundle)))
        envelope = store.run(store.next_envelope)
        assert envelope
        store.run(partial(store.receipt, envelope, receipt(envelope)))
    store._shares = dataclasses.replace(store._shares, archive=0)
    with store._transaction():
        store._trim_archive()
    live = {row[0] for row in store._db.execute("SELECT id FROM chunk")}
    rows = {row[0] for row in store._db.execute("SELECT at FROM journal")}
    free = store._db.execute("PRAGMA freelist_count").fetchone()[0]
    store.close()
    assert free > 20
    with contextlib.closing(LeafPages(tmp_path / "spool.db")) as leaves:
        assert {row[0] for row in leaves.rows(13)} == rows
        assert {row[0] for row in leaves.rows(2)} >= live
        assert all(leaves.find(2, number) for number in live)


@pytest.mark.parametrize("cut", ["building", "repaired", "moved"])
def test_a_repair_that_is_cut_off_is_taken_up_again(
    state: tuple[Path, RememberedLog, HandClock], cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log, clock = state
    with (folder / "spool.db").open("r+b") as file:
        file.truncate(40_000)

    class PowerCutError(Exception):
        pass

    def stop(*_arguments: object) -> None:
        raise PowerCutError

    renames = {"building": 0, "repaired": 1, "moved": 2}[cut]
    rename = Path.rename

    def count(self: Path, target: Path) -> Path:
        nonlocal renames
        renames -= 1
        if renames < 0:
            stop()
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", count)
        with pytest.raises(PowerCutError):
            open_store(folder, clock=clock, log=log)
    store = open_store(folder, clock=clock, log=log)
    assert check(store, log) > 0
    assert not list(folder.glob("spool.re*"))
    assert not (folder / repair.BUILDING).exists()
    store.close()


def test_a_start_that_died_during_genesis_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / repair.BUILDING).write_bytes(b"half a page")
    store = open_store(tmp_path, clock=HandClock(), log=RememberedLog())
    assert store.genesis
    assert store.epoch == 1
    store.close()


def test_a_page_that_the_tree_names_again_and_again_is_read_once(tmp_path: Path) -> None:
    """Damaged trees can name their pages in such a way that one walk along them does not end in a lifetime."""
    connection = sqlite3.connect(tmp_path / "tree.db", isolation_level=None)
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("CREATE TABLE t (at INTEGER PRIMARY KEY, body BLOB)")
    connection.executemany("INSERT INTO t VALUES (?,?)", [(number, b"x" * 100) for number in range(200)])
    page = PAGE_BYTES * (connection.execute("SELECT rootpage FROM sqlite_schema").fetchone()[0] - 1)
    connection.close()
    data = bytearray((tmp_path / "tree.db").read_bytes())
    assert data[page] == 5, "the root holds pointers to pages"
    first = None
    for cell in range(int.from_bytes(data[page + 3 : page + 5])):
        at = page + int.from_bytes(data[page + 12 + 2 * cell : page + 14 + 2 * cell])
        first = first or data[at : at + 4]
        data[at : at + 4] = first
    (tmp_path / "tree.db").write_bytes(data)
    with contextlib.closing(sqlite3.connect(tmp_path / "tree.db")) as damaged:
        assert damaged.execute("SELECT COUNT(*) FROM t").fetchone()[0] > 1  # it raises nothing
        keys = [at for at, _body in salvage.readable_rows(damaged, "t", "at, body")]
    assert keys
    assert sorted(set(keys)) == sorted(keys)


@pytest.mark.parametrize("filler", [b"\0", b"\xa5"])
def test_a_damaged_schema_costs_nothing_because_we_know_it(
    state: tuple[Path, RememberedLog, HandClock], filler: bytes
) -> None:
    folder, log, clock = state
    file = folder / "spool.db"
    pages = repair._schema_pages(file.read_bytes())
    assert len(pages) > 3
    with file.open("r+b") as opened:
        for number in pages:
            opened.seek((number - 1) * PAGE_BYTES)
            opened.write(filler * PAGE_BYTES)
    store = open_store(folder, clock=clock, log=log)
    assert store.repaired
    assert store.repaired.lost == 0
    assert check(store, log) == 0
    assert (folder / "damaged" / "page-1").read_bytes() == filler * PAGE_BYTES, "an expert sees what there was"
    store.close()


def test_a_lost_sector_at_the_beginning_of_the_file_costs_small_tables_alone(
    state: tuple[Path, RememberedLog, HandClock],
) -> None:
    folder, log, clock = state
    with (folder / "spool.db").open("r+b") as opened:
        opened.write(bytes(4096))
    store = open_store(folder, clock=clock, log=log)
    assert store.repaired
    assert store.repaired.lost == 0
    assert check(store, log) == 0
    store.close()
