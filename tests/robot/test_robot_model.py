"""The robot of the rig: its messages are VDA 5050, can be repeated, are told apart, and carry what was planted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hil.robot.model import Message, Robot, number_of
from tests.robot.schemas import validator

ROOT = Path(__file__).parents[2]
PREFIXES = {"2.1": "uagv/v2/", "3.0": "vda5050/v3/"}
SEEDS = (1, 2, 3)
EPOCH = 1_767_323_045.5


def robot(*, seed: int = 1, seconds: float = 60, first: int = 1, bursts: bool = True) -> Robot:
    return Robot(seed=seed, seconds=seconds, rate=55, epoch=EPOCH, first=first, bursts=bursts)


@cache
def day(seed: int) -> tuple[Message, ...]:
    return tuple(robot(seed=seed).messages())


@cache
def sent(version: str, kind: str) -> list[dict[str, Any]]:
    """Return the payloads of one version's topic, over the days of all seeds."""
    return [
        json.loads(message.payload)
        for seed in SEEDS
        for message in day(seed)
        if message.topic.startswith(PREFIXES[version]) and message.topic.endswith(f"/{kind}")
    ]


@pytest.mark.parametrize("version", ["2.1", "3.0"])
@pytest.mark.parametrize("kind", ["state", "visualization", "connection", "order", "instantActions"])
def test_messages_are_what_the_published_schema_says(version: str, kind: str) -> None:
    messages = sent(version, kind)
    assert len(messages) > 5
    for message in messages:
        validator(version, kind).validate(message)


@pytest.mark.parametrize("version", ["2.1", "3.0"])
def test_the_will_is_a_connection_message_of_the_standard_with_an_old_header_id(version: str) -> None:
    (payload,) = [json.loads(body) for topic, body in robot().wills().values() if topic.startswith(PREFIXES[version])]
    validator(version, "connection").validate(payload)
    assert payload["connectionState"] == {"2.1": "CONNECTIONBROKEN", "3.0": "CONNECTION_BROKEN"}[version]
    assert payload["headerId"] == sent(version, "connection")[0]["headerId"] == 0
    assert number_of("connection", payload) is None, "it is not that message again"


def test_every_phase_of_an_order_and_every_trouble_occurs() -> None:
    for version in ("2.1", "3.0"):
        states = sent(version, "state")
        statuses = {action["actionStatus"] for state in states for action in state["actionStates"]}
        assert statuses >= {"WAITING", "INITIALIZING", "RUNNING", "FINISHED"}
        assert len({state["operatingMode"] for state in states}) >= 3
        stops = {state["safetyState"].get("eStop", state["safetyState"].get("activeEmergencyStop")) for state in states}
        assert stops > {"NONE"}
        assert {state["safetyState"]["fieldViolation"] for state in states} == {True, False}
        assert any(not state["nodeStates"] for state in states)
        assert any(state["errors"] for state in states)
        assert any(state["information"] for state in states)


def test_the_same_seed_gives_the_same_messages_and_another_seed_others() -> None:
    assert tuple(robot(seed=1).messages()) == day(1)
    assert [message.payload for message in day(2)] != [message.payload for message in day(1)]


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    arguments = [sys.executable, "-m", "hil.robot", "--print", "--seed", "1", "--seconds", "60", "--epoch", str(EPOCH)]
    environment = dict(os.environ) | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=30).stdout
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [(line["topic"], line["payload"].encode()) for line in lines] == [(m.topic, m.payload) for m in day(1)]


def test_header_ids_count_by_one_on_each_topic() -> None:
    last: dict[str, int] = {}
    for message in day(1):
        data = json.loads(message.payload)
        if "headerId" in data:
            assert data["headerId"] == last.get(message.topic, -1) + 1
            last[message.topic] = data["headerId"]
    assert len(last) == 10  # two vehicles, five topics each


def test_messages_are_numbered_in_order_and_told_apart() -> None:
    messages = tuple(robot(first=1000).messages())
    assert [json.loads(message.payload)["n"] for message in messages] == list(range(1000, 1000 + len(messages)))
    assert [message.number for message in messages] == list(range(1000, 1000 + len(messages)))
    assert len({message.identity for message in messages}) == len(messages)
    assert all(message.identity == number_of(message.topic, json.loads(message.payload)) for message in messages)
    assert [message.at for message in messages] == sorted(message.at for message in messages)


def test_what_tells_a_message_apart_survives_the_loss_of_members_that_a_schema_does_not_know() -> None:
    for message in day(1):
        data = json.loads(message.payload)
        if "headerId" in data:
            del data["n"]
            assert number_of(message.topic, data) == message.identity
    assert number_of("foreign", {"x": 1}) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_each_planted_value_stands_in_the_message_that_names_it_and_is_unique(seed: int) -> None:
    planted: Counter[str] = Counter()
    for message in day(seed):
        text = _without_spaces(message.topic + "\n" + _all_text(message.payload))
        for canary in message.canaries:  # a number in groups is planted without its spaces, too
            assert _without_spaces(canary) in text, f"message {message.number} does not hold what it says"
        planted.update(set(message.canaries))
    assert len(planted) > 300
    assert [value for value, times in planted.items() if times > 1] == []


def _without_spaces(text: str) -> str:
    return text.replace(" ", "")


def _all_text(payload: bytes) -> str:
    """Return every key, text and number of a message, JSON inside of text opened."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, member in value.items():
                found.append(key)
                walk(member)
        elif isinstance(value, list):
            for member in value:
                walk(member)
        elif isinstance(value, str):
            found.append(value)
            if value.startswith(("{", "[")):
                walk(json.loads(value))
        else:
            found.append(str(value))

    walk(json.loads(payload))
    return "\n".join(found)


def test_there_are_bursts_and_silences_unless_steadiness_is_asked_for() -> None:
    steady = [message.at for message in robot(bursts=False).messages()]
    bursting = [message.at for message in day(1)]
    assert max(later - earlier for earlier, later in pairwise(steady)) < 0.3
    assert max(later - earlier for earlier, later in pairwise(bursting)) > 0.5
