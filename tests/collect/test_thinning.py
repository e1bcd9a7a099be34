"""Thinning by route: which messages are kept, and what the signed bundle says of the others."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod.cli import main
from actod.collect.contents import Contents, find
from actod.collect.routes import Routes
from actod.config import IntakeConfig, LimitConfig, MaskingConfig, RouteConfig
from actod.errors import ConfigError, RejectedError, TransientError
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.model import MaskedReading
from actod.service.clock import SystemClock
from tests.collect.routing import VDA2, deliver, make_admission, make_router, write_config


class Door:
    """Router and admission of some routes."""

    def __init__(self, *routes: RouteConfig, **options: Any) -> None:
        self.router = make_router(*routes)
        self.admission = make_admission(*routes, router=self.router, **options)
        self.refused: Counter[str] = Counter()

    def takes(self, data: object, *, at: float, topic: str = "t/x", **options: Any) -> bool:
        try:
            self.admission.admit(self.router.route(deliver(topic, data, at=at, **options)))
        except RejectedError as refusal:
            self.refused[refusal.reason] += 1
            return False
        return True


def route(**options: Any) -> RouteConfig:
    return RouteConfig(**({"name": "r", "topic": "t/#"} | options))


def test_max_hz_keeps_the_first_and_then_so_many_a_second_of_each_topic() -> None:
    door = Door(route(max_hz=2.0))
    kept = [moment for moment in range(40) if door.takes({}, at=1 + moment / 10)]
    assert kept == [0, 5, 10, 15, 20, 25, 30, 35]
    assert door.takes({}, at=4.95, topic="t/y")
    assert door.refused == {"sampled:max_hz": 32}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 0.4), min_size=1, max_size=200))
def test_max_hz_never_keeps_more_than_it_says_and_one_and_loses_no_rate_to_jitter(pauses: list[float]) -> None:
    door, now, kept = Door(route(max_hz=5.0)), 1.0, []
    for pause in pauses:
        now += pause
        if door.takes({}, at=now):
            kept.append(now)
    seconds = now - kept[0]
    assert len(kept) <= 5 * seconds + 2 + 1e-6


def test_a_sender_that_is_exactly_as_fast_as_max_hz_loses_nothing_though_it_jitters() -> None:
    door = Door(route(max_hz=10.0))
    assert all(door.takes({}, at=1 + n / 10 + (0.004 if n % 3 else -0.004)) for n in range(1, 100))


@pytest.mark.parametrize("watched", [["/a", "/deep/0"], [""]])
def test_on_change_keeps_what_differs_where_it_is_watched(watched: list[str]) -> None:
    door = Door(route(on_change=watched))
    steps = [
        ({"a": 1, "deep": [1]}, True),
        ({"a": 1, "deep": [1]}, False),
        ({"a": 1, "deep": [2]}, True),
        ({"deep": [2]}, True),
        ({"a": None, "deep": [2]}, watched == [""]),
        ({"a": None, "deep": [2], "more": 1}, watched == [""]),
    ]
    assert [door.takes(data, at=1) for data, _ in steps] == [kept for _, kept in steps]


def test_deadband_keeps_what_moved_further_since_the_last_that_was_kept() -> None:
    door = Door(route(deadband={"/t": 0.5, "/p": 0.0}))
    values = [(20.0, 1), (20.4, 1), (20.5, 1), (20.6, 1), (20.1, 1), (20.1, 2), (True, 2), (None, 2), ("20", 2), ("20", 2)]
    assert [door.takes({"t": t, "p": p}, at=1) for t, p in values] == [
        *(True, False, False, True, False, True, True, True, True, False)
    ]
    assert door.refused == {"sampled:deadband": 4}


def test_what_the_limits_dropped_does_not_pass_for_kept() -> None:
    door = Door(route(on_change=["/a"], limit=LimitConfig(per_second=1)))
    assert door.takes({"a": 1}, at=1)
    assert not door.takes({"a": 2}, at=1)
    assert door.takes({"a": 2}, at=2)
    assert door.refused == {"rate_limited": 1}


def test_no_intervention_and_no_gap_is_lost_to_thinning() -> None:
    door = Door(RouteConfig(name="vda", topic=VDA2.topic, profile=VDA2.profile, max_hz=0.001))
    stop = {"safetyState": {"eStop": "AUTOACK", "fieldViolation": False}}
    taken = [
        door.takes({"headerId": n} | (stop if n == 3 else {}), at=1, topic="uagv/v2/m/s/state") for n in (1, 2, 3, 4, 6)
    ]
    assert taken == [True, False, True, False, False]
    assert door.router.take() == {("sender_gap", "normal", "vda"): 1}


def test_other_rules_begin_anew_and_debts_go_on() -> None:
    now = SystemClock().now().monotonic_ns / 1e9  # as for the limits that go on: time pays debts
    door = Door(route(deadband={"/a": 1.0}, limit=LimitConfig(per_day=3)))
    assert door.takes({"a": 1}, at=now)
    assert not door.takes({"a": 1}, at=now)
    for rules in ({"/a": 1.0, "/b": 1.0}, {"/b": 1.0}):
        config: Any = SimpleNamespace(intake=IntakeConfig(), routes=[route(deadband=rules, limit=LimitConfig(per_day=3))])
        door.admission.adopt(config=config, routes=Routes.compile(config.routes))
        assert door.takes({"a": 1, "b": 1}, at=now)
    assert not door.takes({"a": 9, "b": 9}, at=now)
    assert door.refused == {"sampled:deadband": 1, "rate_limited": 1}


def test_a_defect_of_ours_is_a_refusal_that_quotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("content")

    door = Door(route(on_change=[""]))
    monkeypatch.setattr(door.admission._thinning, "look", fail)
    with pytest.raises(RejectedError, match="admission_failed") as caught:
        door.admission.admit(door.router.route(deliver("t/x")))
    assert caught.value.__context__ is None


def test_endless_topics_take_little_memory() -> None:
    door = Door(route(on_change=[""]))
    for number in range(5000):
        door.takes({}, at=1, topic=f"t/{number}")
    assert len(door.admission._thinning._kept) == 4096
    assert not door.takes({}, at=1, topic="t/4999")


def test_a_retained_message_is_recorded_once_over_sessions_and_restarts_and_again_when_it_changed() -> None:
    door = Door()
    assert door.takes({"n": 1}, at=1, retained=True)
    assert not door.takes({"n": 1}, at=2, retained=True)
    assert door.takes({"n": 1}, at=2)  # said once more, and not retained
    again = Door(memory=json.loads(json.dumps(door.admission.memory())))
    assert not again.takes({"n": 1}, at=1, retained=True)
    assert again.takes({"n": 2}, at=1, retained=True)
    assert again.takes({"n": 2}, at=1, retained=True, topic="t/y")
    assert again.refused == {"sampled:retained": 1}
    assert "t/x" not in json.dumps(door.admission.memory())


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"on_change": ["a"]}, "JSON Pointer"),
        ({"on_change": ["topic:3"]}, "JSON Pointer"),
        ({"deadband": {"=x": 1.0}}, "JSON Pointer"),
    ],
)
def test_a_pointer_that_is_none_is_refused(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        Routes.compile([route(**options)])


def masked(data: object) -> MaskedReading:
    masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=b"p" * 32)
    return masker.mask(make_router().route(deliver("t/x", data)))


def test_a_digest_leaves_a_commitment_that_opens_to_the_masked_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = route(digest=True)
    door = Door(chosen, folder=tmp_path / "contents")
    reading = door.router.route(deliver("t/x", {"pose": [1, 2], "mail": "ann@example.com"}))
    event = door.admission.finish(reading, masked(reading.data)).event
    asyncio.run(door.admission.secure())
    signed = json.loads(event)
    commitment = signed["data"].pop("commitment")
    assert (signed["data"], signed["topic"]) == ({}, "t/x")
    assert b"pose" not in event
    config = write_config(tmp_path, '[[routes]]\nname = "r"\ntopic = "#"')
    assert main.main(["routes", "open", commitment, "--config", str(config), "--state", str(tmp_path)]) == 0
    opened = json.loads(capsys.readouterr().out)
    assert opened["event"]["data"]["pose"] == [1, 2]
    assert opened["event"]["ts"] == signed["ts"]
    assert "ann@example.com" not in json.dumps(opened)
    kept = tmp_path / "contents" / "00000001.jsonl"
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(kept.read_bytes().replace(b"[1,2]", b"[1,3]"))
    assert main.main(["routes", "open", commitment, "--config", str(config), "--state", str(tmp_path)]) == 1


def test_equal_contents_have_unlike_commitments() -> None:
    contents = Contents(Path("/nowhere"), max_bytes=1, on_event=lambda *_: None)
    assert contents.replace(masked({})).event != contents.replace(masked({})).event


def test_kept_contents_stay_below_their_cap_and_what_made_room_is_told(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    contents = Contents(tmp_path / "c", max_bytes=80_000, on_event=lambda _name, **fields: events.append(fields))
    commitments = []
    for number in range(13):
        for _ in range(3 if number < 10 else 130):  # of which one group alone is more than may be kept
            event = contents.replace(masked({"n": number, "filler": "lift " * 100})).event
            commitments.append(json.loads(event)["data"]["commitment"].removeprefix("sha256:"))
        contents.secure()
        assert sum(file.stat().st_size for file in (tmp_path / "c").iterdir()) <= 80_000
    gone = sum(fields["contents"] for fields in events)
    found = [find(tmp_path / "c", commitment) is not None for commitment in commitments]
    assert found == [False] * gone + [True] * (420 - gone)
    assert 0 < gone < 420


def test_half_a_line_of_a_power_cut_is_cut_away_and_a_full_disk_forgets_nothing(tmp_path: Path) -> None:
    def keep(contents: Contents) -> str:
        event = contents.replace(masked({})).event
        return str(json.loads(event)["data"]["commitment"]).removeprefix("sha256:")

    contents = Contents(tmp_path, max_bytes=1 << 20, on_event=lambda *_: None)
    first = keep(contents)
    contents.secure()
    with (tmp_path / "00000001.jsonl").open("ab") as file:
        file.write(b'{"commitment":"abc')
    after = Contents(tmp_path, max_bytes=1 << 20, on_event=lambda *_: None)
    second = keep(after)
    (tmp_path / "00000001.jsonl").rename(tmp_path / "away")
    (tmp_path / "00000001.jsonl").mkdir()
    with pytest.raises(TransientError):
        after.secure()
    (tmp_path / "00000001.jsonl").rmdir()
    (tmp_path / "away").rename(tmp_path / "00000001.jsonl")
    after.secure()
    assert all(find(tmp_path, commitment) for commitment in (first, second))
    assert (tmp_path / "00000001.jsonl").read_bytes().count(b"\n") == 2
