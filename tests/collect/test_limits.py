"""Limits: what a flood may bring to the disk, in a second and in a day, over kills, restarts and clocks that step."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod.collect.limits import Limits
from actod.config import IntakeConfig, LimitConfig, RouteConfig
from actod.errors import RejectedError
from actod.model import Instant, Reading, TrafficClass

SECOND = 1_000_000_000
WIDE = LimitConfig()


def limits(
    route: LimitConfig = WIDE, robot: LimitConfig = WIDE, *, events: list[Any] | None = None, **intake: Any
) -> Limits:
    told = [] if events is None else events
    return Limits(
        intake=IntakeConfig(robot_limit=robot, **intake),
        routes=[RouteConfig(name="r", topic="#", limit=route), RouteConfig(name="other", topic="x")],
        on_event=lambda name, **fields: told.append((name, fields)),
    )


def tries(held: Limits, count: int, *, at: float, robot: str = "a", kind: str = "normal", route: str = "r") -> Counter[str]:
    """Offer so many readings at a moment; count what became of them."""
    outcome: Counter[str] = Counter()
    moment = Instant(0, int(at * SECOND))
    reading = Reading(robot, "t", None, "", "topic", {}, route, "strict", TrafficClass(kind), moment)
    for _ in range(count):
        try:
            held.take(reading)
            outcome["in"] += 1
        except RejectedError as refusal:
            outcome[refusal.reason] += 1
    return outcome


@pytest.mark.parametrize(
    ("limit", "moments", "let_in"),
    [
        (LimitConfig(per_second=10), (0, 0.5, 1.0, 60), [10, 5, 5, 10]),
        (LimitConfig(per_minute=10), (0, 1, 60, 3600), [10, 0, 10, 10]),
        (LimitConfig(per_hour=10), (0, 60, 3600, 3600 + 360), [10, 0, 10, 1]),
        (LimitConfig(per_day=10), (0, 3600, 86_400, 86_400 * 1.1), [10, 0, 10, 1]),
        (LimitConfig(per_second=1), (0, 0.5, 1), [1, 0, 1]),
    ],
)
def test_each_span_has_its_limit_for_a_route_and_for_a_robot(
    limit: LimitConfig, moments: tuple[float, ...], let_in: list[int]
) -> None:
    for held in (limits(route=limit, brake_factor=1000), limits(robot=limit)):
        assert [tries(held, 20, at=1000 + moment)["in"] for moment in moments] == let_in


def test_a_robot_that_floods_takes_nothing_from_another() -> None:
    held = limits(robot=LimitConfig(per_second=10))
    assert tries(held, 1000, at=1, robot="loud") == {"in": 10, "rate_limited": 990}
    assert tries(held, 10, at=1, robot="quiet") == {"in": 10}


@pytest.mark.parametrize("kind", ["intervention", "safety"])
@pytest.mark.parametrize("first", ["normal", "bulk"])
def test_intervention_and_safety_still_pass_where_others_are_limited_and_are_limited_last(kind: str, first: str) -> None:
    held = limits(robot=LimitConfig(per_second=100))
    assert tries(held, 500, at=1, kind=first)["in"] == 100
    assert tries(held, 500, at=1, kind=kind)["in"] == 25
    assert tries(held, 1, at=1, kind=first) == {"rate_limited": 1}
    assert tries(limits(route=LimitConfig(per_day=1)), 9, at=1, kind=kind)["in"] == 2


def test_the_brake_closes_a_route_for_its_time_and_opens_by_itself() -> None:
    events: list[Any] = []
    held = limits(LimitConfig(per_second=10), events=events, brake_factor=3, brake_seconds=20.0)
    assert tries(held, 100, at=1) == {"in": 10, "rate_limited": 20, "flood_brake": 70}
    assert events == [("intake.braked", {"route": "r", "seconds": 20})]
    assert tries(held, 5, at=20.9) == {"flood_brake": 5}
    assert tries(held, 5, at=20.9, route="other") == {"in": 5}
    assert tries(held, 1, at=20.9, kind="safety") == {"in": 1}
    assert tries(held, 5, at=21) == {"in": 5}
    assert tries(held, 100, at=30)["flood_brake"] == 70  # a flood that goes on closes it once more
    assert len(events) == 2


def test_neither_a_kill_nor_a_reboot_gives_a_token_back_and_only_time_in_one_boot_does() -> None:
    limit = LimitConfig(per_second=50, per_hour=100)
    first = limits(limit, brake_factor=2, brake_seconds=20.0)
    assert tries(first, 40, at=1000) + tries(first, 101, at=1001) == {"in": 90, "rate_limited": 50, "flood_brake": 1}
    saved = first.saved(1001 * SECOND)

    def again(at: float, *, same_boot: bool) -> Limits:
        held = limits(limit, brake_factor=2, brake_seconds=20.0)
        held.restore(saved, int(at * SECOND), same_boot=same_boot)
        return held

    assert tries(again(1002, same_boot=True), 40, at=1002) == {"flood_brake": 40}
    assert tries(again(1022, same_boot=True), 40, at=1022)["in"] == 10
    assert tries(again(1001 + 1800, same_boot=True), 90, at=2801)["in"] == 50
    assert tries(again(5, same_boot=False), 40, at=5) == {"flood_brake": 40}
    assert tries(again(5, same_boot=False), 40, at=25)["in"] == 10
    assert tries(again(9000, same_boot=False), 40, at=9020)["in"] == 10  # whatever the new boot's clock says


def test_what_is_saved_of_older_routes_or_in_another_form_is_left_out() -> None:
    held = limits(LimitConfig(per_second=1))
    held.restore(
        {
            "route:gone": [1, 1, 1, 1, 1],
            "brake:gone": [1, 9**9],
            "route:r": [1],
            "robot:a": "x",
            "brake:r": [1.5, 2],
            "x": 3,
        },
        SECOND,
        same_boot=True,
    )
    assert tries(held, 1, at=1) == {"in": 1}
    assert limits().saved(1) == {}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 30), st.sampled_from(["go", "kill"])), max_size=40),
    st.integers(1, 20),
    st.integers(1, 60),
)
def test_in_no_stretch_of_time_more_passes_than_the_buckets_allow(
    steps: list[tuple[int, int, str]], per_second: int, per_minute: int
) -> None:
    limit = LimitConfig(per_second=per_second, per_minute=per_minute)
    held, now, passed = limits(limit, brake_factor=1_000), 0, []
    for pause, count, what in steps:
        now += pause
        passed += [now] * tries(held, count, at=now / SECOND)["in"]
        if what == "kill":
            saved = held.saved(now)
            held = limits(limit, brake_factor=1_000)
            held.restore(saved, now, same_boot=True)
    for begin in range(len(passed)):
        for end in range(begin, len(passed)):
            seconds, count = (passed[end] - passed[begin]) / SECOND, end - begin + 1
            assert count <= per_second * (1 + seconds) + 1e-6
            assert count <= per_minute * (1 + seconds / 60) + 1e-6
