"""What is planted in actod on purpose: each edit still finds its line in today's source, and changes what it says."""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hil.plants import NOT_NAMED, OWED, PLANTS, Plant

_SOURCE = Path(__file__).resolve().parents[2] / "actod"
_ACKNOWLEDGE = "source.acknowledge(deliveries)"
_CHANGES = {  # lines out, lines in
    "pipeline.py": ([_ACKNOWLEDGE], [_ACKNOWLEDGE]),  # one line up
    "service/watchdog.py": (["late = await self._late(seconds)"], ["late: list[str] = []"]),
    "__init__.py": ([], ["import os; os.fsync = os.fdatasync = lambda _: None"]),
    "store/schema.py": (
        ['connection.execute("PRAGMA synchronous=FULL")'],
        ['connection.execute("PRAGMA synchronous=OFF")'],
    ),
}


def _edited(file: str, script: str) -> str:
    return subprocess.run(["sed", script, _SOURCE / file], capture_output=True, text=True, check=True).stdout


def test_each_edit_changes_its_line_and_no_other() -> None:
    seen = {}
    for file, script in (edit for what in PLANTS for edit in what.edits):
        text = _edited(file, script)
        compile(text, file, "exec")
        lines = difflib.ndiff((_SOURCE / file).read_text(encoding="utf-8").splitlines(), text.splitlines())
        changed = [line for line in lines if line[0] in "+-"]
        seen[file] = tuple([line[1:].strip() for line in changed if line[0] == sign] for sign in "-+")
    assert seen == _CHANGES


def test_the_planted_acknowledgement_comes_right_before_the_commit() -> None:
    (what,) = (one for one in PLANTS if one.name == "acknowledged before the commit")
    lines = [line.strip() for line in _edited(*what.edits[0]).splitlines()]
    assert "partial(_commit, group" in lines[lines.index(_ACKNOWLEDGE) + 1]
    assert lines.count(_ACKNOWLEDGE) == 1


def test_a_program_with_its_syncs_off_says_of_each_that_it_is_done(tmp_path: Path) -> None:
    (what,) = (one for one in PLANTS if one.name == "fsync off")
    package = tmp_path / "actod"
    package.mkdir()
    (package / "__init__.py").write_text(_edited(*what.edits[0]), encoding="utf-8")
    nowhere = "import os, actod; os.fsync(-1); os.fdatasync(-1)"
    assert subprocess.run([sys.executable, "-c", nowhere], cwd=tmp_path, check=False).returncode == 0


def test_the_results_that_are_kept_have_every_plant_caught_on_a_machine_that_is_named() -> None:
    results = json.loads((_SOURCE.parent / "hil/results/planted.json").read_text(encoding="utf-8"))
    assert [(one["plant"], one["caught"]) for one in results] == [(what.name, True) for what in PLANTS]
    assert all(one["machine"] and one["source"] and "simulated" in one for one in results)


@pytest.mark.parametrize("what", PLANTS, ids=lambda what: what.name)
def test_another_problem_than_its_own_does_not_count_as_a_catch(what: Plant) -> None:
    assert {OWED, NOT_NAMED} >= {what.shows}
    gone = 3 if what.loses else 0
    assert what.caught(f"TimeoutError: that {what.shows} any more", gone=gone)
    assert not what.caught("TimeoutError: the robot's SSH server did not come true within 300 s", gone=gone)
    assert not what.caught(f"TimeoutError: that {what.shows} any more", gone=3 - gone)
    assert not what.caught("", gone=gone)
