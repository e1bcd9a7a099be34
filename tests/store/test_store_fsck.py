"""Every kind of damage to store or audit log: `actod queue fsck` names it, and the start that follows counts it exactly."""

from __future__ import annotations

import contextlib
import io
import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
import pytest

from actod.audit.log import AuditLog
from actod.cli.main import main
from actod.config import AuditConfig
from actod.store.checkpoint import merged
from actod.store.fsck import examine
from actod.store.schema import ARCHIVE, QUARANTINE
from actod.store.sqlite import SqliteStore
from tests.store.parts import DEVICE, ROBOT, HandClock, RememberedLog, group, numbers, open_store, receipt, sealed_as_sent

GROUPS, PER_GROUP = 24, 5
MESSAGES = GROUPS * PER_GROUP
REFUSED = 3


class Life:
    """A store and its audit log in one folder, as the daemon has them."""

    def __init__(self, folder: Path, clock: HandClock) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.audit = AuditLog(folder / "audit", clock=clock, config=AuditConfig(max_file_bytes=8000))
        self.log = RememberedLog()
        self.log.known = merged(self.audit.lines(back_to="device"))
        self.store: SqliteStore = open_store(folder, clock=clock, log=self.log, compress=False)
        self.store._witness = self.audit.witness
        for what, fields in self.log.lines:
            self.audit.witness(what, fields)

    def close(self) -> None:
        self.store.close()
        self.audit.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, HandClock]:
    """Make a state folder in which every table holds something; closed cleanly. `older` beside it is an earlier copy."""
    folder, clock = tmp_path_factory.mktemp("filled") / "state", HandClock()
    life = Life(folder, clock)
    store = life.store
    for number in range(GROUPS):
        made = group(range(number * PER_GROUP, (number + 1) * PER_GROUP), (ROBOT, DEVICE)[number % 2], clock=clock, size=60)
        made.identities = {f"{number:02}": f"robot-{number}"}
        store.run(partial(store.commit, made))
        if number % 4 == 3:
            bundle = store.run(store.next_bundle)
            assert bundle
            store.run(partial(store.put, bundle, sealed_as_sent(bundle, audit=life.audit.head())))
        if number in (12, 13):
            envelope = store.run(store.next_envelope)
            assert envelope
            done = partial(store.receipt, envelope, receipt(envelope)) if number == 12 else None
            store.run(done or partial(store.set_aside, envelope, "http_422"))
        if number == 14:
            life.close()
            shutil.copytree(folder, folder.with_name("older"))
            life = Life(folder, clock)
            store = life.store
    made = group([], clock=clock)
    made.refuse(reason="not_json", traffic_class="bulk", route="notes", count=REFUSED)
    store.run(partial(store.commit, made))
    life.close()
    return folder, clock


