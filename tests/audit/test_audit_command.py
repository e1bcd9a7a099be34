"""`actod audit verify|show`, as an operator calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from actod.audit.files import log_files, whole_lines
from actod.audit.log import AuditLog
from actod.config import AuditConfig
from tests.audit.conftest import SetClock


def actod(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actod", "audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    log = AuditLog(tmp_path / "audit", clock=SetClock(), config=AuditConfig(max_file_bytes=1500))
    for number in range(10):
        log.record("submit.accepted" if number % 2 else "refused", number=number)
    log.close()
    return tmp_path


def test_a_whole_log_is_0_and_a_broken_one_1_with_the_line_named(state: Path) -> None:
    done = actod("verify", "--state", state)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lines in" in done.stdout
    assert "--trust FILE BUNDLES" in done.stdout
    file = log_files(state / "audit")[1]
    file.write_bytes(file.read_bytes().replace(b'"event"', b'"Event"', 1))
    done = actod("verify", "--state", state)
    assert done.returncode == 1
    assert done.stdout.startswith(f"BROKEN {file.name}, line 1 (n ")
    report = json.loads(actod("verify", "--state", state, "--json").stdout)
    assert (report["file"], report["line"]) == (file.name, 1)


def test_heads_are_taken_from_a_list(state: Path) -> None:
    heads = [json.loads(line)["hash"] for file in log_files(state / "audit") for line in file.read_text().splitlines()]
    plain = state / "heads"
    plain.write_text("\n".join(heads[3:6]) + "\n")
    assert actod("verify", "--state", state, "--heads", plain).returncode == 0
    plain.write_text("\n".join([*heads[3:6], "f" * 64]))
    done = actod("verify", "--state", state, "--heads", plain)
    assert done.returncode == 1
    assert "cut at the end" in done.stdout
    plain.write_text('{"payload":1}')
    done = actod("verify", "--state", state, "--heads", plain)
    assert done.returncode == 2
    assert "does not hold a head" in done.stderr


def test_show_prints_the_newest_lines_and_passes_over_what_is_no_line(state: Path) -> None:
    file = log_files(state / "audit")[-1]
    file.write_bytes(file.read_bytes() + b"garbage\n\xff")
    done = actod("show", "--state", state, "--last", "3")
    numbers = [line["n"] for file in log_files(state / "audit") for line in whole_lines(file)]
    assert [line.split()[0] for line in done.stdout.splitlines()] == [str(n) for n in numbers[-3:]]
    assert "2 lines cannot be read" in done.stderr
    done = actod("show", "--state", state, "--last", "3", "--event", "submit.", "--json")
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == [5, 7, 9]
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments", [["show", "--last", "0"], ["show", "--last", "x"], ["verify", "--heads", "/nowhere"], ["verify", "bundles"]]
)
def test_wrong_use_is_2_and_one_clear_line(state: Path, arguments: list[str]) -> None:
    done = actod(*arguments, "--state", state)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_missing_log_is_2_and_says_where_it_looked(tmp_path: Path) -> None:
    done = actod("verify", "--state", tmp_path)
    assert done.returncode == 2
    assert str(tmp_path / "audit") in done.stderr
