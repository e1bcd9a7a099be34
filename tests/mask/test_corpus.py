"""The open corpus, scored by a program that knows nothing of actod: what leaks, and what is masked for nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "pii"


def _figures(corpus: Path, result: Path) -> dict[str, Any]:
    masker = [sys.executable, "-m", "actod", "mask", "--profile", "balanced"]
    subprocess.run(
        [sys.executable, CORPUS / "score.py", corpus, "--json", result, "--", *masker],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    figures: dict[str, Any] = json.loads(result.read_bytes())
    return figures


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _figures(CORPUS, tmp_path_factory.mktemp("score") / "score.json")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _figures(CORPUS / "second", tmp_path_factory.mktemp("second") / "score.json")


def _secrets(score: dict[str, Any]) -> tuple[int, int]:
    types = [figures for name, figures in score["types"].items() if name.startswith("sec_") or name == "url_cred"]
    return sum(leaked for leaked, _, _ in types), sum(total for _, total, _ in types)


def test_every_message_comes_out_and_in_order(score: dict[str, Any]) -> None:
    assert (score["rc"], score["messages"], score["missing"], score["in_order"]) == (0, 3000, 0, True)


def test_at_most_one_value_in_two_hundred_leaks(score: dict[str, Any]) -> None:
    assert score["spans"] > 5000
    assert score["leak"] <= 0.5


def test_no_type_leaks_more_than_three_in_a_hundred(score: dict[str, Any]) -> None:
    assert len(score["types"]) == 38
    assert {name: figures for name, figures in score["types"].items() if figures[2] > 3.0} == {}


def test_no_hiding_place_leaks_more_than_five_in_a_hundred(score: dict[str, Any]) -> None:
    assert {name: figures for name, figures in score["hiding"].items() if figures[2] > 5.0} == {}


def test_at_most_three_secrets_in_a_thousand_leak(score: dict[str, Any]) -> None:
    leaked, total = _secrets(score)
    assert total > 1400
    assert leaked <= 0.003 * total


def test_what_only_looks_like_personal_data_is_kept(score: dict[str, Any]) -> None:
    assert score["hard_negatives"] > 20_000
    assert score["overmask_hard"] <= 0.3
    assert score["overmask"] <= 0.3


def test_clean_messages_stay_as_they_were(score: dict[str, Any]) -> None:
    assert score["clean_msgs_changed"] <= 1.0


def test_the_structure_of_every_message_stays(score: dict[str, Any]) -> None:
    assert score["structure_ok"] == 100.0
    assert score["gps_num_still_number"] == 100.0


def test_the_words_around_a_masked_value_stay(score: dict[str, Any]) -> None:
    assert score["context_kept"] >= 99.0


def test_of_the_second_corpus_at_most_one_value_in_two_hundred_leaks(second: dict[str, Any]) -> None:
    assert (second["rc"], second["messages"], second["missing"], second["in_order"]) == (0, 2000, 0, True)
    assert second["spans"] == 3400
    assert second["leak"] <= 0.5
    assert {name: figures for name, figures in second["types"].items() if figures[2] > 3.0} == {}


def test_of_the_second_corpus_at_most_three_secrets_in_a_thousand_leak(second: dict[str, Any]) -> None:
    leaked, total = _secrets(second)
    assert total > 900
    assert leaked <= 0.003 * total


def test_of_the_second_corpus_what_is_nobodys_is_kept(second: dict[str, Any]) -> None:
    assert second["hard_negatives"] > 18_000
    assert second["overmask_hard"] <= 0.3
    assert second["clean_msgs_changed"] <= 1.0
    assert second["structure_ok"] >= 99.9
