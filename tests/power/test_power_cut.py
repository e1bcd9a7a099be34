"""The power goes, at any moment, on a disk that keeps any part of what it was not told to flush: nothing is lost.

A sample of what `make power` (`python -m tests.power`) does for every operation. Then faults are planted into the same
trace, and the same sample must find each: a simulator that finds nothing proves nothing.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.power import campaign, faults
from tests.power.again import second_cuts
from tests.power.disk import State
from tests.power.trace import MARK, Op, build_recorder, record

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    folder = campaign.scratch_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def recorder(scratch: Path) -> Path:
    if shutil.which("gcc") is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("the recorder needs gcc")
    return build_recorder(scratch)


@pytest.fixture(scope="module")
def trace(scratch: Path, recorder: Path) -> Sequence[Op]:
    """Four lives of a daemon, two of them ended by a kill."""
    return record(scratch / "disk", campaign.LIVES, recorder=recorder)


def count(ops: Sequence[Op], kind: str, path: str) -> int:
    return sum(op.kind == kind and op.path.endswith(path) for op in ops)


def test_the_trace_holds_everything_that_happens_to_a_store(trace: Sequence[Op]) -> None:
    assert len(trace) > 2000
    assert count(trace, "r", "spool.building") == 1, "genesis"
    assert count(trace, "s", "spool.db") > 10, "checkpoints"
    assert count(trace, "c", ".jsonl") > 4, "audit files are begun"
    assert count(trace, "r", ".jsonl.gz.new") > 2, "compressed"
    assert count(trace, "u", ".jsonl.gz") > 0, "and removed"
    assert count(trace, "c", "spool.db-wal") == 3, "two clean ends, each beginning again with a new WAL"
    marks = [op.data for op in trace if op.kind == "m"]
    for word in (b'"ack"', b'"left"', b'"archive"', b'"quarantine"', b'"split"', b'"open"'):
        assert sum(word in mark for mark in marks) > 2


def test_the_recording_replayed_is_the_folder_as_it_lies_there(trace: Sequence[Op], scratch: Path) -> None:
    """So no way of writing escaped the recorder."""
    root = scratch / "disk"
    found: State = {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
        if path.name != MARK and not path.name.endswith("-shm")
    }
    assert campaign.state_at(trace, len(trace) - 1, order=1) == found


def test_nothing_acknowledged_is_lost_in_2000_cuts(trace: Sequence[Op]) -> None:
    total = campaign.Result()
    for result in campaign.run(trace, campaign.sample(trace, 2000)):
        total.add(result)
    assert total.violations == []
    assert total.states == 2000
    assert total.opened > 1000


def test_nothing_is_lost_when_the_power_goes_again_during_the_start(
    trace: Sequence[Op], scratch: Path, recorder: Path
) -> None:
    for index, order, result in second_cuts(trace, scratch, recorder=recorder, starts=3):
        assert result.violations == [], (index, order)
        assert result.opened > 10


@pytest.mark.parametrize("seed", [0, 6, 11])
def test_a_repair_that_is_cut_anywhere_is_begun_anew_or_ended_and_counts_what_is_gone(
    scratch: Path, recorder: Path, seed: int
) -> None:
    ops = record(scratch / f"damaged-{seed}", campaign.REPAIRS[seed], recorder=recorder)
    assert count(ops, "r", "spool.building") == 2, "genesis and a repair"
    plan = campaign.repair_only(ops, 6)[:: 1 + seed]
    assert [one.violations for one in campaign.examine(ops, plan) if one.violations] == []


DAMAGE = Op("m", "", data=b'{"kind":"damage"}')  # from here on the judge lets be lost what is counted
Fault = Callable[[Sequence[Op]], list[Op]]
PLANTED: dict[str, tuple[Fault, str]] = {
    "the WAL is not synced": (lambda ops: faults.without_syncs(ops, "spool.db-wal"), "acknowledged and missing"),
    "the audit log is not synced": (lambda ops: faults.without_syncs(ops, ".jsonl"), "the audit log knows of"),
    "a compressed file of the audit log is not synced": (
        lambda ops: faults.without_syncs(ops, ".jsonl.gz.new"),
        "the audit log",
    ),
    "the database is not synced before the WAL starts over": (
        lambda ops: faults.without_syncs(ops, "state/spool.db"),
        "repaired what was not damaged",
    ),
    "the new store is not synced before it has its name": (
        lambda ops: faults.without_syncs(ops, "spool.building"),
        "repaired what was not damaged",
    ),
    "the new store has its name before it is synced": (faults.renamed_before_synced, "repaired what was not damaged"),
    "the names in the state folder are not synced": (lambda ops: faults.without_syncs(ops, "state"), "genesis came twice"),
    "the names in the audit folder are not synced": (lambda ops: faults.without_syncs(ops, "audit"), "the audit log"),
    "the name of the state folder is not synced": (lambda ops: faults.without_syncs(ops, ""), "genesis came twice"),
    "PUBACK goes out before COMMIT": (
        lambda ops: faults.acknowledged_first(ops, "commit"),
        "acknowledged and missing",
    ),
    "PUBACK goes out before the audit log's line": (
        lambda ops: faults.acknowledged_first(ops, "witness"),
        "the audit log knows of",
    ),
    "the audit log's line is written before COMMIT": (faults.witnessed_first, "repaired what was not damaged"),
    "an envelope leaves before its line": (faults.handed_out_first, "the audit log knows of bundle"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(trace: Sequence[Op], fault: str) -> None:
    plant, symptom = PLANTED[fault]
    spoilt = plant(trace)
    found = itertools.chain.from_iterable(
        result.violations for result in campaign.examine(spoilt, campaign.sample(spoilt, 2000))
    )
    assert any(symptom in violation.wrong for violation in found), "the simulator is blind to it"


def test_a_disk_that_lies_about_the_wal_costs_what_it_lost_and_nothing_in_silence(trace: Sequence[Op]) -> None:
    """The audit log, another file, knows better: all that is gone is counted, and no number names two contents."""
    lied = [DAMAGE, *faults.without_syncs(trace, "spool.db-wal")]
    results = list(campaign.examine(lied, campaign.sample(lied, 300)))
    assert [result.violations for result in results if result.violations] == []


def test_a_disk_that_lies_about_the_wal_is_found_in_a_recording_of_its_own(scratch: Path, recorder: Path) -> None:
    lies = {"RECORD_NO_SYNC": "spool.db-wal"}
    spoilt = record(scratch / "lies", campaign.LIVES[:1], recorder=recorder, environment=lies)
    assert count(spoilt, "s", "spool.db-wal") == 0
    violations = [one for result in campaign.examine(spoilt, campaign.sample(spoilt, 200)) for one in result.violations]
    assert any("acknowledged and missing" in violation.wrong for violation in violations)


def test_the_disk_keeps_what_was_synced_and_any_part_of_the_rest() -> None:
    ops = [
        Op("c", "f"),
        Op("w", "f", offset=0, data=b"a" * 512),
        Op("s", "f"),
        Op("s", ""),
        Op("w", "f", offset=512, data=b"b" * 512),
        Op("w", "f", offset=1024, data=b"c" * 512),
    ]
    seen = {campaign.state_at(ops, len(ops) - 1, order)["f"] for order in range(200)}
    assert all(content is not None and content.startswith(b"a" * 512) for content in seen)
    rest = {(content or b"")[512:] for content in seen}
    zero, b, c = bytes(512), b"b" * 512, b"c" * 512
    assert rest >= {b"", b, b + c, zero + c, zero, b + zero, zero + zero}


def test_a_rename_leaves_one_of_both_names_and_never_none() -> None:
    ops = [Op("c", "old"), Op("w", "old", data=b"x"), Op("s", "old"), Op("s", ""), Op("r", "old", "new"), Op("c", "other")]
    seen = {tuple(sorted(campaign.state_at(ops, len(ops) - 1, order))) for order in range(100)}
    assert seen == {("old",), ("new",), ("old", "other"), ("new", "other")}
    synced = [*ops, Op("s", "")]
    assert set(campaign.state_at(synced, len(synced) - 1, order=0)) == {"new", "other"}
