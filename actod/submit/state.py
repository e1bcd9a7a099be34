"""The memory behind the verdicts: told how each attempt ended, it says what becomes of the bundle, and when to go on.

Pure: no I/O, no clock; chance comes in with the backoff. The rules, in decreasing strength:

1. What the path (network, TLS, pin, clock, key) did is never held against a bundle: the same one is tried again.
2. 400, 413 and 422 are the bundle's only if another bundle was accepted since its first refusal. Until then it is
   passed over, so that each probe is made with the next bundle in turn; nothing is set aside by a server that rejects
   everything, nor by a proxy whose limit was wrong for a minute.
3. 500 is the bundle's only if it came at least three times, another bundle being accepted between each two, and those that
   were accepted had failed so rarely that this cannot be chance. A server that fails a third of requests condemns nobody.
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


class Fate(StrEnum):
    """What becomes of a bundle after a failure."""

    RETRY = "retry"  # the same one again
    DEFER = "defer"  # others first
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after a failure: the bundle's fate, and how long nobody sends anything."""

    fate: Fate
    pause_seconds: float


@dataclass(slots=True)
class _Suspect:
    """What is held against one bundle, by the number of acceptances seen so far (its own never count)."""

    failures: int = 0
    refused_at: int | None = None
    own_500s: int = 0
    last_500_at: int = -1


class SubmitState:
    """`state` is what the operator sees, `why` says in one line why the oldest bundle has not left and what to do."""

    def __init__(self, *, backoff: Backoff) -> None:
        self._backoff = backoff
        self.state, self.reason = State.OK, ""
        self._accepted = 0
        self._failures = 0  # in a row
        self._refusals = 0  # in a row
        self._held: tuple[str, int] = ("", 0)  # a bundle, and its failures in a row
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

    def accepted(self, proof_id: str) -> None:
        """Note a receipt."""
        self.state, self.reason = State.OK, ""
        self._accepted += 1
        self._failures = self._refusals = 0
        self._held = ("", 0)
        suspect = self._suspects.pop(proof_id, None)
        self._failed_before.append(suspect.failures if suspect is not None else 0)

    def failed(self, proof_id: str, reason: str, *, retry_after_seconds: float | None = None) -> Step:
        """Note a failure by its reason (a key of VERDICTS); return what to do."""
        verdict = VERDICTS[reason]
        if verdict.blame is Blame.ITEM:
            return self._refused(proof_id, reason)
        self._failures += 1
        self._refusals = 0
        self._show(verdict, reason, asked=retry_after_seconds is not None)
        pause = self._backoff.pause_seconds(self._failures, retry_after_seconds=retry_after_seconds)
        if verdict.blame is Blame.PATH:
            return Step(Fate.RETRY, pause)
        self._suspect(proof_id).failures += 1
        if verdict.blame is Blame.SUSPECT:
            return self._suspected(proof_id, pause)
        return Step(self._turn(proof_id), pause)

    def _show(self, verdict: Verdict, reason: str, *, asked: bool) -> None:
        """Take over the state. One slow answer among good ones is none, unless the server asks for a pause."""
        if verdict.state is State.SLOW and self.state is State.OK and self._failures == 1 and not asked:
            return
        self.state, self.reason = verdict.state, reason

    def _refused(self, proof_id: str, reason: str) -> Step:
        suspect = self._suspect(proof_id)
        if suspect.refused_at is not None and self._accepted > suspect.refused_at:
            self._settle(proof_id)
            return Step(Fate.SET_ASIDE, 0.0)
        if suspect.refused_at is None:
            suspect.refused_at = self._accepted
        self._failures += 1
        self._refusals += 1
        if self._refusals == 1 and self.state is State.OK:
            return Step(Fate.DEFER, 0.0)  # the next bundle tells whose fault it is
        self.state, self.reason = State.REJECTED_ALL, reason
        return Step(Fate.DEFER, self._backoff.pause_seconds(self._failures))

    def _suspected(self, proof_id: str, pause: float) -> Step:
        suspect = self._suspect(proof_id)
        if self._accepted > suspect.last_500_at:
            suspect.own_500s += 1
            suspect.last_500_at = self._accepted
        if suspect.own_500s >= _OWN_500S and self._chance_of_failure() ** suspect.own_500s < _CHANCE:
            self._settle(proof_id)
            return Step(Fate.SET_ASIDE, pause)
        return Step(Fate.DEFER, pause)

    def _chance_of_failure(self) -> float:
        """Estimate how often the server fails for a bundle that it takes in the end: Laplace's rule, never 0."""
        failures = sum(self._failed_before)
        return (failures + 1) / (failures + len(self._failed_before) + 2)

    def _turn(self, proof_id: str) -> Fate:
        held, times = self._held
        times = times + 1 if held == proof_id else 1
        self._held = (proof_id, times % _IN_PLACE)
        return Fate.DEFER if times >= _IN_PLACE else Fate.RETRY

    def _settle(self, proof_id: str) -> None:
        """Forget a bundle that was condemned; the server answered, so the path is free."""
        self._suspects.pop(proof_id, None)
        self._failures = self._refusals = 0
        self.state, self.reason = State.OK, ""

    def _suspect(self, proof_id: str) -> _Suspect:
        if proof_id not in self._suspects and len(self._suspects) >= _MOST_SUSPECTS:
            self._suspects.popitem(last=False)
        return self._suspects.setdefault(proof_id, _Suspect())
