"""The bound on open runs, as a table and against a model."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actod.collect.runs import Key, OpenRuns
from actod.config import IntakeConfig
from actod.model import TrafficClass

SECOND = 1_000_000_000


def runs(most: int = 32, a_minute: int = 60) -> OpenRuns:
    return OpenRuns(IntakeConfig(max_open_runs=most, new_runs_per_minute=a_minute))


def key(number: int) -> Key:
    return ("r", f"task-{number}", None, TrafficClass.NORMAL)


def test_so_many_are_open_and_the_next_one_is_not() -> None:
    opened = runs(3)
    assert [opened.admit(key(n), SECOND) for n in range(5)] == [True, True, True, False, False]
    assert opened.admit(key(0), 2 * SECOND)


def test_the_default_is_32() -> None:
    opened = OpenRuns(IntakeConfig())
    assert sum(opened.admit(key(n), SECOND) for n in range(50)) == 32


def test_a_run_that_its_robot_left_makes_room_half_a_minute_later() -> None:
    opened = runs(1)
    assert opened.admit(key(0), SECOND)
    opened.end(key(0)[:3], 2 * SECOND)
    assert not opened.admit(key(1), 32 * SECOND)
    assert opened.admit(key(1), 32 * SECOND + 1)


def test_a_run_that_is_silent_makes_room_after_ten_minutes() -> None:
    opened = runs(1)
    assert opened.admit(key(0), SECOND)
    assert not opened.admit(key(1), 601 * SECOND)
    assert opened.admit(key(1), 601 * SECOND + 1)


def test_a_run_that_still_speaks_outlives_one_that_began_after_it() -> None:
    opened = runs(2)
    assert opened.admit(key(0), SECOND)
    assert opened.admit(key(1), 2 * SECOND)
    assert opened.admit(key(0), 600 * SECOND)
    assert opened.admit(key(2), 603 * SECOND)  # the silent one made room
    assert not opened.admit(key(1), 604 * SECOND)
    assert opened.admit(key(0), 605 * SECOND)


def test_only_so_many_begin_in_a_minute() -> None:
    opened = runs(32, 2)
    assert [opened.admit(key(n), n * SECOND) for n in (1, 2, 3)] == [True, True, False]
    assert not opened.admit(key(3), 61 * SECOND)
    assert opened.admit(key(3), 61 * SECOND + 1)
    assert not opened.admit(key(4), 61 * SECOND + 1)


def test_a_run_that_is_taken_up_again_is_no_new_one() -> None:
    opened = runs(2, 2)
    for step in range(100):
        mine, other = key(step % 2), key(1 - step % 2)
        assert opened.admit(mine, (1 + step) * SECOND // 10)
        opened.end(other[:3], (1 + step) * SECOND // 10)


@settings(deadline=None)  # a busy machine is no defect
@given(
    st.lists(st.tuples(st.sampled_from(["admit", "end"]), st.integers(0, 12), st.integers(0, 40)), max_size=300),
    st.integers(1, 6),
    st.integers(1, 8),
)
def test_neither_bound_is_ever_exceeded(steps: list[tuple[str, int, int]], most: int, a_minute: int) -> None:
    opened = runs(most, a_minute)
    now = SECOND
    last_seen: dict[Key, int] = {}  # what may still have an open bundle of half a minute
    begun: list[int] = []
    for verb, number, seconds in steps:
        now += seconds * SECOND
        name = key(number)
        if verb == "end":
            opened.end(name[:3], now)
        elif opened.admit(name, now):
            if now - last_seen.get(name, -(10**18)) > 630 * SECOND:
                begun.append(now)
            last_seen[name] = now
        assert len(opened) <= most
        assert sum(now - at <= 30 * SECOND for at in last_seen.values()) <= most
        assert sum(now - at <= 60 * SECOND for at in begun) <= a_minute


def test_each_class_of_a_run_counts_since_each_has_a_bundle_and_all_end_with_the_run() -> None:
    opened = runs(4, a_minute=5)
    run = ("r", "task", None)
    assert [opened.admit((*run, traffic_class), SECOND) for traffic_class in TrafficClass] == [True] * 4
    assert not opened.admit(key(1), SECOND)
    opened.end(run, 2 * SECOND)
    assert opened.admit(key(1), 40 * SECOND)
