"""The page of figures is held to the committed result, and the gate to what it says of itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import budgets, compare, gate, page, pictures
from bench.__main__ import PARTS
from bench.budgets import BUDGETS
from hil.rig import ROOT

RECORDED = {"floor": 1000.0, "collect": 1000.0, "mask": 900.0, "journal": 400.0, "seal": 400.0, "settle": 100.0}


def test_each_figure_of_the_page_is_the_reference_result_s() -> None:
    text = page.PAGE.read_text()
    assert page.rendered(text) == text, "python -m bench.page writes it anew"
    places = set(re.findall(r"<!-- (\w+) -->", text)) - {"end"}
    assert places == {"machine", "budgets", "stages", "figures", "peers", "boards"}


def test_each_budget_of_the_design_has_its_figure() -> None:
    result = json.loads(page.REFERENCE.read_text())
    everywhere = {budget.what for budget in BUDGETS if "shipped units" not in budget.what}  # which need root and a package
    assert {each["what"] for each in result["budgets"]} >= everywhere
    assert result["machine"]["cpu"]
    for each in result["budgets"]:
        assert f"| {each['what']} |" in page.PAGE.read_text()


def test_the_pictures_are_those_of_the_reference_result(tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    pictures.draw(json.loads(page.REFERENCE.read_text()), tmp_path)
    for name in pictures.NAMES:
        assert (page.IMAGES / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.mark.parametrize(
    ("name", "stage", "factor", "holds"),
    [
        ("this", "collect", 1.02, True),
        ("this", "collect", 1.04, False),
        ("this", "settle", 1.04, False),
        ("this", "mask", 0.5, True),
        ("another", "collect", 1.24, True),
        ("another", "collect", 1.26, False),
    ],
)
def test_the_gate_fails_a_stage_that_takes_more_than_recorded(name: str, stage: str, factor: float, *, holds: bool) -> None:
    counts = RECORDED | {stage: RECORDED[stage] * factor}
    assert gate.judged(counts, {"this": RECORDED}, name=name)[1] is holds


def test_the_gate_says_which_baseline_another_build_of_python_is_held_to() -> None:
    lines, holds = gate.judged(RECORDED, {"cpython-3.11.2": RECORDED, "cpython-3.13.5": RECORDED}, name="cpython-3.13.9")
    assert holds
    assert "cpython-3.13.5" in lines[1]
    assert "RECORD=1" in lines[1]
    assert len(gate.judged(RECORDED, {"this": RECORDED}, name="this")[0]) == len(lines) - 1, "its own needs no words"


def test_the_gate_needs_a_baseline() -> None:
    with pytest.raises(LookupError):
        gate.judged(RECORDED, {}, name="this")
    assert json.loads(gate.BASELINE.read_text())


def test_each_command_of_the_page_is_one() -> None:
    """They take a quarter of an hour; so the targets must be there, the parts known, and two results are compared."""
    block = re.search(r"```sh\n(.*?)```", page.PAGE.read_text(), re.DOTALL)
    assert block
    makefile, tried = (ROOT / "Makefile").read_text(), set()
    for line in block[1].splitlines():
        program, *words = line.partition("#")[0].split()
        tried.add((program, words[0] if program == "make" else words[1]))
        if program == "make":
            assert f"\n{words[0]}: setup\n" in makefile
        elif words[1] == "bench":
            assert set(words[2:]) <= set(PARTS)
        else:
            assert (words[0], Path(words[1].replace(".", "/")).name) == ("-m", "compare")
            command = [sys.executable, *words[:2], str(page.REFERENCE), str(page.REFERENCE)]
            assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert tried == {("make", name) for name in ("bench", "bench-peers", "gate")} | {
        ("python", "bench"),
        ("python", "bench.compare"),
    }


def test_two_results_are_held_to_each_other_by_their_cpu_ratios_alone() -> None:
    def result(ratio: float, pace: float) -> dict[str, object]:
        return {
            "figures": {
                "cost": {"kind": "cpu", "ratio": ratio, "value": 1.0},
                "pace": {"kind": "wall", "ratio": pace, "value": 1.0},
                "alone": {"kind": "cpu", "ratio": None, "value": 3.0},
            }
        }

    rows = compare.differences(result(2.0, 1.0), result(2.4, 9.0))
    assert [(kind, name, round(percent)) for kind, name, _, _, percent in rows] == [
        ("cpu", "cost", 20),
        ("wall", "pace", 800),
        ("no ratio", "alone", 0),
    ]


def _compared(one: Path, other: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.compare", str(one), str(other)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_two_results_do_not_agree_where_one_lacks_a_cpu_ratio(tmp_path: Path) -> None:
    lesser = json.loads(page.REFERENCE.read_text())
    name = next(name for name, figure in lesser["figures"].items() if figure["kind"] == "cpu" and figure["ratio"])
    del lesser["figures"][name]
    (tmp_path / "lesser.json").write_text(json.dumps(lesser))
    done = _compared(page.REFERENCE, tmp_path / "lesser.json")
    assert done.returncode == 1
    assert f"MISSING    {name}" in done.stdout
    (tmp_path / "empty.json").write_text('{"figures": {}}')
    assert _compared(tmp_path / "empty.json", tmp_path / "empty.json").returncode == 1, "nothing was held to anything"


def test_what_is_no_result_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no JSON")
    for file in (tmp_path / "missing.json", tmp_path / "text.json", gate.BASELINE):
        done = _compared(page.REFERENCE, file)
        assert done.returncode == 2
        assert str(file) in done.stderr
        assert "Traceback" not in done.stderr


def test_a_budget_without_its_figure_is_named() -> None:
    result = json.loads(page.REFERENCE.read_text())
    found = {name: figure for name, figure in result["figures"].items() if "1,000,000" not in name}
    missing = budgets.unmeasured(budgets.judged(found))
    assert "put, take and receipt with 1,000,000 queued against 1,000, CPU" in missing
    assert "idle CPU" not in missing


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        ("bench", ["nosuch"], "no such part: nosuch"),
        ("bench", ["mask", "--reference"], "all parts"),
        ("bench.peers", ["nosuch"], "no such peer: nosuch"),
        ("bench.peers", ["rsyslog", "--reference"], "all peers"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_measured(program: str, words: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", program, *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
