"""When to commit: never late, never in a hurry for nothing, and never in a busy loop."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from actod.collect.intake import Intake
from actod.collect.window import CommitWindow
from actod.config import IntakeConfig
from actod.model import Delivery, Instant
from actod.service.clock import SystemClock

MS = 1_000_000
INTERVAL, QUIET = 500 * MS, 20 * MS


def window(receive_maximum: int = 200) -> CommitWindow:
    return CommitWindow(IntakeConfig(), receive_maximum=receive_maximum)


def arrive(told: CommitWindow, count: int, at: int, *, qos: int = 1) -> None:
    for _ in range(count):
        told.arrived(at, acknowledgeable=qos > 0)


def test_nothing_waits_before_the_first_message_and_after_the_last_was_taken() -> None:
    told = window()
    assert told.due_ns() is None
    arrive(told, 1, MS)
    assert told.due_ns() == MS + INTERVAL
    told.taken()
    assert told.due_ns() is None


def test_the_oldest_message_waits_for_the_interval_however_many_follow() -> None:
    told = window()
    for at in range(MS, 400 * MS, 10 * MS):
        arrive(told, 1, at)
    assert told.due_ns() == MS + INTERVAL


def test_a_broker_that_has_sent_all_it_may_is_not_kept_waiting() -> None:
    told = window(receive_maximum=5)
    arrive(told, 4, MS)
    assert told.due_ns() == MS + INTERVAL
    arrive(told, 1, 2 * MS)
    assert told.due_ns() == 2 * MS + QUIET


def test_the_last_of_a_full_window_does_not_put_the_interval_off() -> None:
    told = window(receive_maximum=2)
    arrive(told, 1, MS)
    arrive(told, 1, 495 * MS)
    assert told.due_ns() == MS + INTERVAL


def test_a_qos_0_message_waits_for_nobodys_acknowledgement() -> None:
    told = window(receive_maximum=2)
    arrive(told, 5, MS, qos=0)
    assert told.due_ns() == MS + INTERVAL


def learn(told: CommitWindow, limit: int, at: int) -> int:
    """Let a broker with a limit send that many, be acknowledged after the interval, and go on at once."""
    arrive(told, limit, at)
    at += INTERVAL
    told.taken()
    told.acknowledged(at, limit)
    arrive(told, limit, at + MS)
    return at + MS


def test_a_limit_of_the_broker_is_learnt_where_it_goes_on_at_once() -> None:
    told = window()
    at = learn(told, 20, MS)
    assert told.due_ns() == at + QUIET


def test_a_broker_that_is_only_slow_teaches_no_limit() -> None:
    told = window()
    arrive(told, 20, MS)
    told.taken()
    told.acknowledged(MS + INTERVAL, 20)
    arrive(told, 20, MS + INTERVAL + 6 * MS)
    assert told.due_ns() == 2 * INTERVAL + 7 * MS


def test_more_than_the_learnt_limit_raises_it_again() -> None:
    told = window()
    at = learn(told, 3, MS)
    arrive(told, 1, at)
    assert told.due_ns() == at + QUIET  # four are the limit now
    told.taken()
    told.acknowledged(at + QUIET, 1)
    arrive(told, 1, at + QUIET + 10 * MS)
    arrive(told, 1, at + QUIET + 11 * MS)
    told.taken()
    told.acknowledged(at + QUIET + 12 * MS, 3)
    arrive(told, 1, at + 50 * MS)
    assert told.due_ns() == at + 50 * MS + INTERVAL


def test_a_new_connection_owes_nothing() -> None:
    told = window(receive_maximum=5)
    arrive(told, 5, MS)
    told.reset()
    assert told.due_ns() == MS + INTERVAL


@settings(deadline=None)  # a busy machine is no defect
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["arrive", "arrive", "arrive", "flood", "take", "acknowledge", "reset"]),
            st.integers(0, 40 * MS),
            st.integers(1, 30),
        ),
        max_size=200,
    ),
    st.integers(1, 300),
)
def test_a_commit_is_never_due_later_than_the_interval_nor_before_it_or_the_quiet(
    steps: list[tuple[str, int, int]], receive_maximum: int
) -> None:
    told = window(receive_maximum)
    now, oldest, newest = MS, 0, 0
    for verb, wait, count in steps:
        now += wait
        if verb in {"arrive", "flood"}:
            arrive(told, count, now, qos=1 if verb == "arrive" else 0)
            oldest, newest = oldest or now, now
        elif verb == "take":
            told.taken()
            oldest = 0
        elif verb == "acknowledge":
            told.acknowledged(now, count)
        else:
            told.reset()
        due = told.due_ns()
        if not oldest:
            assert due is None
        else:
            assert due is not None
            assert due <= oldest + INTERVAL
            assert due in {oldest + INTERVAL, newest + QUIET}


def delivery(clock: SystemClock, number: int, *, qos: int = 1) -> Delivery:
    return Delivery(
        topic="t",
        payload=b"%d" % number,
        qos=qos,
        packet_id=number,
        connection=1,
        duplicate=False,
        retained=False,
        received=clock.now(),
    )


class CountingClock(SystemClock):
    """Counts how often it is asked: a busy loop asks without end."""

    asked = 0

    def now(self) -> Instant:
        self.asked += 1
        return super().now()


def test_the_timer_wakes_once_for_a_group_and_neither_late_nor_again_and_again() -> None:
    async def run() -> None:
        clock = CountingClock()
        intake = Intake(IntakeConfig(commit_interval_ms=200), receive_maximum=200, clock=clock)
        groups = aiter(intake.groups())
        started = time.monotonic()
        for number in range(1, 101):
            intake.add(delivery(clock, number))
            intake.arm()
        clock.asked = 0
        group = await anext(groups)
        waited = time.monotonic() - started
        assert [found.packet_id for found in group] == list(range(1, 101))
        assert 0.19 <= waited < 0.6
        assert clock.asked <= 3
        intake.release(group, acknowledged=100)
        intake.end()
        assert [group async for group in groups] == []

    asyncio.run(run())


def test_a_full_group_does_not_wait_and_what_is_over_follows_at_once() -> None:
    async def run() -> None:
        clock = SystemClock()
        intake = Intake(IntakeConfig(commit_interval_ms=60_000, max_group=10), receive_maximum=200, clock=clock)
        groups = aiter(intake.groups())
        for number in range(1, 26):
            intake.add(delivery(clock, number))
        intake.arm()
        async with asyncio.timeout(5):
            sizes = [len(await anext(groups)) for _ in range(3)]
        assert sizes == [10, 10, 5]

    asyncio.run(run())


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3000)), max_size=60))
def test_neither_bound_of_memory_is_passed_by_more_than_one_message(messages: list[tuple[int, int]]) -> None:
    async def run() -> None:
        config = IntakeConfig(max_messages=20, max_bytes=20_000)
        clock = SystemClock()
        intake = Intake(config, receive_maximum=200, clock=clock)
        held: list[Delivery] = []
        for number, (qos, size) in enumerate(messages, 1):
            if intake.full() or (not qos and not intake.has_room_for_qos0()):
                continue
            found = delivery(clock, number, qos=qos)
            held.append(
                Delivery(
                    topic="t",
                    payload=b"x" * size,
                    qos=qos,
                    packet_id=number,
                    connection=1,
                    duplicate=False,
                    retained=False,
                    received=found.received,
                )
            )
            intake.add(held[-1])
        assert len(held) <= 20
        assert sum(len(found.payload) + 1 for found in held[:-1]) < 20_000
        intake.release(held, acknowledged=0)
        assert not intake.full()
        assert intake.has_room_for_qos0()
        assert (intake._messages, intake._bytes) == (0, 0)

    asyncio.run(run())
