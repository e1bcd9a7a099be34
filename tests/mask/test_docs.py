"""The page for operators says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from actod.cli.mask import load_policy
from actod.config import MaskingConfig
from actod.mask.finding import TYPES
from actod.mask.policy import OPERATORS, PROFILES, Policy
from tests.mask.parts import masker

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "masking.md").read_text()


def example(language: str, word: str) -> str:
    """Return the first example of the page in a language that holds a word."""
    return next(block.split("```")[0] for block in PAGE.split(f"```{language}\n")[1:] if word in block.split("```")[0])


def test_the_page_names_each_type_operator_and_profile() -> None:
    named = set(re.findall(r"`([a-z0-9_-]+)`", PAGE))
    assert set(TYPES) <= named
    assert set(OPERATORS) <= named
    assert set(PROFILES) <= named


def test_the_policy_of_the_page_is_taken_and_does_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(example("toml", "mask_char"))
    config = load_policy(file)
    Policy.compile(config)
    one = masker(rules=config.rules, detectors=config.detectors)
    mac = "a4:c3:f0:85:ac:2d"
    result = one.mask_value(
        {
            "wifi": {"scan": [mac]},
            "mac": mac,
            "operatorComment": "all well",
            "reader": "WB-1234",
            "x": "WB-1234",
            "badge": "E-12345",
        }
    )[0]
    assert re.fullmatch(r"<BADGE:[0-9a-f]{12}>", result.pop("badge"))
    assert result == {
        "wifi": {"scan": [mac]}, "mac": "<MAC>", "operatorComment": "<CONFIGURED>", "reader": "<SITE_BADGE>", "x": "WB-1234",
    }  # fmt: skip


def test_the_schema_of_the_page_is_taken_and_lets_through_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(example("toml", "masking.schemas"))
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/status.json").write_text(example("json", "properties"))
    one = masker(schemas=load_policy(file).schemas)
    value = {
        "mode": "AUTO",
        "at": "2026-03-01T12:00:00Z",
        "cell": "cell-7",
        "speed": 1.5,
        "moving": True,
        "ranges": [1, 2.5],
    }
    more = {**value, "operator": "Jane Roe", "note": "waits"}
    assert one.mask_value(more, topic="plant/4/status", profile="strict")[0] == value
    assert one.mask_value(more, topic="plant/4/other", profile="strict")[0] == {}


def test_the_picture_of_the_page_is_there() -> None:
    names = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE)
    assert names
    for name in names:
        assert (DOCS / name).read_text().startswith("<svg")


def test_the_limits_of_the_page_are_the_defaults() -> None:
    table = tomllib.loads(example("toml", "mask_char").split("\n\n")[0])["masking"]
    assert table == {name: getattr(MaskingConfig(), name) for name in table}
    assert "| `max_depth` | 64 |" in PAGE
    assert "| `max_decode_depth` | 4 |" in PAGE
    assert "| `max_leaf_bytes` | 1 MiB" in PAGE


def test_hash_and_mask_look_as_the_page_shows_them() -> None:
    assert re.search(r"<EMAIL:[0-9a-f]{12}>", PAGE)
    assert "eight times" in PAGE
