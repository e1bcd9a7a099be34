"""The soak's own account: what it goes on from, and what does not count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hil.soak import Campaign, source


def batch(kills: int, *, of: str, lost: int = 0) -> dict[str, object]:
    counts = dict.fromkeys(("start_kills", "acknowledged", "repeated", "bundles"), 1)
    return counts | {"kills": kills, "lost": lost, "source": of, "seed": 1, "problems": [], "moments": {}, "last_line": {}}


@pytest.mark.parametrize(
    ("kills", "lanes", "plan"), [(5000, 2, 4700), (301, 2, 1), (300, 2, 0), (100, 4, 0), (1000, 3, 700)]
)
def test_it_goes_on_from_what_was_done_with_the_same_source(tmp_path: Path, kills: int, lanes: int, plan: int) -> None:
    results = tmp_path / "soak.jsonl"
    done = [batch(200, of=source()), batch(100, of=source()), batch(999, of="another")]
    results.write_text("".join(json.dumps(one) + "\n" for one in done), encoding="utf-8")
    batches = Campaign(results=results, kills=kills, lanes=lanes)._plan()
    assert sum(batches) == plan
    assert max(batches, default=0) - min(batches, default=0) <= 1
    assert max(batches, default=0) <= 250


def test_a_lost_message_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(results=tmp_path / "soak.jsonl", kills=1, lanes=1)
    campaign.done = [batch(1, of=source()) | {"problems": ["1 lost"], "lost": 1, "moments": {"commit": 1}}]
    assert campaign.account() == ["1 lost (seed 1)"]
    assert "FAIL: 1 of 1" in capsys.readouterr().out
