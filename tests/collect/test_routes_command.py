"""`actod routes test`: what an operator sees before a message is ever sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.collect.routing import write_config

ROOT = Path(__file__).parents[2]
ROUTES = """
[[routes]]
name = "vda"
topic = "uagv/v2/+/+/+"
profile = "vda5050-v2"

[[routes]]
name = "notes"
topic = "notes/#"
task_id = "/order"
traffic_class = "bulk"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, ROUTES, extra='[device]\nrobots = {"s-1" = "amr-1"}')


def actod(config: Path, *words: str | bytes, code: int = 0) -> str:
    command = [sys.executable, "-m", "actod", "routes", "test", "--config", str(config), *words]
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=config.parent, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode() if code < 2 else done.stderr.decode()


def answer(config: Path, *words: str | bytes, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(actod(config, "--json", *words, code=code))
    return found


def test_a_message_is_shown_where_it_goes_and_as_it_is_recorded(config: Path) -> None:
    found = answer(config, "notes/7", '{"order": "o-1", "text": "call katrin.moos@example.org", "shift": 2}')
    assert (found["route"], found["robot_id"], found["task_id"], found["run_id"]) == ("notes", None, "o-1", None)
    assert (found["class"], found["mask"], found["topic"]) == ("bulk", "balanced", "notes/7")
    assert found["data"]["shift"] == 2
    assert found["masked"] == {"email": 1}
    assert "katrin" not in json.dumps(found)
    assert found["bytes"] == 68


def test_a_robot_of_the_standard_is_named_as_the_operator_wants(config: Path) -> None:
    state = '{"orderId": "o-9", "nodeStates": [{}], "timestamp": "2026-01-02T03:04:05Z", "operatingMode": "MANUAL"}'
    found = answer(config, "uagv/v2/m/s-1/state", state)
    assert (found["robot_id"], found["task_id"], found["class"], found["mask"]) == ("amr-1", "o-9", "intervention", "strict")
    assert found["timestamp"] == "2026-01-02T03:04:05.000000+00:00"
    drawn = answer(config, "uagv/v2/m/s-2/state", state)["robot_id"]
    assert drawn.startswith("r-")
    assert "s-2" not in drawn


def test_people_read_lines_with_a_hyphen_for_none(config: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in actod(config, "notes/x", '{"grün": true}').splitlines())
    assert lines["route"] == "notes"
    assert lines["robot_id"] == "-"
    assert lines["masked"] == "-"
    assert lines["data"] == '{"grün": true}'


@pytest.mark.parametrize(
    ("topic", "payload", "reason", "remedy"),
    [
        ("elsewhere", "{}", "no_route", "[[routes]]"),
        ("notes/x", '{"a": 1, "a": 2}', "duplicate_key", "sender"),
        ("notes/x", '{"a": ', "not_json", "sender"),
        ("notes/x", b'{"a": "\xff"}', "not_utf8", "UTF-8"),
        ("notes/x", '{"order": [1]}', "bad_task_id", "task_id"),
        (b"notes/\xff", "{}", "bad_topic", "UTF-8"),
    ],
)
def test_a_refusal_has_its_reason_and_its_remedy(
    config: Path, topic: str | bytes, payload: str | bytes, reason: str, remedy: str
) -> None:
    found = answer(config, topic, payload, code=1)
    assert found["refused"] == reason
    assert remedy in found["what_to_do"]
    assert found["class"] == ("normal" if reason == "no_route" else "bulk")


def test_a_payload_comes_from_a_file_byte_for_byte(config: Path) -> None:
    (config.parent / "payload").write_bytes(b"\x00\x01\x02")
    found = answer(config, "notes/x", "@payload")
    assert found["data"]["bytes"] == found["bytes"] == 3
    assert "cannot read missing" in actod(config, "notes/x", "@missing", code=2)


def test_a_payload_that_is_not_given_is_an_empty_object(config: Path) -> None:
    assert answer(config, "notes/x")["data"] == {}


def test_a_configuration_that_is_refused_is_named_in_one_line(config: Path) -> None:
    config.write_text(config.read_text(encoding="utf-8").replace("notes/#", "$share/g/notes"), encoding="utf-8")
    said = actod(config, "notes/x", code=78)
    assert "routes.topic" in said
    assert len(said.splitlines()) == 1
