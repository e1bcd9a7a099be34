"""Whose fault it is: the pure rules against model servers and a model queue, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod.errors import ActodError, RejectedError, SuspectError, TransientError
from actod.model import Envelope, Receipt
from actod.submit.backoff import LONGEST_RETRY_AFTER_SECONDS, Backoff, retry_after
from actod.submit.budget import Bucket
from actod.submit.state import Failure, Fate, Step, SubmitState
from actod.submit.uplink import PacedUplink
from actod.submit.verdict import VERDICTS, Blame, State
from hil.parts.certificates import CertificateAuthority
from tests.submit.parts import FakeAudit, FakeClock, FakePause, collector_config, envelope

REASONS = sorted(VERDICTS)


class Told(SubmitState):
    """The state, told of attempts that do not overlap."""

    def __init__(self) -> None:
        super().__init__(backoff=Backoff(min_seconds=1, max_seconds=300, uniform=lambda _low, high: high))

    def fail(self, proof_id: str, reason: str, **more: Any) -> Step:
        return self.failed(self.begin(), Failure(proof_id, reason, **more))

    def accept(self, proof_id: str) -> None:
        self.accepted(proof_id, self.begin())


def fresh() -> Told:
    return Told()


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_leads_to_its_state_and_never_condemns_a_lone_bundle(reason: str) -> None:
    state, verdict = fresh(), VERDICTS[reason]
    for number in range(1, 40):
        step = state.fail("a", reason)
        assert step.fate is not Fate.SET_ASIDE
        if verdict.blame is Blame.PATH:
            assert step.fate is Fate.RETRY
        if verdict.blame in {Blame.SUSPECT, Blame.ITEM}:
            assert step.fate is Fate.DEFER
        if number > 1:
            assert state.state is verdict.state
            assert step.pause_seconds == min(300, 2 ** (number - 1)), "doubles up to the cap"
            assert str(state.state) in state.why
            assert verdict.remedy in state.why
    state.accept("b")
    assert state.state is State.OK
    assert state.why == "ok: nothing is wrong"


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(REASONS)), max_size=200))
def test_a_server_that_accepts_nothing_has_nothing_set_aside(endings: list[tuple[str, str]]) -> None:
    state = fresh()
    for proof_id, reason in endings:
        assert state.fail(proof_id, reason).fate is not Fate.SET_ASIDE


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([*REASONS, "accepted"])), max_size=200))
def test_what_is_set_aside_was_refused_before_and_others_were_accepted_since(endings: list[tuple[str, str]]) -> None:
    state, history = fresh(), []
    for proof_id, reason in endings:
        if reason == "accepted":
            state.accept(proof_id)
        elif state.fail(proof_id, reason).fate is Fate.SET_ASIDE:
            blame = VERDICTS[reason].blame
            assert blame in {Blame.ITEM, Blame.SUSPECT}
            before = [
                index for index, (other, why) in enumerate(history)
                if other == proof_id and why != "accepted" and VERDICTS[why].blame is blame
            ]  # fmt: skip
            assert len(before) >= (2 if blame is Blame.SUSPECT else 1)
            assert any(other != proof_id and why == "accepted" for other, why in history[before[0] :])
        history.append((proof_id, reason))


def test_a_bundle_that_is_too_large_is_set_aside_only_once_a_smaller_one_has_passed() -> None:
    state = fresh()
    assert [state.fail("a", "too_large").fate for _ in range(5)] == [Fate.DEFER] * 5
    assert state.why.startswith("blocked:rejected-all (too_large): ")
    state.accept("b")
    assert state.fail("a", "too_large").fate is Fate.SET_ASIDE
    assert state.state is State.OK


def test_a_retry_after_is_honoured_with_jitter_on_top() -> None:
    step = fresh().fail("a", "rate_limited", retry_after_seconds=30)
    assert step.pause_seconds == 31
    assert step.fate is Fate.RETRY


def test_a_failing_bundle_does_not_hold_up_the_rest() -> None:
    """An answer that never comes for one bundle alone is not its fault by the rules, and yet the others must pass."""
    state = fresh()
    fates = [state.fail("a", "response_timeout").fate for _ in range(6)]
    assert fates == [Fate.RETRY, Fate.RETRY, Fate.DEFER] * 2


class Queue:
    """The Spool port's outbox: oldest first. A deferred one comes again when each other had its turn.

    With `anew`, already when another one has left: the suspects are found while others still pass.
    """

    def __init__(self, envelopes: list[Envelope], *, anew: bool = True) -> None:
        self.anew = anew
        self.waiting = {item.proof_id: item for item in envelopes}
        self.deferred: dict[str, None] = {}
        self.delivered: list[str] = []
        self.aside: dict[str, str] = {}

    def next(self) -> Envelope:
        while True:
            for proof_id, item in self.waiting.items():
                if proof_id not in self.deferred:
                    return item
            self.deferred.clear()

    def leave(self, proof_id: str) -> None:
        del self.waiting[proof_id]
        self.deferred.pop(proof_id, None)
        if self.anew:
            self.deferred.clear()


class Server:
    """The Uplink port. `judge(proof_id, now_seconds)` is "accepted" or a reason."""

    def __init__(self, clock: FakeClock, judge: Callable[[str, float], str]) -> None:
        self.clock, self.judge, self.requests = clock, judge, Counter[str]()
        self.times: list[float] = []

    async def submit(self, envelope: Envelope) -> Receipt:
        now = self.clock.ns / 1e9
        self.requests[envelope.proof_id] += 1
        self.times.append(now)
        reason = self.judge(envelope.proof_id, now)
        self.clock.advance(0.01)
        if reason == "accepted":
            return Receipt(proof_id=envelope.proof_id, received_wall_ns=self.clock.now().wall_ns, server_date=None)
        kind = RejectedError if VERDICTS[reason].blame is Blame.ITEM else TransientError
        raise kind(reason)


class Line:
    """The submit loop of the pipeline over a model queue and server."""

    def __init__(self, envelopes: list[Envelope], judge: Callable[[str, float], str], folder: Path, seed: int = 1) -> None:
        self.clock, self.audit, self.queue = FakeClock(), FakeAudit(), Queue(envelopes)
        self.server = Server(self.clock, judge)
        config = collector_config(folder, CertificateAuthority.make(folder / "ca"), 1)
        self.uplink = PacedUplink(
            client=self.server,
            collector=config,
            clock=self.clock,
            audit=self.audit,
            uniform=random.Random(seed).uniform,  # noqa: S311 - repeatable
            pause=FakePause(self.clock),
        )

    def run(self, *, until: Callable[[], bool]) -> None:
        async def main() -> None:
            while not until() and self.queue.waiting:
                item = self.queue.next()
                try:
                    await self.uplink.submit(item)
                except RejectedError as refusal:
                    self.queue.aside[item.proof_id] = refusal.reason
                    self.queue.leave(item.proof_id)
                except SuspectError:
                    self.queue.deferred[item.proof_id] = None
                except ActodError:
                    continue
                else:
                    self.queue.delivered.append(item.proof_id)
                    self.queue.leave(item.proof_id)

        asyncio.run(main())

    def seconds(self) -> float:
        return self.clock.ns / 1e9


def limited(*, per_second: float, burst: float, poison: set[str], rate_500: float = 0.0) -> Callable[[str, float], str]:
    """Model the documented server: 500 over its rate, 500 for poison."""
    chance, tokens, last = random.Random(7), [burst], [0.0]  # noqa: S311 - repeatable

    def judge(proof_id: str, now: float) -> str:
        tokens[0] = min(burst, tokens[0] + (now - last[0]) * per_second)
        last[0] = now
        if tokens[0] < 1:
            return "server_error"
        tokens[0] -= 1
        return "server_error" if proof_id in poison or chance.random() < rate_500 else "accepted"

    return judge


@pytest.mark.parametrize("reason", ["server_error", "refused_400", "refused_422"])
def test_a_backlog_with_one_percent_poison_drains_without_a_storm(reason: str, folder: Path) -> None:
    envelopes = [envelope(number) for number in range(5000)]
    poison = {item.proof_id for item in envelopes[37::100]}
    documented = limited(per_second=5, burst=20, poison=set())

    def judge(proof_id: str, now: float) -> str:
        ending = documented(proof_id, now)
        return reason if ending == "accepted" and proof_id in poison else ending

    line = Line(envelopes, judge, folder)
    line.run(until=lambda: len(line.server.times) > 10_000)
    assert set(line.queue.aside) == poison
    assert len(line.queue.delivered) == 5000 - len(poison)
    assert len(line.server.times) <= 1.2 * 5000
    assert line.queue.delivered == [item.proof_id for item in envelopes if item.proof_id not in poison], "oldest first"
    assert line.seconds() < 5000 / 4 * 1.3, "as fast as the budget allows"
    assert len(line.audit.of("submit.state")) < 20


def test_poison_left_alone_is_found_as_new_bundles_pass(folder: Path) -> None:
    """With a queue that hands out each other one first, the poison of a backlog ends up alone."""
    envelopes = [envelope(number) for number in range(500)]
    poison = {item.proof_id for item in envelopes[37::100]}
    line = Line(envelopes, limited(per_second=5, burst=20, poison=poison), folder)
    line.queue.anew = False
    line.run(until=lambda: len(line.queue.waiting) == len(poison))
    assert set(line.queue.waiting) == poison
    for number in range(500, 506):
        line.queue.waiting[envelope(number).proof_id] = envelope(number)
        asked = len(line.server.times)
        line.run(until=lambda begun=asked: len(line.server.times) > begun + 20)
    assert set(line.queue.aside) == poison
    assert len(line.queue.delivered) == 500 - len(poison) + 6


def test_a_server_that_fails_a_third_of_all_requests_condemns_nobody(folder: Path) -> None:
    envelopes = [envelope(number) for number in range(2000)]
    line = Line(envelopes, limited(per_second=1000, burst=1000, poison=set(), rate_500=0.33), folder)
    line.run(until=lambda: False)
    assert not line.queue.aside
    assert len(line.queue.delivered) == 2000


@pytest.mark.parametrize("per_second", [0.5, 1.25, 3.0])
def test_a_rate_limit_that_falls_below_our_pace_condemns_nobody(per_second: float, folder: Path) -> None:
    """Who comes again right after another's success meets the limit that the other has just used up, time after time."""
    calm, busy = (limited(per_second=rate, burst=20, poison=set()) for rate in (5, per_second))
    line = Line([envelope(number) for number in range(1500)], lambda *item: (calm if item[1] < 100 else busy)(*item), folder)
    line.run(until=lambda: False)
    assert not line.queue.aside
    assert len(line.queue.delivered) == 1500
    assert len(line.server.times) < 1.35 * 1500