def fsck(state: Path) -> tuple[int, list[dict[str, object]]]:
    """Run the command; return its exit code and what it found."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["queue", "fsck", "--json", "--state", str(state)])
    return code, orjson.loads(out.getvalue())["findings"]


def edited(*statements: str) -> Callable[[Path], None]:
    """Damage rows by SQL, which no digest follows."""

    def damage(state: Path) -> None:
        with contextlib.closing(sqlite3.connect(state / "spool.db", isolation_level=None)) as file:
            for statement in statements:
                assert file.execute(statement).rowcount > 0

    return damage


def overwritten(offset: int, size: int, filler: bytes) -> Callable[[Path], None]:
    def damage(state: Path) -> None:
        with (state / "spool.db").open("r+b") as file:
            file.seek(offset)
            file.write((filler * size)[:size])

    return damage


def cut_to(share: float) -> Callable[[Path], None]:
    def damage(state: Path) -> None:
        with (state / "spool.db").open("r+b") as file:
            file.truncate(int((state / "spool.db").stat().st_size * share) // 512 * 512)

    return damage


def replaced_by_an_older_one(state: Path) -> None:
    shutil.copy(OLDER[0] / "spool.db", state / "spool.db")


def zero_tail(state: Path) -> None:
    size = (state / "spool.db").stat().st_size
    overwritten(size - 8192, 8192, b"\0")(state)


OLDER: list[Path] = []

STORE_DAMAGE: dict[str, Callable[[Path], None]] = {
    "an event": edited("UPDATE chunk SET body = zeroblob(LENGTH(body)) WHERE id = (SELECT MAX(id) FROM journal)"),
    "an event of a sealed bundle": edited("UPDATE chunk SET body = x'00' WHERE id = (SELECT MIN(id) FROM chunk)"),
    "a chunk that is gone": edited("DELETE FROM chunk WHERE id = (SELECT MIN(id) FROM journal)"),
    "a journal row": edited("UPDATE journal SET count = count + 1 WHERE at = (SELECT MAX(at) FROM journal)"),
    "a journal row that is gone": edited("DELETE FROM journal WHERE at = (SELECT MAX(at) FROM journal)"),
    "a bundle's row": edited("UPDATE bundle SET seq = 77 WHERE at >> 58 = 0"),
    "a bundle that is gone": edited("DELETE FROM bundle WHERE at = (SELECT MIN(at) FROM bundle WHERE at >> 58 = 0)"),
    "an envelope": edited("UPDATE wrap SET tail = x'00' WHERE id IN (SELECT at & 0xffffff FROM bundle WHERE at >> 58 = 0)"),
    "an envelope of another type": edited(
        "UPDATE wrap SET head = 1 WHERE id IN (SELECT at & 0xffffff FROM bundle WHERE at >> 58 = 0)"
    ),
    "a bundle's row of another type": edited("UPDATE bundle SET chunks = CAST(chunks AS BLOB) WHERE at >> 58 = 0"),
    "a quarantined bundle that is gone": edited("DELETE FROM bundle WHERE at >> 58 = 2"),
    "an archived bundle's row": edited("UPDATE bundle SET size = 1 WHERE at >> 58 = 1"),
    "the counters": edited("UPDATE state SET value = '{}' WHERE at = 2"),
    "the device's row": edited("UPDATE state SET value = replace(value, '1', '2') WHERE at = 1"),
    "a chain head": edited("UPDATE chain SET seq = seq + 1"),
    "a chain that is gone": edited("DELETE FROM chain WHERE robot = (SELECT MIN(robot) FROM chain)"),
    "an identity": edited("UPDATE identity SET robot_id = 'another' WHERE digest = '00'"),
    "a loss": edited("UPDATE loss SET count = 0 WHERE reason = 'not_json'"),
    "the header": overwritten(0, 100, b"\0"),
    "the first sectors": overwritten(0, 4096, b"\xa5"),
    "pages in the middle": overwritten(512 * 40, 512 * 8, b"\0"),
    "a zero-filled tail": zero_tail,
    "half of the file": cut_to(0.5),
    "all but the header": cut_to(0.02),
    "the file": lambda state: (state / "spool.db").unlink(),
    "the file's age": replaced_by_an_older_one,
}


@pytest.fixture
def state(filled: tuple[Path, HandClock], tmp_path: Path) -> Path:
    folder, _clock = filled
    OLDER[:] = [folder.with_name("older")]
    shutil.copytree(folder, tmp_path / "state")
    return tmp_path / "state"


def accounted(state: Path, clock: HandClock) -> tuple[int, int | None, int, SqliteStore]:
    """Start; return how many messages are still there or were delivered, how many are counted as gone, and the refusals."""
    life = Life(state, clock)
    store = life.store
    found: set[int] = set()
    lost = 0
    while True:  # damage to content is met when its turn comes
        store.run(store.make_due)
        bundle = store.run(store.next_bundle)
        if bundle is None:
            break
        store.run(partial(store.put, bundle, sealed_as_sent(bundle, audit=life.audit.head())))
        lost += sum(loss.count for loss in bundle.loss if loss.reason == "damaged" and loss.route == "_store")
    while envelope := store.run(store.next_envelope):
        found.update(numbers(envelope.body))
        store.run(partial(store.receipt, envelope, receipt(envelope)))
    kept = store.run(lambda: [row for place in (ARCHIVE, QUARANTINE) for row in store._outbox.first(place, limit=1000)])
    for row in kept:
        whole = store.run(partial(store._outbox.envelope, row))
        found.update(numbers(whole.body) if whole else [])
    losses = store._ledger.losses()
    lost += sum(loss.count for loss in losses if loss.reason == "damaged" and loss.route == "_store")
    unknown = any(loss.reason == "damaged_unknown" for loss in losses)
    life.close()
    return len(found), None if unknown else lost, len(found), store


def test_a_whole_store_has_nothing_to_find_and_is_not_touched(state: Path) -> None:
    before = {file: file.read_bytes() for file in state.rglob("*") if file.is_file()}
    assert fsck(state) == (0, [])
    assert {file: file.read_bytes() for file in state.rglob("*") if file.is_file()} == before


def test_a_running_store_has_nothing_to_find(state: Path, filled: tuple[Path, HandClock]) -> None:
    life = Life(state, filled[1])
    life.store.run(partial(life.store.commit, group(range(MESSAGES, MESSAGES + 9), clock=filled[1])))
    assert fsck(state) == (0, [])
    life.close()


@pytest.mark.parametrize("kind", STORE_DAMAGE)
def test_damage_to_the_store_alone_is_found_and_counted_exactly(
    state: Path, filled: tuple[Path, HandClock], kind: str
) -> None:
    STORE_DAMAGE[kind](state)
    code, findings = fsck(state)
    assert (code, bool(findings)) == (1, True)
    there, lost, _found, store = accounted(state, filled[1])
    delivered = 2 * PER_GROUP  # what is lost of the one delivered bundle is nobody's loss
    assert lost is not None
    assert MESSAGES - delivered <= there + lost <= MESSAGES, (there, lost)
    assert store.epoch == 1
    left = [finding["what"] for finding in fsck(state)[1]]
    assert all("quarantine are damaged" in str(what) or "archive are damaged" in str(what) for what in left), left


AUDIT_DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a line edited": lambda lines: [
        line.replace(b'"settled":', b'"settled":9', 1) if n == 9 else line for n, line in enumerate(lines)
    ],
    "a line removed": lambda lines: lines[:9] + lines[10:],
    "lines swapped": lambda lines: [*lines[:9], lines[10], lines[9], *lines[11:]],
    "a line that is noise": lambda lines: [*lines[:9], b"\xff\xfe\n", *lines[10:]],
    "its end cut off": lambda lines: lines[:-6],
    "its end torn": lambda lines: [*lines[:-1], lines[-1][:40]],
    "its beginning cut off": lambda lines: lines[5:],
    "all of it": lambda _lines: [],
}


def damage_audit_log(state: Path, kind: str) -> None:
    """Change the newest file; where everything goes, all files."""
    files = sorted((state / "audit").glob("*.jsonl"))
    if kind == "all of it":
        for file in files:
            file.unlink()
        return
    file = files[-1] if kind.startswith("its end") else files[-2]
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(AUDIT_DAMAGE[kind](lines)))


@pytest.mark.parametrize("kind", AUDIT_DAMAGE)
def test_damage_to_the_audit_log_alone_is_found_and_nothing_is_lost(
    state: Path, filled: tuple[Path, HandClock], kind: str
) -> None:
    damage_audit_log(state, kind)
    code, findings = fsck(state)
    assert code == 1
    assert {finding["where"] for finding in findings} == {"audit log"}
    there, lost, _found, store = accounted(state, filled[1])
    assert (there, lost, store.epoch) == (MESSAGES, 0, 1)


def test_damage_to_both_is_unknown_with_the_ids_that_are_known_and_begins_a_new_epoch(
    state: Path, filled: tuple[Path, HandClock]
) -> None:
    damage_audit_log(state, "all of it")
    edited("UPDATE state SET value = '{}' WHERE at = 2", "DELETE FROM chain")(state)
    assert fsck(state)[0] == 1
    life = Life(state, filled[1])
    assert life.store.epoch == 2
    assert life.store.began["reason"] == "damaged"
    assert life.store.began["known"] == {"first": 1, "last": MESSAGES}
    assert life.store.run(life.store.status).losses_pending["damaged_unknown"] == 1
    opened = [fields for what, fields in life.audit.lines() if what == "checkpoint.opened"]
    assert opened[-1]["repair"] == {"kept": 18, "lost": None, "new_epoch": True, "first": 1, "last": MESSAGES}
    life.close()


def test_a_folder_without_store_or_log_is_named(tmp_path: Path) -> None:
    assert [finding.what for finding in examine(tmp_path, None).findings] == ["spool.db is gone"]
