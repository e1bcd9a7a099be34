"""Profile strict under an operator's own schema: what it types goes through, and nothing planted in a message does."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from actod.config import MaskingConfig, MaskRuleConfig, SchemaConfig
from actod.errors import ConfigError
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from tests.mask.parts import KEY, reading
from tests.mask.test_strict import corpus_values, leaves

TOPIC = "plant/4/status"
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["mode", "drive"],
    "properties": {
        "mode": {"enum": ["AUTO", "MANUAL", None]},
        "at": {"type": "string", "format": "date-time"},
        "trip": {"type": "string", "format": "uuid"},
        "cell": {"type": "string", "pattern": "^cell-[0-9]{1,3}$"},
        "note": {"type": "string", "maxLength": 80},
        "moving": {"type": "boolean"},
        "drive": {
            "type": "object",
            "required": ["speed"],
            "properties": {
                "speed": {"type": ["number", "null"], "minimum": -5, "maximum": 5},
                "starts": {"type": "integer"},
            },
        },
        "ranges": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 100}},
        "tools": {"type": "array", "items": {"type": "object", "properties": {"slot": {"type": "integer"}}}},
    },
}
VALID = {
    "mode": "AUTO",
    "at": "2026-03-01T12:00:00Z",
    "trip": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "cell": "cell-12",
    "moving": True,
    "drive": {"speed": 1.5, "starts": 3},
    "ranges": [1.0, 2, 3.5],
    "tools": [{"slot": 1}, {"slot": 2}],
}


def strict(
    folder: Path, schema: Any, *, rules: list[MaskRuleConfig] | None = None, topic: str = "plant/+/status"
) -> PolicyMasker:
    return PolicyMasker(policy=policy(folder, schema, rules=rules, topic=topic), pseudonym_key=KEY)


def policy(folder: Path, schema: Any, *, rules: list[MaskRuleConfig] | None = None, topic: str = "plant/+/status") -> Policy:
    file = folder / "schema.json"
    file.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return Policy.compile(MaskingConfig(schemas=[SchemaConfig(topic=topic, file=file)], rules=rules or []))


def masked(masker: PolicyMasker, value: Any, *, topic: str = TOPIC) -> Any:
    return masker.mask_value(value, topic=topic, profile="strict")[0]


def test_a_valid_message_goes_through_as_it_is(tmp_path: Path) -> None:
    assert masked(strict(tmp_path, SCHEMA), VALID) is VALID


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mode", "Jane Roe"),
        ("at", "yesterday"),
        ("cell", "cell-Jane"),
        ("cell", 7),
        ("moving", "yes"),
        ("extra", 1),
    ],
)
def test_what_is_not_as_the_schema_says_is_left_out_or_hidden(tmp_path: Path, path: str, value: Any) -> None:
    result = masked(strict(tmp_path, SCHEMA), {**VALID, path: value})
    assert result.get(path, "").startswith("<IDENTIFIER:") or path not in result
    assert {name: one for name, one in result.items() if name != path} == {k: v for k, v in VALID.items() if k != path}


def test_numbers_are_held_to_their_range_and_free_text_is_dropped(tmp_path: Path) -> None:
    one = strict(tmp_path, SCHEMA)
    value = {**VALID, "note": "Jane waits", "drive": {"speed": 60, "starts": 1.5}, "ranges": [1, 4111111111111111]}
    assert masked(one, value) == {**VALID, "drive": {}, "ranges": [1]}


@pytest.mark.parametrize("gone", ["mode", "drive"])
def test_a_message_without_what_the_schema_requires_lets_nothing_through(tmp_path: Path, gone: str) -> None:
    assert masked(strict(tmp_path, SCHEMA), {name: one for name, one in VALID.items() if name != gone}) == {}
    assert "drive" not in masked(strict(tmp_path, SCHEMA), {**VALID, "drive": {"starts": 2}})


def test_a_schema_is_for_its_topics_alone(tmp_path: Path) -> None:
    one = strict(tmp_path, SCHEMA)
    assert masked(one, VALID, topic="plant/4/other") == {}
    assert masked(one, {"headerId": 1, "driving": True}, topic="uagv/v2/a/b/state") == {"headerId": 1, "driving": True}
    assert masked(strict(tmp_path, SCHEMA, topic="plant/#"), VALID, topic="plant") == VALID


def test_rules_of_the_policy_come_before_the_schema(tmp_path: Path) -> None:
    rules = [
        MaskRuleConfig(operator="keep", path="/battery"),
        MaskRuleConfig(operator="mask", type="free_text", profile="strict"),
    ]
    value = {**VALID, "battery": {"volts": 48.1}, "note": "mail jo.roe@example.org"}
    assert masked(strict(tmp_path, SCHEMA, rules=rules), value) == {**value, "note": "mail <EMAIL>"}


def test_nothing_planted_in_any_string_array_or_unknown_member_survives(tmp_path: Path) -> None:
    chance = random.Random(5)  # noqa: S311 - repeatable
    values = corpus_values()
    one = strict(tmp_path, SCHEMA)
    planted = leaked = 0
    while planted < 1500:
        message = json.loads(json.dumps(VALID))
        secrets = []
        for path, leaf in list(leaves(message)):
            if isinstance(leaf, str) or chance.random() < 0.3:
                text, cores = chance.choice(values)
                target = message
                for token in path[:-1]:
                    target = target[int(token) if isinstance(target, list) else token]
                target[int(path[-1]) if isinstance(target, list) else path[-1]] = text
                secrets.extend(cores)
        text, cores = chance.choice(values)
        message["drive"]["driver"] = message["unknown"] = [text]
        message["mode"] = "AUTO"
        planted += len(secrets) + 2
        out = "".join(filter(str.isalnum, orjson.dumps(masked(one, message)).decode()))
        leaked += sum(core in out for core in [*secrets, *cores])
    assert leaked == 0


def test_the_event_of_a_reading_under_a_schema_holds_what_it_names(tmp_path: Path) -> None:
    result = strict(tmp_path, SCHEMA).mask(reading({**VALID, "driver": "Jane Roe"}, topic=TOPIC, mask_profile="strict"))
    assert orjson.loads(result.event)["data"] == VALID
    assert result.masked == {"unknown_field": 1}


BAD: list[tuple[Any, str, str]] = [
    ("not JSON", "masking.schemas[0].file", "a readable JSON file"),
    ([], "/", "a schema"),
    ({"type": "string", "enum": ["A"]}, "/", "an object"),
    ({"type": "object"}, "/properties", "members by name"),
    ({"type": "object", "properties": {"a": {"$ref": "#/x"}}}, "/properties/a/$ref", "only "),
    ({"type": "object", "properties": {"a": {"type": "text"}}}, "/properties/a/type", "a type"),
    ({"type": "object", "properties": {"a": {"enum": [1]}}}, "/properties/a/enum", "words"),
    ({"type": "object", "properties": {"a": {"type": "string", "format": "email"}}}, "/properties/a/format", "date-time"),
    (
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "[0-9]"}}},
        "/properties/a/pattern",
        "from ^ to $",
    ),
    ({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(?=a)$"}}}, "/properties/a/pattern", "RE2"),
    (
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "^.*$"}}},
        "/properties/a/pattern",
        "takes no names",
    ),
    ({"type": "object", "properties": {"a": {"type": "array"}}}, "/properties/a/items", "a schema"),
    ({"type": "object", "properties": {"a/b": {"type": "number", "minimum": "0"}}}, "/properties/a~1b/minimum", "numbers"),
    ({"type": "object", "properties": {"phone": {"type": "integer"}}}, "/properties/phone", "phone"),
    ({"type": "object", "required": ["b"], "properties": {"a": {"type": "boolean"}}}, "/required", "names"),
]


@pytest.mark.parametrize(("schema", "where", "expected"), BAD, ids=[where + str(n) for n, (_, where, _e) in enumerate(BAD)])
def test_a_schema_that_cannot_be_used_is_refused_with_its_place_and_what_was_expected(
    tmp_path: Path, schema: Any, where: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        policy(tmp_path, schema)
    assert refused.value.key == where
    assert expected in refused.value.expected
    assert "schema.json" in str(refused.value)
    assert refused.value.fix


@pytest.mark.parametrize("topic", ["", "plant/#/status", "plant/a+"])
def test_a_schema_for_no_topic_filter_is_refused(tmp_path: Path, topic: str) -> None:
    with pytest.raises(ConfigError, match="topic filter"):
        policy(tmp_path, SCHEMA, topic=topic)


def test_the_digest_changes_with_what_a_schema_says_and_not_with_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = policy(tmp_path, SCHEMA).digest
    assert policy(tmp_path / "other", SCHEMA).digest == first
    assert policy(tmp_path, {**SCHEMA, "required": []}).digest != first
    assert Policy.compile(MaskingConfig()).digest != first