@pytest.mark.parametrize("reason", ["cut_off", "unreachable", "server_unavailable", "response_timeout"])
def test_a_link_that_fails_a_quarter_of_all_requests_is_no_reason_to_send_less(reason: str, folder: Path) -> None:
    chance = random.Random(5)  # noqa: S311 - repeatable
    envelopes = [envelope(number) for number in range(1000)]
    line = Line(envelopes, lambda *_: reason if chance.random() < 0.25 else "accepted", folder)
    line.run(until=lambda: False)
    assert not line.queue.aside
    assert line.seconds() < 3 * 1000 / 4, "the pauses, and little more"


def test_poison_is_found_on_a_server_that_fails_a_tenth_of_all_requests(folder: Path) -> None:
    envelopes = [envelope(number) for number in range(500)]
    poison = {item.proof_id for item in envelopes[5::100]}
    line = Line(envelopes, limited(per_second=1000, burst=1000, poison=poison, rate_500=0.1), folder)
    line.run(until=lambda: False)
    assert set(line.queue.aside) == poison


@pytest.mark.parametrize("reason", ["refused_400", "refused_422", "server_error", "too_large"])
def test_an_hour_of_refusing_everything_moves_nothing_and_probes_in_turn(reason: str, folder: Path) -> None:
    envelopes = [envelope(number) for number in range(10)]

    def judge(_proof_id: str, now: float) -> str:
        return reason if 60 < now < 4260 else "accepted"  # a probe that is waited for may leave late

    line = Line([envelope(number) for number in range(1000, 2000)], judge, folder)
    line.run(until=lambda: line.seconds() > 61)
    line.queue = Queue(envelopes)
    before = len(line.server.times)
    line.run(until=lambda: line.seconds() > 3660)
    assert not line.queue.aside
    probes = len(line.server.times) - before
    assert probes < 60, "one probe an interval"
    if reason != "server_error":
        assert line.uplink.state == "blocked:rejected-all"
    probed = [count for proof_id, count in line.server.requests.items() if proof_id in line.queue.waiting]
    assert max(probed) - min(probed) <= 1, "each with the next bundle in turn"
    assert len(probed) == 10
    line.run(until=lambda: False)
    assert not line.queue.aside
    assert len(line.queue.delivered) == 10


