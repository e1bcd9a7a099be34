"""Ended files are compressed, and every reader reads on, whatever was killed, damaged or put in their place."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actod.audit.files import content, holds, is_packed, log_files, mark_of, packed_file, size_of, whole_lines
from actod.audit.gzipped import MOST_BYTES
from actod.audit.log import AuditLog
from actod.audit.packing import pack
from actod.audit.retention import Retention
from actod.audit.verify import verify_log
from actod.cli.main import main
from actod.config import AuditConfig
from hil.rig import ROOT
from tests.audit.conftest import SetClock
from tests.audit.robot import Robot, copied, verify

LIMITS = AuditConfig(max_file_bytes=4000)


def write(folder: Path, *, lines: int = 40, share_bytes: int | None = None) -> AuditLog:
    log = AuditLog(folder, clock=SetClock(), config=LIMITS, share_bytes=share_bytes)
    for number in range(lines):
        log.record("x", number=number, text="é" * (number % 5))
    log.flush()
    return log


def packed_log(folder: Path) -> Path:
    """Write a log of some compressed files and a plain one."""
    log = write(folder)
    Retention(log, config=LIMITS).pack()
    log.close()
    return folder


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed_log(tmp_path_factory.mktemp("packed") / "audit")


def test_ended_files_are_compressed_for_zcat_and_read_as_before(tmp_path: Path, capsys: Any) -> None:
    log = write(tmp_path / "audit")
    before = {file.name: file.read_bytes() for file in log_files(log.folder)}
    lines = [line for file in log_files(log.folder) for line in whole_lines(file)]
    report, size = verify_log(log.folder), log.coverage()["bytes"]
    Retention(log, config=LIMITS).pack()
    *ended, newest = log_files(log.folder)
    assert len(ended) > 2
    assert all(is_packed(file) for file in ended)
    assert not is_packed(newest)
    assert sorted(path.name for path in log.folder.iterdir()) == sorted(file.name for file in (*ended, newest))
    for file in ended:
        read = subprocess.run(["zcat", file], check=True, capture_output=True).stdout
        assert read == before[file.name.removesuffix(".gz")]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert size_of(file) < len(read) / 2
    assert log.coverage()["bytes"] == sum(size_of(file) for file in log_files(log.folder)) < size / 2
    assert verify_log(log.folder) == report
    assert [line for file in log_files(log.folder) for line in whole_lines(file)] == lines
    assert all(holds(log.folder, n=line["n"], mark=mark_of(line["hash"])) for line in lines)
    log.close()
    again = write(log.folder, lines=1)
    assert verify_log(log.folder).problem == ""
    assert again.coverage()["bytes"] == sum(size_of(file) for file in log_files(log.folder))
    again.close()
    shutil.move(log.folder, tmp_path / "state" / "audit")
    assert main(["audit", "show", "--state", str(tmp_path / "state"), "--last", "100", "--event", "x"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 41


def test_a_kill_at_each_step_of_a_compression_leaves_a_whole_log_and_the_next_start_ends_it(
    scratch: Path, capsys: Any
) -> None:
    robot = Robot(scratch / "robot")
    robot.work(3)
    robot.stop()
    command = [sys.executable, "-m", "tests.audit.killed", str(robot.folder), "pack"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    states = [Path(line) for line in done.stdout.decode().split()]
    seen = set()
    for state in states:
        report = verify(state, capsys)
        assert (report["words"], report["last_n"] >= report["witnessed_n"] > 0) == ([], True), state
        names = {path.name for path in (state / "state" / "audit").iterdir()}
        seen.add((any(name.endswith(".new") for name in names), any(f"{name}.gz" in names for name in names)))
        robot = Robot(state)
        assert robot.heard_holds
        folder = state / "state" / "audit"
        assert not [path for path in folder.iterdir() if path.name.endswith(".new") or Path(f"{path}.gz").exists()]
        robot.retention.pack()
        robot.stop()
        assert [is_packed(file) for file in log_files(folder)].count(False) == 1
        assert verify(state, capsys)["words"] == []
    assert len(states) > 10
    assert seen == {(False, False), (True, False), (False, True)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_a_compressed_file_with_any_damage_is_named_broken_and_read_as_far_as_it_goes(
    pristine: Path, tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "audit"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    file = data.draw(st.sampled_from([file for file in log_files(folder) if is_packed(file)]))
    whole, body = content(file)[0], file.read_bytes()
    at = data.draw(st.integers(0, len(body) - 1))
    how = data.draw(st.sampled_from(["flipped", "cut", "longer"]))
    flipped = bytearray(body)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes({"flipped": bytes(flipped), "cut": body[:at], "longer": body + body[: at + 1]}[how])
    left, damage = content(file)
    if not damage:  # of the header nobody reads time and system
        assert (how, left) == ("flipped", whole)
        return
    report = verify_log(folder)
    assert (report.word, report.file) == ("broken", file.name)
    assert how == "flipped" or whole.startswith(left)
    assert len(list(whole_lines(file))) >= (report.line - 1 if how != "longer" else whole.count(b"\n"))
    log = AuditLog(folder, clock=SetClock(), config=LIMITS)  # and the daemon starts on it
    log.record("y")
    log.close()


def test_a_newest_file_that_was_compressed_and_damaged_is_not_written_over(tmp_path: Path) -> None:
    folder = packed_log(tmp_path / "audit")
    *_, last, newest = log_files(folder)
    newest.unlink()
    for body in (last.read_bytes(), b"", b"no gzip"):
        last.write_bytes(body)
        log = AuditLog(folder, clock=SetClock(), config=LIMITS)
        log.record("y")
        log.close()
        assert last.read_bytes() == body
        log_files(folder)[-1].unlink()


def test_a_file_that_inflates_without_end_is_named_and_not_taken_into_memory(tmp_path: Path) -> None:
    folder = packed_log(tmp_path / "audit")
    file = log_files(folder)[1]
    engine = zlib.compressobj(1, wbits=31)
    file.write_bytes(engine.compress(bytes(MOST_BYTES + 1)) + engine.flush())
    data, damage = content(file)
    assert len(data) == MOST_BYTES
    assert f"more than {MOST_BYTES} bytes" in damage


def test_two_forms_of_a_file_that_differ_are_named_and_both_kept(tmp_path: Path) -> None:
    folder = packed_log(tmp_path / "audit")
    packed = log_files(folder)[1]
    plain = packed.with_suffix("")
    plain.write_bytes(content(packed)[0])
    assert verify_log(folder).problem == ""  # what a kill leaves
    packed.write_bytes(gzip.compress(content(log_files(folder)[0])[0]))
    for _ in range(2):
        report = verify_log(folder)
        assert (report.word, report.file) == ("unexplained-file", plain.name)
        AuditLog(folder, clock=SetClock(), config=LIMITS).close()
    packed.write_bytes(packed.read_bytes()[:-1])  # one that cannot be read is no other form
    AuditLog(folder, clock=SetClock(), config=LIMITS).close()
    assert not packed.exists()
    assert verify_log(folder).problem == ""


def test_what_is_no_file_under_a_files_name_is_named_and_holds_nobody_up(tmp_path: Path, pristine: Path) -> None:
    for number, make in enumerate((lambda file: file.symlink_to("aside"), os.mkfifo, Path.mkdir)):
        folder = copied(pristine, tmp_path / str(number))
        file = log_files(folder)[1]
        file.rename(folder / "aside")
        make(file)
        report = verify_log(folder)
        assert (report.word, report.file) == ("broken", file.name)
        assert list(whole_lines(file)) == []


def test_a_full_disk_leaves_the_plain_file_and_the_next_try_compresses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "audit")
    file = log_files(log.folder)[0]
    before = {path.name: path.read_bytes() for path in log.folder.iterdir()}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        retention = Retention(log, config=LIMITS)
        retention.pack()
        assert {path.name: path.read_bytes() for path in log.folder.iterdir()} == before
    while file.exists():  # it waits a minute's calls
        retention.pack()
    assert packed_file(file).exists()
    with pytest.raises(OSError, match="share"):
        pack(log_files(log.folder)[-1], most_bytes=10)
    log.close()


def test_a_compressed_file_goes_by_the_rule_with_its_torn_tail_and_counts_as_it_lies_on_disk(
    tmp_path: Path, capsys: Any
) -> None:
    robot = Robot(tmp_path / "robot", max_bytes=12_000)
    robot.work(14)
    robot.retention.pack()
    assert robot.remove_what_is_due() == []  # plain it would be too much
    while not (removals := robot.remove_what_is_due(most=1)):
        robot.work(4)
        robot.retention.pack()
    assert removals[0].bytes < 4000 / 2
    folder = robot.state / "audit"
    first = log_files(folder)[0]
    (folder / f"audit-{first.name[6:18]}.torn").write_bytes(b"x" * 12_000)
    assert robot.remove_what_is_due(most=1)[0].bytes > 12_000
    assert not [path for path in folder.iterdir() if path.name.startswith(first.name[:18])]
    robot.stop()
    report = verify(robot.folder, capsys)
    assert (report["words"], len(report["removed"])) == ([], 2)
