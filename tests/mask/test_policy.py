"""The policy: what it refuses at start, what its rules and own detectors do, and that its digest tells policies apart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from actod.config import DetectorConfig, MaskingConfig, MaskRuleConfig
from actod.errors import ConfigError, RejectedError
from actod.mask.engine import PolicyMasker
from actod.mask.operators import coarse_degrees, coarsened
from actod.mask.policy import Policy
from actod.mask.verdicts import Decision
from tests.mask.parts import KEY, masked, masker, reading

ROOT = Path(__file__).resolve().parents[2]


def _rules(*rules: dict[str, str]) -> dict[str, Any]:
    return {"rules": [MaskRuleConfig(**rule) for rule in rules]}


def _detector(pattern: str, *keys: str, name: str = "site_badge") -> DetectorConfig:
    return DetectorConfig(name=name, pattern=pattern, keys=list(keys))


REFUSED: list[tuple[dict[str, Any], str]] = [
    (_rules({"operator": "erase", "type": "email"}), "masking.rules[0].operator"),
    (_rules({"operator": "", "type": "email"}), "masking.rules[0].operator"),
    (_rules({"operator": "keep", "type": "email"}, {"operator": "keep", "type": "e-mail"}), "masking.rules[1].type"),
    (_rules({"operator": "keep", "type": "site_badge"}), "masking.rules[0].type"),
    (_rules({"operator": "keep", "path": "errors"}), "masking.rules[0].path"),
    (_rules({"operator": "keep", "path": "/a~b"}), "masking.rules[0].path"),
    (_rules({"operator": "keep", "type": "gps", "profile": "loose"}), "masking.rules[0].profile"),
    (_rules({"operator": "redact"}), "masking.rules[0]"),
    ({"mask_char": ""}, "masking.mask_char"),
    ({"mask_char": "**"}, "masking.mask_char"),
    ({"mask_char": "x"}, "masking.mask_char"),
    ({"mask_char": "\n"}, "masking.mask_char"),
    ({"max_depth": 0}, "masking.max_depth"),
    ({"max_leaf_bytes": -1}, "masking.max_leaf_bytes"),
    ({"max_decode_depth": 0}, "masking.max_decode_depth"),
    ({"detectors": [_detector("")]}, "masking.detectors[0].pattern"),
    ({"detectors": [_detector("x" * 3000)]}, "masking.detectors[0].pattern"),
    ({"detectors": [_detector("(")]}, "masking.detectors[0].pattern"),
    ({"detectors": [_detector("ok"), _detector("x", name="Site")]}, "masking.detectors[1].name"),
    ({"detectors": [_detector("x", name="email")]}, "masking.detectors[0].name"),
    ({"detectors": [_detector("x"), _detector("y")]}, "masking.detectors[1].name"),
]


@pytest.mark.parametrize(("config", "key"), REFUSED, ids=[key + f"-{i}" for i, (_, key) in enumerate(REFUSED)])
def test_a_policy_that_says_nothing_clear_is_refused_with_its_key_and_a_fix(config: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        Policy.compile(MaskingConfig(**config))
    assert refusal.value.key == key
    assert refusal.value.expected
    assert refusal.value.fix
    assert key in str(refusal.value)


@pytest.mark.parametrize("pattern", [r"(?<=a)b", r"(a)\1", r"(?=x)y", r"a(?!b)"])
def test_what_only_a_backtracking_engine_can_run_is_refused(pattern: str) -> None:
    re.compile(pattern)
    with pytest.raises(ConfigError) as refusal:
        Policy.compile(MaskingConfig(detectors=[_detector(pattern)]))
    assert "look-around" in refusal.value.expected


def test_an_own_pattern_runs_on_re2_and_stays_linear_where_re_would_not_end() -> None:
    policy = Policy.compile(MaskingConfig(detectors=[_detector(r"(a+)+$")]))
    assert type(policy.detectors[0].pattern).__module__.startswith("re2")
    start = time.process_time()
    PolicyMasker(policy=policy, pseudonym_key=KEY).mask_value({"note": "a" * 20_000 + "b"})
    assert time.process_time() - start < 5.0  # re needs longer than the age of the universe


def test_an_own_pattern_is_found_at_its_place_in_any_script() -> None:
    config = {"detectors": [_detector(r"WB-\d{4}")]}
    assert masked({"note": "Müller 東京 WB-1234 gelesen"}, **config)["note"].endswith("<SITE_BADGE> gelesen")
    assert "WB-1234" not in json.dumps(masked([{"WB-1234": [["x WB-1234"]]}, '{"a":"WB-1234"}'], **config))


def test_an_own_pattern_with_keys_looks_only_below_them() -> None:
    config = {"detectors": [_detector(r"[A-Z]{3}", "reader", "Leser")]}
    message = {"badge_reader": {"last": "ABC"}, "leserGerät": ["ABC"], "state": "ABC"}
    assert masked(message, **config) == {
        "badge_reader": {"last": "<SITE_BADGE>"},
        "leserGerät": ["<SITE_BADGE>"],
        "state": "ABC",
    }


def test_an_own_pattern_does_not_look_into_its_own_marks() -> None:
    config = {"detectors": [_detector(r"[A-Z_]{4,}")]}
    once = masked({"note": "see ABCD"}, **config)
    assert once == {"note": "see <SITE_BADGE>"}
    assert masked(once, **config) == once


def test_a_rule_may_name_an_own_detector() -> None:
    config = {"detectors": [_detector(r"WB-\d{4}")], **_rules({"operator": "mask", "type": "site_badge"})}
    assert masked({"note": "WB-1234 read"}, **config) == {"note": "******** read"}


DIGESTS: list[dict[str, Any]] = [
    {},
    {"mask_char": "#"},
    {"preserve_length": True},
    {"max_depth": 10},
    {"max_leaf_bytes": 1000},
    {"max_decode_depth": 2},
    {"pseudonym_epoch_days": 1},
    _rules({"operator": "keep", "type": "email"}),
    _rules({"operator": "mask", "type": "email"}),
    _rules({"operator": "keep", "type": "email", "profile": "strict"}),
    _rules({"operator": "keep", "path": "/a"}),
    _rules({"operator": "keep", "path": "/b"}),
    _rules({"operator": "keep", "path": "/a"}, {"operator": "keep", "path": "/b"}),
    _rules({"operator": "keep", "path": "/b"}, {"operator": "keep", "path": "/a"}),
    {"detectors": [_detector("a")]},
    {"detectors": [_detector("b")]},
    {"detectors": [_detector("a", "key")]},
    {"detectors": [_detector("a", name="other")]},
]


def test_each_policy_has_its_own_digest_and_always_the_same() -> None:
    digests = [masker(**config).policy_digest for config in DIGESTS]
    assert len(set(digests)) == len(DIGESTS)
    assert digests == [masker(**config).policy_digest for config in DIGESTS]
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


def test_the_digest_does_not_depend_on_the_pseudonym_key() -> None:
    assert masker(key=bytes(32)).policy_digest == masker(key=bytes(range(32))).policy_digest


MESSAGE = {
    "mail": "jo@example.org",
    "lat": 52.520008,
    "dob": "1980-03-12",
    "log": [{"text": "by jo@example.org"}],
    "ok": True,
}


KEPT = {"mail": "jo@example.org", "log": [{"text": "by jo@example.org"}]}
STARRED = {"mail": "********", "log": [{"text": "by ********"}]}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"operator": "mask", "type": "email"}], {"mail": "********", "log": [{"text": "by ********"}]}),
        ([{"operator": "keep", "type": "email"}], {"mail": "jo@example.org", "log": [{"text": "by jo@example.org"}]}),
        (
            [{"operator": "keep", "type": "email", "path": "/log"}],
            {"mail": "<EMAIL>", "log": [{"text": "by jo@example.org"}]},
        ),
        ([{"operator": "keep", "path": "/log/*/text"}], {"mail": "<EMAIL>", "log": [{"text": "by jo@example.org"}]}),
        ([{"operator": "keep", "path": "/log/*/other"}], {"log": [{"text": "by <EMAIL>"}]}),
        ([{"operator": "redact", "path": "/log/0/text"}], {"log": [{"text": "<CONFIGURED>"}]}),
        ([{"operator": "redact", "path": "/ok"}], {"ok": False}),
        ([{"operator": "redact", "type": "gps"}], {"lat": 0.0}),
        ([{"operator": "coarsen", "type": "dob"}], {"dob": "1980"}),
        ([{"operator": "keep", "type": "email", "profile": "strict"}], {"mail": "<EMAIL>"}),
        ([{"operator": "keep", "type": "email", "profile": "balanced"}], KEPT),
        # the first match wins
        ([{"operator": "keep", "type": "email"}, {"operator": "mask", "type": "email"}], KEPT),
        ([{"operator": "mask", "type": "email"}, {"operator": "keep", "type": "email"}], STARRED),
        ([{"operator": "mask", "type": "email"}, {"operator": "keep", "path": "/log"}], STARRED),
        (
            [{"operator": "keep", "path": "/log"}, {"operator": "mask", "type": "email"}],
            {"mail": "********", "log": KEPT["log"]},
        ),
    ],
)
def test_a_rule_does_what_it_says_and_nothing_beside_it(rules: list[dict[str, str]], expected: dict[str, Any]) -> None:
    result = masked(MESSAGE, **_rules(*rules))
    untouched = {"mail": "<EMAIL>", "lat": 52.52, "dob": "<DOB>", "log": [{"text": "by <EMAIL>"}], "ok": True}
    assert result == untouched | expected


def test_drop_leaves_the_member_out() -> None:
    assert masked(MESSAGE, **_rules({"operator": "drop", "type": "email"})) == {
        "lat": 52.52,
        "dob": "<DOB>",
        "log": [{}],
        "ok": True,
    }
    assert masked(MESSAGE, **_rules({"operator": "drop", "path": "/log"})) == {
        "mail": "<EMAIL>",
        "lat": 52.52,
        "dob": "<DOB>",
        "ok": True,
    }
    assert masked(["a", "jo@example.org"], **_rules({"operator": "drop", "type": "email"})) == ["a"]


def test_a_rule_for_members_reaches_numbers_in_a_list() -> None:
    assert masked({"r": [1.5, 2.5], "s": [1.5]}, **_rules({"operator": "redact", "path": "/r/*"})) == {
        "r": [0.0, 0.0],
        "s": [1.5],
    }
    assert masked({"r": [1, 2, 3]}, **_rules({"operator": "redact", "path": "/r/1"})) == {"r": [1, 0, 3]}


def test_a_path_with_escapes_means_the_key_without_them() -> None:
    assert masked({"a/b": {"c~d": "x y"}}, **_rules({"operator": "redact", "path": "/a~1b/c~0d"})) == {
        "a/b": {"c~d": "<CONFIGURED>"}
    }


def test_the_length_of_a_value_is_told_only_where_that_is_asked_for() -> None:
    rules = _rules({"operator": "mask", "type": "email"})
    assert masked("jo@example.org", **rules) == masked("someone.else@example.org", **rules) == "********"
    assert masked("jo@example.org", **rules, preserve_length=True, mask_char="#") == "#" * 14


def test_an_unknown_profile_refuses_the_message() -> None:
    with pytest.raises(RejectedError) as refusal:
        masker().mask(reading({}, mask_profile="loose"))
    assert refusal.value.reason == "mask_failed"


def test_counts_say_how_many_of_each_type_and_leave_out_what_is_kept() -> None:
    message = {"a": "jo@example.org", "b": ["jo@example.org", "4111111111111111"]}
    assert masker().mask(reading(message)).masked == {"email": 2, "card": 1}
    assert masker(**_rules({"operator": "keep", "type": "email"})).mask(reading(message)).masked == {"card": 1}


def test_explain_names_place_type_rule_and_operator_and_never_the_value() -> None:
    decisions: list[Decision] = []
    message = {"a/b": [{"phone": "+49 151 12345678"}], "raw": '{"mail": "jo@example.org"}', "jo@example.org": 1}
    masker().mask_value(message, explain=decisions.append)
    assert {(d.path, d.type, d.operator) for d in decisions} == {
        ("/a~1b/0/phone", "phone", "redact"),
        ("/raw/mail", "email", "redact"),
        ("", "email", "redact"),
    }
    assert all(0 < d.confidence <= 1 and d.rule for d in decisions)
    assert "151" not in str(decisions)
    assert "jo@" not in str(decisions)


@pytest.mark.parametrize(
    ("value", "coarse"),
    [(52.520008, 52.52), (-13.404954, -13.4), (525200081, 525200000), (-134049540, -134000000), (float("inf"), 0.0), (7, 7)],
)
def test_degrees_are_made_coarser_to_a_hundredth(value: float, coarse: float) -> None:
    assert coarse_degrees(value) == coarse
    assert coarse_degrees(coarse) == coarse


@pytest.mark.parametrize("kind", [[], {}, None, 1, "Point"])
@pytest.mark.parametrize("profile", ["balanced", "secrets-only", "strict"])
def test_coordinates_beside_a_type_of_any_kind_are_masked(kind: Any, profile: str) -> None:
    message = {
        "type": kind,
        "coordinates": [13.404954, 52.520008],
        "note": "jo.doe@example.org",
        "api_key": "Zx81kQ2mmP0yT7bb",
    }
    result = masked(message, profile=profile)
    assert "Zx81kQ" not in str(result)
    assert "jo.doe" not in str(result) or profile == "secrets-only"


def test_half_a_character_in_text_inside_of_text_does_not_break_an_own_detector() -> None:
    message = {"raw": '{"s": "\\ud800 B4711", "t": "B4711"}'}
    result = masked(message, detectors=[_detector(r"B\d{4}")])
    assert result == {"raw": '{"s": "\\ud800 <SITE_BADGE>", "t": "<SITE_BADGE>"}'}


@pytest.mark.parametrize("value", [9999999999999998.0, -9999999999999998.0])
def test_a_number_made_coarser_stays_among_those_that_can_be_written(value: float) -> None:
    event = masker().mask(reading({"gps": value})).event
    assert b'"gps":%d00000.0' % (value // 10**5 if value > 0 else -(-value // 10**5)) in event


def test_what_cannot_be_made_coarser_is_redacted() -> None:
    assert coarsened("gps", "52°31'12.0\"N") is None
    assert coarsened("email", "jo@example.org") is None
    assert masked("52°31'12.0\"N 13°24'17.8\"E") == "<GPS> <GPS>"


# --- the command


def _command(*arguments: str, lines: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "actod", "mask", *arguments],
        input=lines,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=60,
    )


def test_the_command_masks_lines_with_and_without_an_envelope() -> None:
    done = _command(
        lines='{"id":"1","topic":"a/jo@example.org","payload":{"m":"jo@example.org"}}\n{"m":"jo@example.org"}\n"jo@example.org"\n'
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"id": "1", "topic": "a/<EMAIL>", "payload": {"m": "<EMAIL>"}},
        {"m": "<EMAIL>"},
        "<EMAIL>",
    ]
    assert done.returncode == 0


def test_the_command_leaves_out_what_it_cannot_mask_and_says_so() -> None:
    done = _command(lines='not json jo@example.org\n{"m":1}\n')
    assert done.stdout == '{"m":1}\n'
    assert done.returncode == 1
    assert "left out" in done.stderr
    assert "jo@" not in done.stderr


def test_the_command_explains_and_checks_without_showing_a_value(tmp_path: Path) -> None:
    done = _command("--explain", lines='{"id":"7","payload":{"m":"jo@example.org"}}\n')
    assert json.loads(done.stdout) == {
        "id": "7", "path": "/m", "type": "email", "rule": "email", "confidence": 0.99, "operator": "redact",
    }  # fmt: skip
    (tmp_path / "log.txt").write_text("all well\nmail jo@example.org\n")
    found = _command("--check", str(tmp_path), lines="")
    assert found.returncode == 1
    assert "log.txt:2:: email" in found.stdout
    assert "jo@" not in done.stdout + found.stdout


def test_the_command_takes_a_policy_file_and_refuses_an_unknown_key(tmp_path: Path) -> None:
    policy = tmp_path / "actod.toml"
    policy.write_text('[masking]\nrules = [{operator = "keep", type = "email"}]\n')
    assert _command("--policy", str(policy), lines='"jo@example.org"\n').stdout == '"jo@example.org"\n'
    policy.write_text("[masking]\nmask_chr = '#'\n")
    refused = _command("--policy", str(policy), lines='"jo@example.org"\n')
    assert refused.returncode == 78
    assert "masking" in refused.stderr