def test_a_lone_poisoned_bundle_waits_until_another_tells_whose_fault_it_is(folder: Path) -> None:
    poison = envelope(1)
    line = Line([poison], lambda proof_id, _now: "refused_400" if proof_id == poison.proof_id else "accepted", folder)
    line.run(until=lambda: line.seconds() > 3600)
    assert not line.queue.aside
    line.queue.waiting[envelope(2).proof_id] = envelope(2)
    line.run(until=lambda: False)
    assert line.queue.aside == {poison.proof_id: "refused_400"}
    assert line.queue.delivered == [envelope(2).proof_id]


def test_the_pace_is_kept_over_any_second(folder: Path) -> None:
    line = Line([envelope(number) for number in range(200)], lambda *_: "accepted", folder)
    line.run(until=lambda: False)
    times = line.server.times
    for start in times:
        assert sum(start <= at < start + 1 for at in times) <= 8, "four a second, and a burst of four"
    assert times[-1] - times[0] == pytest.approx(196 / 4, rel=0.02)


@settings(max_examples=100)
@given(
    st.floats(0.05, 50), st.floats(1, 20), st.lists(st.floats(0, 30), min_size=1, max_size=100)
)  # fmt: skip
def test_a_bucket_never_gives_more_than_burst_and_rate_allow(rate: float, burst: float, gaps: list[float]) -> None:
    bucket, now_ns, granted = Bucket(rate_per_second=rate, burst=burst, now_ns=0), 0, []
    for gap in gaps:
        now_ns += int(gap * 1e9)
        now_ns += int(bucket.wait_seconds(1, now_ns) * 1e9) + 1
        bucket.take(1, now_ns)
        granted.append(now_ns / 1e9)
    assert granted == sorted(granted)
    for index, at in enumerate(granted):
        assert index + 1 <= burst + at * rate + 1e-6


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    [
        ("0", None, 0),
        ("120", None, 120),
        (" 7 ", None, 7),
        ("99999999", None, LONGEST_RETRY_AFTER_SECONDS),
        ("9" * 400, None, None),
        ("-5", None, None),
        ("1.5", None, None),
        ("\N{ARABIC-INDIC DIGIT FIVE}", None, None),
        ("", None, None),
        (None, None, None),
        ("soon", None, None),
        ("Tue, 24 Nov 2026 14:02:00 GMT", "Tue, 24 Nov 2026 14:00:00 GMT", 120),
        ("Tuesday, 24-Nov-26 14:02:00 GMT", "Tue, 24 Nov 2026 14:00:00 GMT", 120),
        ("Tue Nov 24 14:02:00 2026", "Tue, 24 Nov 2026 14:00:00 GMT", 120),
        ("Tue, 24 Nov 2026 13:00:00 GMT", "Tue, 24 Nov 2026 14:00:00 GMT", 0),
        ("Tue, 24 Nov 2099 14:00:00 GMT", "Tue, 24 Nov 2026 14:00:00 GMT", LONGEST_RETRY_AFTER_SECONDS),
        ("Thu, 01 Jan 1970 00:01:00 GMT", None, 60),  # a clock that was never set
        ("Tue, 99 Nov 2026 14:00:00 GMT", None, None),
        ("Tue, 24 Nov 2026 14:00:00 +9999", None, None),
    ],
)
def test_retry_after_is_read_in_both_forms_against_the_servers_own_clock(
    value: str | None, date: str | None, expected: float | None
) -> None:
    assert retry_after(value, date=date, now_wall_ns=0) == expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_header_breaks_the_reading_of_retry_after(value: str, date: str) -> None:
    found = retry_after(value, date=date, now_wall_ns=0)
    assert found is None or 0 <= found <= LONGEST_RETRY_AFTER_SECONDS
