"""What every Spool keeps, the real one and the one in memory."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actod.config import StoreConfig
from actod.errors import IntegrityError
from actod.model import Group, TrafficClass
from actod.store.spool import SqliteSpool
from tests.store.memory_spool import MemorySpool
from tests.store.parts import (
    DEVICE,
    ROBOT,
    SEAL,
    STOP,
    HandClock,
    RememberedLog,
    event,
    group,
    numbers,
    receipt,
    sealed,
)

Scenario = Callable[[Any, HandClock], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    @asynccontextmanager
    async def opened(clock: HandClock) -> AsyncIterator[Any]:
        if request.param == "memory":
            yield MemorySpool(seal=SEAL, clock=clock)
            return
        spool = await SqliteSpool.open(folder=tmp_path, seal=SEAL, store=StoreConfig(), clock=clock, witness=RememberedLog())
        yield spool
        await spool.close()

    async def run(scenario: Scenario) -> None:
        clock = HandClock()
        async with asyncio.timeout(20), opened(clock) as spool:
            await scenario(spool, clock)

    return lambda scenario: asyncio.run(run(scenario))


async def waits(awaitable: Awaitable[Any]) -> bool:
    try:
        async with asyncio.timeout(0.2):
            await awaitable
    except TimeoutError:
        return True
    return False


def test_a_bundle_is_due_by_count_and_holds_what_was_committed_in_order(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group(range(6), clock=clock))
        assert await waits(spool.next_bundle())
        await spool.commit(group(range(6, 10), clock=clock))
        bundle = await spool.next_bundle()
        assert numbers(bundle.events) == list(range(10))
        assert (bundle.count, bundle.seq, bundle.previous) == (10, 1, None)
        assert dict(bundle.masked) == {"email": 10}

    play(scenario)


def test_a_bundle_is_due_by_bytes_and_never_exceeds_them(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        for number in range(3):
            await spool.commit(group([number], clock=clock, size=900))
        bundle = await spool.next_bundle()
        assert numbers(bundle.events) == [0, 1]
        assert len(bundle.events) <= SEAL.max_bytes

    play(scenario)


def test_a_bundle_is_due_by_age(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group([1], clock=clock))
        clock.advance(29)
        assert await waits(spool.next_bundle())
        clock.advance(1)
        assert numbers((await spool.next_bundle()).events) == [1]

    play(scenario)


def test_one_event_larger_than_a_bundle_has_a_bundle_of_its_own(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group([1], clock=clock, size=5000))
        await spool.commit(group([2], clock=clock))
        bundle = await spool.next_bundle()
        assert bundle.events == event(1, size=5000)

    play(scenario)


def test_the_next_bundle_stays_the_same_until_it_is_put(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group(range(10), clock=clock))
        first = await spool.next_bundle()
        await spool.commit(group(range(10, 30), STOP, clock=clock))
        assert await spool.next_bundle() == first

    play(scenario)


def test_chains_go_on_by_robot_and_device_seq_over_all(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        heads: dict[str | None, str] = {}
        seen = []
        for stream in (ROBOT, DEVICE, ROBOT, STOP):
            await spool.commit(group(range(10), stream, clock=clock))
            bundle = await spool.next_bundle()
            assert bundle.previous == heads.get(stream.robot_id)
            envelope = sealed(bundle)
            heads[stream.robot_id] = envelope.payload_hash
            seen.append((bundle.stream.robot_id, bundle.seq, bundle.device_seq))
            await spool.put(bundle, envelope)
        assert seen == [("r-1", 1, 1), (None, 1, 2), ("r-1", 2, 3), ("r-1", 3, 4)]

    play(scenario)


def test_only_the_bundle_that_was_handed_out_can_be_put(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group(range(10), clock=clock))
        bundle = await spool.next_bundle()
        other = dataclasses.replace(bundle, device_seq=7)
        with pytest.raises(IntegrityError):
            await spool.put(other, sealed(other))
        await spool.put(bundle, sealed(bundle))
        await spool.put(bundle, sealed(bundle))  # once more is no error
        with pytest.raises(IntegrityError):
            await spool.put(other, sealed(other))

    play(scenario)


def test_refusals_stand_in_the_next_bundle_once(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        refused = Group()
        refused.refuse(reason="not_json", traffic_class="bulk", route="notes", count=3)
        await spool.commit(refused)
        await spool.commit(group(range(20), clock=clock))
        first = await spool.next_bundle()
        assert [(loss.reason, loss.traffic_class, loss.route, loss.count) for loss in first.loss] == [
            ("not_json", "bulk", "notes", 3)
        ]
        await spool.commit(refused)  # counted while the first is being signed
        await spool.put(first, sealed(first))
        second = await spool.next_bundle()
        assert [loss.count for loss in second.loss] == [3]
        await spool.put(second, sealed(second))
        await spool.commit(group(range(20, 30), clock=clock))
        assert (await spool.next_bundle()).loss == ()

    play(scenario)


def test_envelopes_leave_by_priority_then_by_age_until_they_are_settled(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        assert await waits(spool.take(set))
        put = []
        for stream in (ROBOT, DEVICE, STOP):
            await spool.commit(group(range(10), stream, clock=clock))
            bundle = await spool.next_bundle()
            put.append(sealed(bundle))
            await spool.put(bundle, put[-1])
        for expected in (put[2], put[0], put[1]):
            taken = await spool.take(set)
            assert (taken, taken.body) == (expected, expected.body)
            await spool.give_back(taken)
            assert await spool.take(set) == expected
            await spool.receipt(expected, receipt(expected))
            await spool.receipt(expected, receipt(expected))
        assert await waits(spool.take(set))

    play(scenario)


def test_a_deferred_envelope_comes_again_after_each_other_had_its_turn(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        put = []
        for stream in (ROBOT, DEVICE, STOP):
            await spool.commit(group(range(10), stream, clock=clock))
            bundle = await spool.next_bundle()
            put.append(sealed(bundle))
            await spool.put(bundle, put[-1])
        for expected in (put[2], put[0], put[1], put[2], put[0]):
            assert await spool.take(set) == expected
            await spool.defer(expected)
        await spool.receipt(put[1], receipt(put[1]))
        assert await spool.take(set) == put[2]

    play(scenario)


def test_while_a_split_envelope_waits_for_the_token_what_was_deferred_does_not_come_before_the_others(play: Any) -> None:
    """Else a backlog of large ones would be gone through anew for each small one behind it."""

    async def scenario(spool: Any, clock: HandClock) -> None:
        put = []
        for _ in range(4):
            await spool.commit(group(range(10), clock=clock))
            bundle = await spool.next_bundle()
            put.append(sealed(bundle))
            await spool.put(bundle, put[-1])
        assert await spool.split(await spool.take(set), most_bytes=100)
        await spool.defer(await spool.take(set))
        await spool.receipt(await spool.take(set), receipt(put[2]))
        assert await spool.take(set) == put[3]

    play(scenario)


def test_what_was_taken_is_nobody_elses_and_a_class_that_is_held_waits(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        put = []
        for stream in (ROBOT, DEVICE, STOP):
            await spool.commit(group(range(10), stream, clock=clock))
            bundle = await spool.next_bundle()
            put.append(sealed(bundle))
            await spool.put(bundle, put[-1])
        assert [await spool.take(set) for _ in range(2)] == [put[2], put[0]]
        assert await waits(spool.take(lambda: {TrafficClass.NORMAL}))
        assert await spool.take(set) == put[1]
        assert await waits(spool.take(set))
        await spool.defer(put[0])
        assert await spool.take(set) == put[0], "there is no other"
        await spool.give_back(put[0])
        await spool.give_back(put[2])
        assert await spool.take(set) == put[2], "the more urgent one"

    play(scenario)


def test_a_bundle_that_is_too_large_is_sealed_again_in_smaller_ones_that_name_it(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        made = group(range(10), clock=clock)
        made.refuse(reason="not_json", traffic_class="bulk", route="notes", count=3)
        await spool.commit(made)
        whole = await spool.next_bundle()
        await spool.put(whole, sealed(whole))
        large = await spool.take(set)
        most_bytes = len(whole.events) // 2
        assert await spool.split(large, most_bytes=most_bytes)
        assert await spool.replacing() == 1
        assert await waits(spool.take(set)), "it is not sent any more"
        pieces = []
        for number in (2, 3):
            piece = await spool.next_bundle()
            assert (piece.seq, piece.replaces) == (number, large.payload_hash)
            assert len(piece.events) <= most_bytes
            assert piece.stream.task_id == whole.stream.task_id
            await spool.put(piece, sealed(piece))
            pieces.append(piece)
        assert [numbers(piece.events) for piece in pieces] == [list(range(5)), list(range(5, 10))]
        assert [(loss.reason, loss.count) for piece in pieces for loss in piece.loss] == [("not_json", 3)]
        assert await spool.replacing() == 0
        again = await spool.take(set)
        assert await spool.split(again, most_bytes=len(whole.events) // 5)
        smaller = await spool.next_bundle()
        assert smaller.replaces == f"{again.payload_hash} {large.payload_hash}"

    play(scenario)


def test_a_single_reading_cannot_be_cut(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group([1], clock=clock, size=1500))
        await spool.seal_now()
        bundle = await spool.next_bundle()
        await spool.put(bundle, sealed(bundle))
        envelope = await spool.take(set)
        assert not await spool.split(envelope, most_bytes=100)
        await spool.set_aside(envelope, "too_large")
        assert await waits(spool.take(set))

    play(scenario)


def test_what_is_set_aside_stands_in_the_ledger_as_withheld(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group(range(10), clock=clock))
        bundle = await spool.next_bundle()
        await spool.put(bundle, sealed(bundle))
        await spool.set_aside(await spool.take(set), "http_422")
        assert await waits(spool.take(set))
        await spool.commit(group(range(10), clock=clock))
        losses = (await spool.next_bundle()).loss
        assert [(loss.reason, loss.traffic_class, loss.count) for loss in losses] == [("withheld", "normal", 10)]

    play(scenario)


def test_a_waiting_seal_and_a_waiting_submit_wake_when_there_is_something(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        envelope = asyncio.ensure_future(spool.take(set))
        bundle = asyncio.ensure_future(spool.next_bundle())
        await asyncio.sleep(0)
        await spool.commit(group(range(10), clock=clock))
        made = await bundle
        await spool.put(made, sealed(made))
        assert await envelope == sealed(made)

    play(scenario)


def test_everything_can_be_made_due_at_once(play: Any) -> None:
    async def scenario(spool: Any, clock: HandClock) -> None:
        await spool.commit(group([1], clock=clock))
        await spool.commit(group([2], DEVICE, clock=clock))
        await spool.seal_now()
        seen = []
        for _ in range(2):
            bundle = await spool.next_bundle()
            seen += numbers(bundle.events)
            await spool.put(bundle, sealed(bundle))
        assert sorted(seen) == [1, 2]
        await spool.commit(group([3], clock=clock))
        assert await waits(spool.next_bundle())

    play(scenario)
