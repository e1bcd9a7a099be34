"""Budgets: strict over every span, each robot's share, and kept over restarts, kills and reboots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actod.config import CollectorConfig
from actod.submit.budget import Budget, Window
from actod.submit.memory import FILE, Memory
from tests.submit.parts import FakeClock

SECOND = 1_000_000_000
PLAIN = CollectorConfig(url="https://collector.example", pins=[], api_key_file=Path("none"))


@settings(max_examples=200)
@given(
    most=st.integers(1, 30),
    steps=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 12)), min_size=1, max_size=80),
)
def test_no_span_of_a_windows_length_holds_more_than_it_allows(most: int, steps: list[tuple[float, int]]) -> None:
    window, now_ns, left = Window(key="k", seconds=60, most=most), 5 * SECOND, []
    for pause, amount in steps:
        now_ns += int(pause * SECOND)
        amount = min(amount, most)  # noqa: PLW2901 - a larger one has a test of its own
        now_ns += int(window.wait_seconds(amount, now_ns) * SECOND) + 1
        assert window.wait_seconds(amount, now_ns) == 0, "what was waited for has come"
        window.take(amount, now_ns)
        left.append((now_ns, amount))
    for start, _amount in left:
        assert sum(amount for at, amount in left if start <= at < start + 60 * SECOND) <= most


def test_what_is_more_than_a_window_allows_leaves_once_it_is_empty() -> None:
    window = Window(key="k", seconds=60, most=10)
    window.take(1, 0)
    assert 60 <= window.wait_seconds(50, 0) <= 62
    window.take(50, 61 * SECOND)
    assert window.wait_seconds(1, 62 * SECOND) > 59


def waits(budget: Budget, now_ns: int, *, requests: int, size_bytes: int = 100) -> tuple[int, str]:
    """Send so many as fast as the budget allows; return when the last left, and for which limit it waited."""
    key = ""
    for _ in range(requests):
        while (wait := budget.wait(size_bytes, now_ns)).seconds > 0:
            now_ns += int(wait.seconds * SECOND) + 1000
            key = wait.key
        budget.take(size_bytes, now_ns)
    return now_ns, key


@pytest.mark.parametrize(
    ("changes", "requests", "seconds", "key"),
    [
        ({}, 44, 10, ""),
        ({"fleet_share": 0.25}, 11, 10, ""),
        ({"requests_per_minute": 30}, 31, 60, "collector.requests_per_minute"),
        ({"requests_per_hour": 100}, 101, 3600, "collector.requests_per_hour"),
        ({"requests_per_day": 100, "fleet_share": 0.5}, 51, 86_400, "collector.requests_per_day"),
        ({"bytes_per_day": 1000}, 11, 86_400, "collector.bytes_per_day"),
        ({"bytes_per_second": 50}, 12, 22, ""),
        ({"budgets": False, "requests_per_day": 1, "bytes_per_second": 1}, 1000, 0, ""),
    ],
)
def test_each_limit_holds_and_is_named(changes: dict[str, Any], requests: int, seconds: float, key: str) -> None:
    now_ns, found = waits(Budget(replace(PLAIN, **changes), now_ns=0), 0, requests=requests)
    assert seconds * 0.95 <= now_ns / SECOND <= seconds * 1.05 + 1
    assert found == key


def test_the_pace_is_halved_and_comes_back_gently() -> None:
    budget = Budget(PLAIN, now_ns=0)
    assert budget.pace == 4
    budget.slow_down()
    budget.slow_down()
    assert budget.pace == 1
    receipts = 0
    while budget.pace < 4:
        before = budget.pace
        budget.speed_up()
        receipts += 1
        assert budget.pace <= before * 1.2 + 1e-9
    assert 6 <= receipts <= 12
    for _ in range(100):
        budget.slow_down()
    assert budget.pace == pytest.approx(2 / 300), "never slower than half the longest pause asks for"


class Robot:
    """One state folder and its lives."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.clock, self.file = FakeClock(), folder / FILE
        self.config = replace(PLAIN, requests_per_second=1000, **changes)
        self.boot = "boot-1"
        self.clock.boot_id = lambda: self.boot  # type: ignore[method-assign]

    def start(self) -> None:
        self.budget = Budget(self.config, now_ns=self.clock.ns)
        self.memory = Memory(self.file, budget=self.budget, clock=self.clock, configured_bytes=512 * 1024)

    def send(self) -> bool:
        """Send one request if the budget allows it now, as the uplink does."""
        if self.budget.wait(100, self.clock.ns).seconds > 0.01:
            return False
        self.clock.advance(0.01)
        if self.memory.is_due(100):
            self.memory.save(100)
        self.budget.take(100, self.clock.ns)
        return True


