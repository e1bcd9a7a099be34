"""The oldest file goes only when a receipt covers it, and never without a word, whatever is killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actod.audit.files import file_name, log_files
from actod.audit.log import AuditLog
from actod.config import AuditConfig
from actod.errors import TransientError
from actod.proof.serverdate import trusted_time
from hil.rig import ROOT
from tests.audit.conftest import SetClock
from tests.audit.robot import DATE, Robot, cut_behind, lines_by_file, verify

SMALL = 12_000  # three files
RECEIVED = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def said(robot: Robot, event: str) -> list[dict[str, Any]]:
    return [line for lines in lines_by_file(robot.folder).values() for line in lines if line["event"] == event]


def test_a_file_goes_for_its_bytes_only_once_a_receipt_covers_it_and_chain_and_log_say_so(
    tmp_path: Path, capsys: Any
) -> None:
    robot = Robot(tmp_path / "robot", max_bytes=SMALL)
    robot.work(14, deliver=False)
    files = log_files(robot.state / "audit")
    assert sum(file.stat().st_size for file in files) > SMALL + 4000
    assert robot.remove_what_is_due() == []
    robot.work(1)
    removals = robot.remove_what_is_due()
    assert [removal.why for removal in removals] == ["bytes"] * len(removals)
    assert removals[0].first_n == 1
    assert [removal.lines for removal in removals] == [removal.last_n - removal.first_n + 1 for removal in removals]
    left = log_files(robot.state / "audit")
    assert sum(file.stat().st_size for file in left) < SMALL + 4000
    assert left[0].name == file_name(removals[-1].last_n + 1)
    assert [line["last_n"] for line in said(robot, "audit.removed")] == [removal.last_n for removal in removals]
    robot.stop()
    report = verify(robot.folder, capsys)
    assert (report["words"], report["first_n"]) == ([], removals[-1].last_n + 1)
    for removal, text in zip(removals, report["removed"], strict=True):
        assert text.startswith(f"lines {removal.first_n} to {removal.last_n} ({removal.lines}), head {removal.last_hash}")
        assert "recorded in bundle" in text


def test_a_cut_that_took_the_words_of_the_removals_with_it_is_called_a_cut(tmp_path: Path, capsys: Any) -> None:
    robot = Robot(tmp_path / "robot", max_bytes=SMALL)
    robot.work(14)
    removals = robot.remove_what_is_due()
    robot.work(2)
    robot.stop()
    cut_behind(robot.folder, said(robot, "audit.removed")[0]["n"] - 1)
    again = Robot(robot.folder)
    again.work(1)
    again.stop()
    report = verify(robot.folder, capsys)
    assert report["first_n"] == removals[-1].last_n + 1
    assert (report["words"], report["exit_code"]) == (["truncated-and-continued"], 11)


def test_days_count_by_the_collectors_clock_and_an_untrusted_one_removes_nothing(tmp_path: Path) -> None:
    robot = Robot(tmp_path / "robot", max_age_days=30)
    robot.work(12)
    late = RECEIVED + timedelta(days=31)
    assert robot.remove_what_is_due(RECEIVED + timedelta(days=29)) == []
    lying = {"wall_ns": int(late.timestamp() * 1e9), "synchronised": False}
    for untrusted in (trusted_time(f"{late:%a, %d %b %Y %H:%M:%S} GMT", **lying), trusted_time(None, **lying)):
        assert untrusted is None
        assert robot.remove_what_is_due(untrusted) == []
    before = len(log_files(robot.state / "audit"))
    removals = robot.remove_what_is_due(late)
    assert {removal.why for removal in removals} == {"days"}
    assert {removal.date for removal in removals} == {DATE}
    assert before > 3
    assert len(log_files(robot.state / "audit")) <= 4  # the newest two, and what the records of the removals began
    robot.stop()


def refused(log: AuditLog, *, sealing: bool) -> bool:
    try:
        log.require_room(sealing=sealing)
    except TransientError as exc:
        return exc.reason == "audit_unreceipted"
    return False


def test_a_log_full_of_what_no_receipt_covers_holds_collecting_then_sealing_until_one_does(tmp_path: Path) -> None:
    share = 40_000
    log = AuditLog(tmp_path, clock=SetClock(), config=AuditConfig(max_file_bytes=4000), share_bytes=share)
    log.require_room()
    held: dict[bool, int] = {}
    while len(held) < 2:
        log.witness("checkpoint.commit", {"last": 1})
        for sealing in (False, True):
            if sealing not in held and refused(log, sealing=sealing):
                held[sealing] = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert share * 13 // 16 < held[False] < held[True] < share
    before = log.coverage()["last_n"]
    log.record("submit.state", state="blocked")  # counted, and said when there is room again
    assert log.coverage()["last_n"] == before
    log.freed(20_000)
    log.record("submit.state", state="ok")
    assert [fields.get("count") for event, fields in log.lines() if event == "audit.unwritten"] == [1]
    log.close()


def test_a_head_is_handed_out_only_once_a_power_cut_cannot_take_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(tmp_path, clock=SetClock(), config=AuditConfig())
    log.witness("a", {})
    head = log.head()
    log.record("b")
    assert log.head() == head
    log.flush()
    assert log.head() != head
    log.close()
    monkeypatch.setattr(os, "fdatasync", _no_sync)
    with pytest.raises(TransientError):
        AuditLog(tmp_path, clock=SetClock(), config=AuditConfig())


def _no_sync(_descriptor: int) -> None:
    raise OSError(5, "Input/output error")


def test_a_kill_at_each_step_of_a_removal_leaves_a_log_that_verifies_and_the_next_look_ends_it(
    scratch: Path, capsys: Any
) -> None:
    robot = Robot(scratch / "robot", max_bytes=SMALL)
    robot.work(14, deliver=False)
    robot.work(1)
    robot.stop()
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit.killed", str(robot.folder), "remove"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    states = [Path(line) for line in done.stdout.decode().split()]
    assert len(states) > 12
    seen = set()
    for state in states:
        report = verify(state, capsys)
        assert report["words"] == [], state
        assert len(report["removed"]) in (0, 1)
        again = Robot(state, max_bytes=SMALL)
        again.work(1)
        removals = again.remove_what_is_due()
        again.stop()
        seen.add((bool(report["removed"]), report["first_n"] > 1))
        report = verify(state, capsys)
        assert report["words"] == []
        assert report["first_n"] == removals[-1].last_n + 1
    assert seen == {(False, False), (True, False), (True, True)}
