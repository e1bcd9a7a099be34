"""The memory behind the verdicts: told how each attempt ended, it says what becomes of the bundle, and when to go on.

Pure: no I/O, no clock; chance comes in with the backoff. Attempts may overlap: each has the number that `begin` gave it.
What began before a failure was known says nothing about what came after: it neither doubles the pause nor condemns anyone.
The rules, in decreasing strength:

1. What the path (network, TLS, pin, clock, key) did is never held against a bundle: the same one is tried again.
2. 400 and 422 are the bundle's only if another bundle was accepted since its first refusal. Until then it is passed over,
   so that each probe is made with the next bundle in turn; nothing is set aside by a server that rejects everything.
   413 is the same for one that holds a single reading, or is smaller than any proxy's limit. A larger one is split as
   soon as another was accepted, or when three attempts in a row had no other answer: nothing is lost by it.
3. 500 is the bundle's only if it came at least three times, another bundle being accepted between each two, and those that
   were accepted had failed so rarely that this cannot be chance. A server that fails a third of requests condemns nobody.
   All but the first of them are sent alone, after a quiet time that doubles (`doubts`). Who always comes right after
   another's success would else always meet the rate limit that the other has just used up.
4. Other failures of the server are never the bundle's; after three in a row it is passed over, so that it cannot hold up
   the rest.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import StrEnum

from actod.submit.backoff import Backoff
from actod.submit.verdict import VERDICTS, Blame, State, Verdict

_OWN_500S = 3
_CHANCE = 1e-6  # that a bundle is condemned for the server's bad luck
_REMEMBERED = 256  # accepted bundles from which the server's own failure rate is estimated
_MOST_SUSPECTS = 1024
_IN_PLACE = 3  # tries of one bundle against a failing server before the others get their turn


PACE = frozenset({"rate_limited", "server_error", "cut_off"})  # 429, 500, reset: the server says "slow down"


class Fate(StrEnum):
    """What becomes of a bundle after a failure."""

    RETRY = "retry"  # the same one again
    DEFER = "defer"  # others first
    SET_ASIDE = "set_aside"
    SPLIT = "split"  # sealed again in smaller ones


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after a failure: the bundle's fate, how long nobody sends anything, and whether the pace is too high."""

    fate: Fate
    pause_seconds: float
    slow_down: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt ended: `reason` is a key of VERDICTS. `can_be_split` only where it is "too_large"."""

    proof_id: str
    reason: str
    retry_after_seconds: float | None = None
    can_be_split: bool = False


@dataclass(slots=True)
class _Suspect:
    """What is held against one bundle, by the moments at which it was known."""

    failures: int = 0
    in_place: int = 0
    refused_at: int | None = None
    own_500s: int = 0
    last_500_at: int = -1


class SubmitState:
    """`state` is what the operator sees, `why` says in one line why the oldest bundle has not left and what to do."""

    def __init__(self, *, backoff: Backoff) -> None:
        self._backoff = backoff
        self.state, self.reason = State.OK, ""
        self._moment = 0  # one more for each beginning and each end of an attempt
        self._passed = 0  # the newest beginning of one that was accepted
        self._failures = 0  # in a row
        self._level = 0  # of the pauses: a receipt halves it, so that a server that takes one in ten is asked seldom
        self._failed_at = 0  # when the last of them was known
        self._refusals = 0  # in a row
        self._suspects: OrderedDict[str, _Suspect] = OrderedDict()
        self._failed_before: deque[int] = deque(maxlen=_REMEMBERED)  # how often each accepted bundle had failed

    @property
    def why(self) -> str:
        """Say in one line why nothing leaves, and what to do."""
        if self.state is State.OK:
            return "ok: nothing is wrong"
        return f"{self.state} ({self.reason}): {VERDICTS[self.reason].remedy}"

    @property
    def failures(self) -> int:
        """Return how many attempts in a row have failed."""
        return self._failures

    def begin(self) -> int:
        """Give a new attempt its number."""
        self._moment += 1
        return self._moment

    def doubts(self, proof_id: str) -> int:
        """Return how many 500s count against this bundle: a further one must be its own, and not that of the pace."""
        suspect = self._suspects.get(proof_id)
        return suspect.own_500s if suspect is not None else 0

    def accepted(self, proof_id: str, attempt: int) -> None:
        """Note a receipt."""
        self.state, self.reason = State.OK, ""
        self._moment += 1
        self._passed = max(self._passed, attempt)
        self._failures = self._refusals = 0
        self._level //= 2
        suspect = self._suspects.pop(proof_id, None)
        self._failed_before.append(suspect.failures if suspect is not None else 0)

    def failed(self, attempt: int, failure: Failure) -> Step:
        """Note a failure; return what to do."""
        verdict = VERDICTS[failure.reason]
        again = attempt < self._failed_at  # under way when the last failure came: the same trouble, seen once more
        self._moment += 1
        self._failed_at = self._moment
        if verdict.blame is Blame.ITEM:
            return self._refused(failure, again=again)
        self._failures += not again
        self._level += not again
        self._refusals = 0
        self._show(verdict, failure.reason, asked=failure.retry_after_seconds is not None)
        pause = failure.retry_after_seconds or 0.0
        if not again:
            pause = self._backoff.pause_seconds(self._level, retry_after_seconds=failure.retry_after_seconds)
        if verdict.blame is Blame.PATH:
            return Step(Fate.RETRY, pause)
        suspect = self._suspect(failure.proof_id)
        suspect.failures += 1
        fate = self._suspected(failure.proof_id) if verdict.blame is Blame.SUSPECT else self._turn(suspect)
        alone = suspect.own_500s > 1 and self._failures <= 1  # more likely its own fault than that of the pace
        return Step(fate, pause, slow_down=failure.reason in PACE and not again and not alone)

    def _show(self, verdict: Verdict, reason: str, *, asked: bool) -> None:
        """Take over the state. One slow answer among good ones is none, unless the server asks for a pause."""
        if verdict.state is State.SLOW and self.state is State.OK and self._failures <= 1 and not asked:
            return
        self.state, self.reason = verdict.state, reason

    def _refused(self, failure: Failure, *, again: bool) -> Step:
        suspect = self._suspect(failure.proof_id)
        others_passed = suspect.refused_at is not None and self._passed > suspect.refused_at
        if others_passed and not failure.can_be_split:
            self._settle(failure.proof_id)
            return Step(Fate.SET_ASIDE, 0.0)
        if suspect.refused_at is None:
            suspect.refused_at = self._moment
        self._failures += not again
        self._refusals += not again
        if failure.can_be_split and (others_passed or self._refusals >= _IN_PLACE):
            self._suspects.pop(failure.proof_id)
            return Step(Fate.SPLIT, 0.0)
        if self._refusals <= 1 and self.state is State.OK:
            return Step(Fate.DEFER, 0.0)  # the next bundle tells whose fault it is
        if not failure.can_be_split:
            self.state, self.reason = State.REJECTED_ALL, failure.reason
        return Step(Fate.DEFER, 0.0 if again else self._backoff.pause_seconds(self._failures))

    def _suspected(self, proof_id: str) -> Fate:
        suspect = self._suspect(proof_id)
        if self._passed > suspect.last_500_at:
            suspect.own_500s += 1
            suspect.last_500_at = self._moment
        if suspect.own_500s >= _OWN_500S and self._chance_of_failure() ** suspect.own_500s < _CHANCE:
            self._settle(proof_id)
            return Fate.SET_ASIDE
        return Fate.DEFER

    def _chance_of_failure(self) -> float:
        """Estimate how often the server fails for a bundle that it takes in the end: Laplace's rule, never 0."""
        failures = sum(self._failed_before)
        return (failures + 1) / (failures + len(self._failed_before) + 2)

    @staticmethod
    def _turn(suspect: _Suspect) -> Fate:
        suspect.in_place = (suspect.in_place + 1) % _IN_PLACE
        return Fate.RETRY if suspect.in_place else Fate.DEFER

    def _settle(self, proof_id: str) -> None:
        """Forget a bundle that was condemned; the server answered, so the path is free."""
        self._suspects.pop(proof_id, None)
        self._failures = self._refusals = 0
        self.state, self.reason = State.OK, ""

    def _suspect(self, proof_id: str) -> _Suspect:
        if proof_id not in self._suspects and len(self._suspects) >= _MOST_SUSPECTS:
            self._suspects.popitem(last=False)
        return self._suspects.setdefault(proof_id, _Suspect())