@pytest.mark.parametrize("key", ["requests_per_hour", "requests_per_day"])
@settings(max_examples=15, deadline=None)
@example(steps=["many", "many", "many", "kill", "many", "kill", "many"])
@example(steps=["many", "many", "stop", "many", "reboot", "many", "kill", "many"])
@given(steps=st.lists(st.sampled_from(["send", "send", "many", "kill", "stop", "wait", "reboot"]), max_size=40))
def test_no_restart_kill_or_reboot_makes_a_budget_larger(
    key: str, steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    robot = Robot(tmp_path_factory.mktemp("budget"), **{key: 60})
    robot.clock.is_synchronised = None  # what lies between two boots is not known
    robot.start()
    seconds = 3600 if key == "requests_per_hour" else 86_400
    sent: list[float] = []
    true_seconds = 0.0
    for step in steps:
        before = robot.clock.ns
        if step in ("send", "many"):
            tries = (robot.send() for _ in range(1 if step == "send" else 25))
            sent += [true_seconds + (robot.clock.ns - before) / 1e9 for done in tries if done]
        elif step == "wait":
            robot.clock.advance(seconds / 7)
        elif step == "stop":
            robot.memory.close()
        true_seconds += (robot.clock.ns - before) / 1e9
        if step == "reboot":
            robot.boot, robot.clock.ns = robot.boot + "+", SECOND
        if step in ("kill", "stop", "reboot"):
            robot.start()
    for start in sent:
        assert sum(start <= at < start + seconds for at in sent) <= 60


def test_a_clean_stop_costs_nothing_of_the_budget_and_a_kill_a_hundredth(tmp_path: Path) -> None:
    robot = Robot(tmp_path, requests_per_hour=1000)
    robot.start()
    assert all(robot.send() for _ in range(500))
    robot.memory.close()
    robot.start()
    assert sum(robot.send() for _ in range(600)) == 500
    robot.clock.advance(3700)
    robot.start()
    assert all(robot.send() for _ in range(500))
    robot.start()  # after a kill
    assert 480 <= sum(robot.send() for _ in range(600)) <= 500


def test_the_time_between_two_boots_counts_where_the_clock_is_synchronised(tmp_path: Path) -> None:
    for before, synchronised, sent in ((True, True, 100), (True, None, 0), (False, True, 0), (None, True, 0)):
        robot = Robot(tmp_path, requests_per_hour=100)
        robot.file.unlink(missing_ok=True)
        robot.clock.is_synchronised = before
        robot.start()
        assert sum(robot.send() for _ in range(200)) == 100
        robot.memory.close()
        robot.boot, robot.clock.wall_ns, robot.clock.ns = "boot-2", robot.clock.wall_ns + 7200 * SECOND, SECOND
        robot.clock.is_synchronised = synchronised
        robot.start()
        assert sum(robot.send() for _ in range(200)) == sent


def test_after_a_kill_a_minutes_budget_counts_as_used_up(tmp_path: Path) -> None:
    robot = Robot(tmp_path, requests_per_minute=10, requests_per_day=1000)
    robot.start()
    assert robot.send()
    robot.start()
    assert not robot.send()
    robot.clock.advance(62)
    assert robot.send()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"v":1}', b"\xff" * 100, b'{"largest":5,"windows":{}}'])
def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, content: bytes) -> None:
    robot = Robot(tmp_path, requests_per_hour=10)
    robot.file.write_bytes(content)
    robot.start()
    assert robot.send()
    assert orjson.loads(robot.file.read_bytes())["clean"] is False


def test_the_largest_bundle_is_remembered_until_the_configuration_says_otherwise(tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    robot.start()
    assert not robot.memory.is_lowered
    robot.memory.save()
    assert not robot.file.exists(), "nothing to remember"
    robot.memory.largest_bytes = 100_000
    robot.memory.save()
    assert robot.file.stat().st_mode & 0o777 == 0o600
    robot.start()
    assert robot.memory.largest_bytes == 100_000
    other = Memory(robot.file, budget=robot.budget, clock=robot.clock, configured_bytes=1 << 20)
    assert other.largest_bytes == 1 << 20
