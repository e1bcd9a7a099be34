"""docs/submission.md says what the program does: its states, and the keys of the budgets with their defaults."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from actod.config import CollectorConfig
from actod.submit.uplink import SMALLEST_LIMIT_BYTES
from actod.submit.verdict import State

PAGE = (Path(__file__).resolve().parents[2] / "docs/submission.md").read_text(encoding="utf-8")


def test_the_page_has_a_row_for_each_state_and_for_no_other() -> None:
    assert set(re.findall(r"^\| `((?:ok|slow:|blocked:)[a-z-]*)`", PAGE, re.MULTILINE)) == {str(state) for state in State}


def test_each_key_of_the_page_is_one_of_the_collector_and_its_default_is_the_programs() -> None:
    defaults = {field.name: field.default for field in fields(CollectorConfig)}
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| ([0-9.]+|true|none)\b", PAGE, re.MULTILINE)
    told = {key: value for keys, value in rows for key in re.findall(r"`([a-z_]+)`", keys)}
    assert len(told) == 11
    words = {"budgets": "true", "bulk_hours_utc": "none", "bulk_interfaces": "none"}
    numbers = {key: float(value) for key, value in told.items() if key not in words}
    assert numbers == {key: defaults[key] for key in numbers}
    assert {key: told[key] for key in words} == words
    assert defaults["budgets"] is True
    assert defaults["bulk_hours_utc"] == ""
    assert f"down to {SMALLEST_LIMIT_BYTES // 1024} KiB" in PAGE
