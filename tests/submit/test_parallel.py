"""Several requests at once: whose fault it is, who goes first, and how little a server that fails is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod import pipeline
from actod.errors import RejectedError, TransientError
from actod.model import Envelope, Receipt
from actod.submit.backoff import Backoff
from actod.submit.state import Failure, Fate, SubmitState
from actod.submit.uplink import PacedUplink
from actod.submit.verdict import VERDICTS, Blame, State
from hil.fleet import JumpingLoop, LoopClock, NoAudit, Outbox, report, simulate
from hil.parts.certificates import CertificateAuthority
from tests.submit.parts import collector_config

REASONS = sorted(VERDICTS)


def fresh() -> SubmitState:
    return SubmitState(backoff=Backoff(min_seconds=1, max_seconds=300, uniform=lambda _low, high: high))


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([*REASONS, "accepted"]), st.integers(0, 3)), max_size=150)
)
def test_only_what_began_after_a_refusal_can_condemn(endings: list[tuple[str, str, int]]) -> None:
    """Attempts overlap at will; who is set aside was refused before another began that was accepted."""
    state, under_way, moment = fresh(), [], 0
    refused: dict[str, int] = {}
    passed = 0
    for proof_id, reason, place in endings:
        under_way.append((proof_id, reason, state.begin(), moment := moment + 1))
        if len(under_way) <= place:
            continue
        proof_id, reason, attempt, began = under_way.pop(place % len(under_way))  # noqa: PLW2901
        moment += 1
        if reason == "accepted":
            state.accepted(proof_id, attempt)
            passed = max(passed, began)
            refused.pop(proof_id, None)
            continue
        fate = state.failed(attempt, Failure(proof_id, reason)).fate
        if fate is Fate.SET_ASIDE:
            assert VERDICTS[reason].blame in {Blame.ITEM, Blame.SUSPECT}
            assert passed > refused.pop(proof_id)
        elif VERDICTS[reason].blame in {Blame.ITEM, Blame.SUSPECT}:
            refused.setdefault(proof_id, moment)


def test_an_acceptance_that_was_under_way_when_the_server_turned_condemns_nobody() -> None:
    state = fresh()
    first, second = state.begin(), state.begin()
    assert state.failed(first, Failure("a", "refused_400")).fate is Fate.DEFER
    state.accepted("b", second)
    assert state.failed(state.begin(), Failure("a", "refused_400")).fate is Fate.DEFER
    state.accepted("c", state.begin())
    assert state.failed(state.begin(), Failure("a", "refused_400")).fate is Fate.SET_ASIDE


def test_what_fails_together_doubles_the_pause_once() -> None:
    state = fresh()
    together = [state.begin() for _ in range(4)]
    steps = [state.failed(attempt, Failure(str(attempt), "server_unavailable")) for attempt in together]
    assert [step.pause_seconds for step in steps] == [1, 0, 0, 0]
    assert state.failed(state.begin(), Failure("x", "server_unavailable")).pause_seconds == 2
    late = state.failed(together[0], Failure("y", "rate_limited", retry_after_seconds=30))
    assert late.pause_seconds == 30, "what the server asks for holds, whenever it began"
    assert not late.slow_down


def test_four_refusals_at_once_are_not_yet_a_server_that_refuses_everything() -> None:
    state = fresh()
    together = [state.begin() for _ in range(4)]
    for attempt in together:
        state.failed(attempt, Failure(str(attempt), "refused_400"))
    assert state.state is State.OK
    state.failed(state.begin(), Failure("x", "refused_400"))
    assert state.state is State.REJECTED_ALL


class Server:
    """Answers after a second of the loop's time; counts how many it has at once, and keeps the order of beginnings."""

    def __init__(self, judge: Callable[[str], Awaitable[str]]) -> None:
        self.judge = judge
        self.at_once = self.most_at_once = 0
        self.begun: list[str] = []
        self.beside: list[int] = []  # how many were under way when each began

    async def submit(self, envelope: Envelope) -> Receipt:
        self.begun.append(envelope.proof_id)
        self.beside.append(self.at_once)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(1.0)
        self.at_once -= 1
        reason = await self.judge(envelope.proof_id)
        if reason == "accepted":
            return Receipt(proof_id=envelope.proof_id, received_wall_ns=0, server_date=None)
        raise (RejectedError if VERDICTS[reason].blame is Blame.ITEM else TransientError)(reason)


def drained(
    folder: Path, judge: Callable[[str], Awaitable[str]], *, bundles: int, until: float = 1e9
) -> tuple[Server, Outbox, float]:
    """Run the pipeline's own submit loop over a backlog, in the loop's time."""
    loop = JumpingLoop()
    server = Server(judge)
    outbox = Outbox(0, bundles, lambda: None)

    async def main() -> float:
        config = collector_config(folder, CertificateAuthority.make(folder / "ca"), 1)
        uplink = PacedUplink(
            client=server, collector=config, clock=LoopClock(loop), audit=NoAudit(), uniform=lambda _low, high: high
        )
        task = loop.create_task(pipeline.submit(spool=outbox, uplink=uplink, audit=NoAudit(), parallel=4))
        while loop.now < until and (outbox.waiting or server.at_once):
            await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return loop.now

    try:
        return server, outbox, loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_backlog_over_a_slow_link_leaves_as_fast_as_the_budget_allows_and_in_order(folder: Path) -> None:
    async def fine(_proof_id: str) -> str:
        return "accepted"

    order = [envelope.proof_id for envelope in Outbox(0, 200, lambda: None).waiting]
    server, _outbox, seconds = drained(folder, fine, bundles=200)
    assert server.most_at_once == 4
    assert server.begun == order
    assert seconds < 200 / 4 * 1.1 + 2, "four a second, each of which takes a second"


@pytest.mark.parametrize("reason", ["server_unavailable", "unreachable", "gate_closed", "refused_400", "too_large"])
def test_a_server_that_fails_is_asked_one_thing_at_a_time(folder: Path, reason: str) -> None:
    async def failing(_proof_id: str) -> str:
        return reason

    server, outbox, _seconds = drained(folder, failing, bundles=50, until=600)
    assert not outbox.aside
    assert max(server.beside[8:]) == 0, "beside the first few nothing else was under way"
    assert 8 < len(server.begun) < 20


def test_a_fleet_back_from_an_outage_does_not_storm_the_server() -> None:
    result = simulate(robots=1000, bundles=10, outage_seconds=1800, seed=1)
    assert sum(result.served) == result.needed == 10_000
    assert result.aside == 0
    assert result.peak <= 2 * result.mean, report(result)
    assert result.requests <= 1.6 * result.needed, report(result)
    assert result.seconds <= 1.5 * result.needed / 5, report(result)
