"""Verification of the audit log: whatever was done to it is named, at the first line where it shows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actod.audit.files import log_files, whole_lines
from actod.audit.line import line_hash
from actod.audit.log import AuditLog
from actod.audit.verify import AuditReport, verify_log
from actod.config import AuditConfig
from actod.proof.canonical import canonical
from tests.audit.conftest import SetClock

LINES = 42  # 31 of ours, and two of the log itself in each file


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a log in several files, whole from its beginning."""
    folder = tmp_path_factory.mktemp("audit") / "pristine"
    log = AuditLog(folder, clock=SetClock(), config=AuditConfig(max_file_bytes=2000))
    for number in range(31):
        log.record("x", number=number, text="é" * (number % 5))
    log.close()
    assert len(log_files(folder)) > 3
    assert len(lines_of(folder)) == LINES
    return folder


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(pristine, folder)
        return folder

    return make


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [line for file in log_files(folder) for line in whole_lines(file)]


def rewrite(folder: Path, lines: list[dict[str, Any]]) -> None:
    """Put all lines into one file."""
    for file in log_files(folder):
        file.unlink()
    (folder / "audit-000000000001.jsonl").write_bytes(b"".join(canonical(line) + b"\n" for line in lines))


def rechain(lines: list[dict[str, Any]], start: int) -> None:
    """Do what one who can write the file can: make every hash from a line on fit again."""
    for index in range(start, len(lines)):
        lines[index]["n"] = index + 1
        lines[index]["prev"] = lines[index - 1]["hash"] if index else "0" * 64
        lines[index]["hash"] = line_hash(lines[index])


def test_an_untouched_log_is_whole(pristine: Path) -> None:
    report = verify_log(pristine)
    assert report == AuditReport(
        files=len(log_files(pristine)), lines=LINES, head=lines_of(pristine)[-1]["hash"], first_n=1, last_n=LINES
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400, deadline=None)
@given(st.data())
def test_an_edit_of_any_byte_is_named_with_its_file_and_line(copy: Callable[[], Path], data: st.DataObject) -> None:
    folder = copy()
    file = data.draw(st.sampled_from(log_files(folder)))
    body = file.read_bytes()
    at = data.draw(st.integers(0, len(body) - 1))
    dropped = data.draw(st.integers(0, 2))
    added = data.draw(st.binary(max_size=2) | st.sampled_from([b"\n", b" ", b"\r", b"}", b"0", b"\\u0061"]))
    edited = body[:at] + added + body[at + dropped :]
    file.write_bytes(edited)
    report = verify_log(folder)
    if edited == body:
        assert report.problem == ""
        return
    where = next((i for i, (a, b) in enumerate(zip(edited, body, strict=False)) if a != b), min(len(edited), len(body)))
    assert report.problem
    assert (report.file, report.line) == (file.name, body.count(b"\n", 0, where) + 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.data())
def test_lines_that_were_moved_removed_or_repeated_are_named(copy: Callable[[], Path], data: st.DataObject) -> None:
    folder = copy()
    lines = lines_of(folder)
    action = data.draw(st.sampled_from(["swap", "remove", "repeat"]))
    first = data.draw(st.integers(0, LINES - 2))
    second = data.draw(st.integers(first + 1, LINES - 1))
    changed = list(lines)
    if action == "swap":
        changed[first], changed[second] = changed[second], changed[first]
    elif action == "remove":
        del changed[first:second]
    else:
        changed.insert(second, changed[first])
    rewrite(folder, changed)
    report = verify_log(folder)
    assert report.problem
    expected = second if action == "repeat" else first
    if expected == 0:  # the first line that is left shows as a beginning that is not one, or at the next line
        assert report.line in {1, 2}
    else:
        assert report.line == expected + 1


def test_a_value_edited_in_place_with_the_hash_left_is_called_edited(copy: Callable[[], Path]) -> None:
    folder = copy()
    file = log_files(folder)[1]
    body = file.read_bytes()
    _epoch, line, *_ = whole_lines(file)
    file.write_bytes(body.replace(b'"number":%d,' % line["number"], b'"number":%d,' % (line["number"] + 1), 1))
    report = verify_log(folder)
    assert report.problem.startswith("edited")
    assert (report.word, report.file, report.line, report.n) == ("broken", file.name, 2, line["n"])


def test_an_edit_with_its_own_hash_made_right_breaks_the_chain_at_the_next_line(copy: Callable[[], Path]) -> None:
    folder = copy()
    lines = lines_of(folder)
    lines[10]["number"] = 999
    lines[10]["hash"] = line_hash(lines[10])
    rewrite(folder, lines)
    report = verify_log(folder)
    assert (report.line, report.n) == (12, 12)
    assert report.problem.startswith("the chain is broken")


def test_a_file_that_is_gone_from_the_middle_is_named(copy: Callable[[], Path]) -> None:
    folder = copy()
    files = log_files(folder)
    files[1].unlink()
    report = verify_log(folder)
    assert (report.word, report.file, report.line) == ("middle-file-missing", files[2].name, 1)


def test_a_file_that_is_gone_from_the_beginning_is_named_unless_the_log_says_so(copy: Callable[[], Path]) -> None:
    folder = copy()
    log_files(folder)[0].unlink()
    report = verify_log(folder)
    assert report.problem.startswith("cut at the beginning")
    lines = lines_of(folder)
    false_witness = {"event": "audit.removed", "last_n": lines[0]["n"] - 1, "last_hash": "0" * 64}
    log = AuditLog(folder, clock=SetClock(), config=AuditConfig())
    log.record(false_witness["event"], last_n=false_witness["last_n"], last_hash=false_witness["last_hash"])
    assert verify_log(folder).problem.startswith("cut at the beginning")
    log.record("audit.removed", last_n=lines[0]["n"] - 1, last_hash=lines[0]["prev"])
    assert verify_log(folder).problem == ""
    log.close()


def test_an_end_that_was_cut_off_shows_against_a_head_from_outside_only(copy: Callable[[], Path]) -> None:
    folder = copy()
    lines = lines_of(folder)
    heads = ["0" * 64, lines[3]["hash"], lines[20]["hash"], lines[25]["hash"]]
    assert verify_log(folder, expected_heads=heads).problem == ""
    rewrite(folder, lines[:22])
    assert verify_log(folder).problem == ""
    report = verify_log(folder, expected_heads=heads)
    assert report.problem.startswith("cut at the end, or written anew: 1 of 3 heads")
    assert lines[25]["hash"][:16] in report.problem
    assert (report.line, report.n) == (22, 23)


def test_a_log_that_was_written_anew_with_all_hashes_right_shows_against_a_head(copy: Callable[[], Path]) -> None:
    folder = copy()
    lines = lines_of(folder)
    head = lines[25]["hash"]
    lines[10]["number"] = 999
    rechain(lines, 10)
    rewrite(folder, lines)
    assert verify_log(folder).problem == ""
    assert "written anew" in verify_log(folder, expected_heads=[head]).problem


def test_a_last_line_without_its_line_feed_is_torn(copy: Callable[[], Path]) -> None:
    folder = copy()
    file = log_files(folder)[-1]
    count = len(list(whole_lines(file)))
    file.write_bytes(file.read_bytes()[:-1])
    report = verify_log(folder)
    assert (report.problem[:4], report.line, report.n) == ("torn", count, LINES)


def test_an_empty_folder_is_an_empty_log(tmp_path: Path) -> None:
    assert verify_log(tmp_path) == AuditReport(files=0, lines=0, head="")
    assert json.dumps(verify_log(tmp_path).problem) == '""'
