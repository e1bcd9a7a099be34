"""Every target over its kept inputs, over every input that once showed a defect, and over some mutations of both.

The inputs of corpus/ are the fewest that reach every line that a campaign has reached: `python -m tests.fuzz TARGET --keep`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.fuzz import limits
from tests.fuzz.__main__ import NAMES, main
from tests.fuzz.limits import SlowUnitError, within_limit
from tests.fuzz.mutate import mutator, swap_bytes
from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent
FOLDERS = (HERE / "corpus", HERE / "crashes")
FILES = [file for folder in FOLDERS for name in NAMES for file in sorted((folder / name).glob("*"))]
MUTATIONS = 2
KNOWN = {"twice"}  # what stands right beside a finding is found at the second look only: a campaign shows it at once
LARGEST = 6144


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-3:]))
def test_nothing_is_found_in_an_input_and_in_mutations_of_it(file: Path) -> None:
    target, data = file.parent.name, file.read_bytes()
    TARGETS[target](data)
    for seed in range(0 if target in KNOWN else MUTATIONS):
        mutate = mutator(target, swap_bytes(random.Random(seed)))  # noqa: S311 - repeatable
        data = mutate(data, LARGEST, seed)
        assert len(data) <= LARGEST
        TARGETS[target](data)


def test_every_target_has_a_corpus_and_all_of_them_together_stay_small() -> None:
    assert set(NAMES) == set(TARGETS)
    assert {file.parent.name for file in FILES if file.parent.parent.name == "corpus"} == set(NAMES)
    assert sum(file.stat().st_size for file in FILES) < 200_000


def test_mutations_are_repeatable_and_get_behind_the_parser() -> None:
    mutate = mutator("message", swap_bytes(random.Random(1)))  # noqa: S311 - repeatable
    data = b'1t/x\n{"note":"jo.doe@example.org"}'
    made = [mutate(data, LARGEST, seed) for seed in range(200)]
    whole = [one for one in made if one.partition(b"\n")[2].strip()[:1] in {b"{", b"["} and one[-1:] in b"}]"]
    assert len(whole) > 100
    assert len(set(made)) > 150


def test_a_message_that_takes_too_long_each_time_is_named_and_one_that_did_once_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "_allowed_seconds", lambda: 0.001)

    def work() -> int:
        return sum(range(1_000_000))

    with pytest.raises(SlowUnitError, match="ms for 10 bytes"):
        within_limit(work, work, size_bytes=10)
    assert within_limit(work, lambda: None, size_bytes=10) == work()


def test_a_file_is_run_by_name_and_a_machine_without_the_fuzzer_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "input"
    file.write_bytes(b"1t/x\n{}")
    monkeypatch.setattr("sys.argv", ["fuzz", "message", os.fspath(file)])
    assert main() == 0
    assert "nothing found" in capsys.readouterr().out
    monkeypatch.setattr("tests.fuzz.__main__.find_spec", lambda _name: None)
    monkeypatch.setattr("sys.argv", ["fuzz", "message"])
    assert main() == 2
    assert "pip install atheris" in capsys.readouterr().err
