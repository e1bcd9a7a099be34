"""What the results file of power cuts says: what counts, what does not, and the bound that the count supports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hil.bound import upper
from hil.cutresults import conclude, told
from hil.soak import source


def _batch(**members: Any) -> dict[str, Any]:
    sound = {"source": source(), "simulated": True, "cuts": 20, "acknowledged": 500, "lost": 0, "problems": []}
    return sound | {"collecting_seconds": [17.0, 19.0, 23.0], "tpm_failures_at_end": 3, "tpm_lockouts": 0} | members


def test_the_bound_is_of_all_cuts_and_takes_each_lost_message_for_a_cut_that_lost_something() -> None:
    sound = told([_batch() for _ in range(15)])
    assert (
        sound[0]
        == "300 power cuts (simulated, not a board), 7500 acknowledged messages, 0 lost, 0 starts that needed a person"
    )
    assert sound[1] == "with 95 % confidence a cut loses something in fewer than 0.99 % of cuts"
    assert sound[2] == "collecting again after 19.0 s (median), 23.0 s (worst)"
    assert f"{100 * upper(3, 40):.2f} %" in told([_batch(), _batch(lost=3)])[1]
    assert f"{100 * upper(20, 40):.2f} %" in told([_batch(), _batch(lost=700)])[1], "a batch has no more cuts than it has"


def test_a_batch_of_another_source_or_set_aside_does_not_count_and_one_that_does_not_hold_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "power-cuts.jsonl"
    batches = [
        _batch(),
        _batch(source="another"),
        _batch(problems=["a bundle is not there"], set_aside="the rig's own fault"),
    ]
    results.write_text("".join(json.dumps(one) + "\n" for one in batches), encoding="utf-8")
    assert conclude(results) == 0
    said = capsys.readouterr().out
    assert "1 batches of another source do not count" in said
    assert "20 cuts do not count: the rig's own fault" in said
    assert "power cuts: 20 power cuts (simulated" in said
    assert "3 cuts, median 19.0 s" in results.with_suffix(".svg").read_text(encoding="utf-8")

    failed = _batch(cuts=1, collecting_seconds=[], problems=["a start needed a person: that it collects did not come true"])
    results.write_text(json.dumps(failed) + "\n", encoding="utf-8")
    assert conclude(results) == 1
    assert "FAIL a start needed a person" in capsys.readouterr().out


def test_the_results_that_are_kept_hold_for_this_source_and_name_a_machine(tmp_path: Path) -> None:
    kept = Path(__file__).resolve().parents[2] / "hil/results/power-cuts.jsonl"
    copy = tmp_path / kept.name
    copy.write_bytes(kept.read_bytes())
    assert conclude(copy) == 0
    batches = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert all(one["machine"] and len(one["collecting_seconds"]) <= one["cuts"] for one in batches)
