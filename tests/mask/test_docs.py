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

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "masking.md").read_text()


def test_the_page_names_each_type_operator_and_profile() -> None:
    named = set(re.findall(r"`([a-z0-9_-]+)`", PAGE))
    assert set(TYPES) <= named
    assert set(OPERATORS) <= named
    assert set(PROFILES) <= named


def test_the_policy_of_the_page_is_taken_and_does_what_it_says(tmp_path: Path) -> None:
    example = tmp_path / "policy.toml"
    example.write_text(PAGE.split("```toml\n")[2].split("```")[0])
    config = load_policy(example)
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


def test_the_limits_of_the_page_are_the_defaults() -> None:
    table = tomllib.loads(PAGE.split("```toml\n")[2].split("\n\n")[0])["masking"]
    assert table == {name: getattr(MaskingConfig(), name) for name in table}
    assert "| `max_depth` | 64 |" in PAGE
    assert "| `max_decode_depth` | 4 |" in PAGE
    assert "| `max_leaf_bytes` | 1 MiB" in PAGE


def test_hash_and_mask_look_as_the_page_shows_them() -> None:
    assert re.search(r"<EMAIL:[0-9a-f]{12}>", PAGE)
    assert "eight times" in PAGE
