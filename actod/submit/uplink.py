"""The uplink that the pipeline speaks to: paces the attempts, keeps the state, and waits after failures."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

import structlog

from actod.config import CollectorConfig, events_bytes
from actod.errors import ActodError, RejectedError, SuspectError, TooLargeError, TransientError
from actod.latency import Latency
from actod.model import Envelope, Receipt, TrafficClass
from actod.ports import AuditLog, Clock, Uplink
from actod.proof.envelope import audit_head
from actod.submit.backoff import Backoff
from actod.submit.budget import Budget, Wait
from actod.submit.hold import REASON, Hold
from actod.submit.memory import Memory
from actod.submit.metered import BulkGate, TrustedTime
from actod.submit.pause import Pause
from actod.submit.state import Failure, Fate, Step, SubmitState
from actod.submit.verdict import VERDICTS, State

SMALLEST_LIMIT_BYTES = 64 * 1024  # no proxy takes less; below it a 413 is about something else
_STALE_SECONDS = 5.0  # who waited longer for its turn gives way to what is more urgent now
_MOST_DOUBLINGS = 2  # of the quiet time before a bundle in doubt: everyone waits for it
_TOLD_SECONDS = 5.0  # a wait for the budget that is worth a word
_ROUNDING_SECONDS = 1e-6  # so that what was waited for has come
_OUTAGE = 3  # failures in a row: less is a bad link, which is no reason to send less
_MAY_BE_THE_LINK = "cut_off"
_BULK, _ALL = frozenset({TrafficClass.BULK}), frozenset(TrafficClass)

_log = structlog.get_logger(__name__)


class PacedUplink:
    """Implements the Sending port over an Uplink that makes single attempts (HttpsClient). Safe to call concurrently.

    `submit` returns a receipt, or waits out the pause and then raises: TransientError (take the most urgent again),
    SuspectError (others first: `Spool.defer`), TooLargeError (`Spool.split`) or RejectedError (set it aside). All callers
    share pace, budgets and pauses; requests begin in the order of the calls, and one at a time while the server fails.
    `file` is where budgets are kept over restarts; None keeps nothing.

    `attempts`, `failures` by reason, `budget_waits` (how often a request had to wait for a budget) and `latency` (of
    attempts with a receipt) count since the start.
    """

    def __init__(
        self,
        *,
        client: Uplink,
        collector: CollectorConfig,
        clock: Clock,
        audit: AuditLog,
        hold: Hold | None = None,
        file: Path | None = None,
        uniform: Callable[[float, float], float] | None = None,
        pause: Pause | None = None,
    ) -> None:
        self._client, self._clock, self._audit = client, clock, audit
        self._pause = pause or Pause()
        self._hold = hold
        self._time = TrustedTime(clock)
        self._bulk = BulkGate(hours=collector.bulk_hours_utc, interfaces=collector.bulk_interfaces, time=self._time)
        self._budget = Budget(collector, now_ns=clock.now().monotonic_ns)
        self._memory = Memory(file, budget=self._budget, clock=clock, configured_bytes=collector.max_envelope_bytes)
        self._submit_state = SubmitState(
            backoff=Backoff(
                min_seconds=collector.backoff_min_seconds,
                max_seconds=collector.backoff_max_seconds,
                uniform=uniform or random.SystemRandom().uniform,
            )
        )
        self._quiet_seconds = collector.backoff_min_seconds
        self._left_ns = 0  # when the newest request began
        self._gate = asyncio.Lock()
        self._not_before_ns = 0
        self._spent = Wait(0.0, "")  # the budget that is waited for
        self._in_flight = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False
        self.server_date: str | None = None
        self.confirmed = ""  # payload_hash of the newest confirmed bundle, with the Date above
        self.attempts = self.budget_waits = 0
        self.failures, self.latency = Counter[str](), Latency()

    @property
    def state(self) -> str:
        """Return ok, slow:server or blocked:<reason>."""
        if self._hold is not None and self._hold.locked:
            return str(State.INCIDENT)
        return str(self._submit_state.state)

    @property
    def why(self) -> str:
        """Say in one line why the oldest bundle has not left, and what to do."""
        if self._hold is not None and self._hold.locked:
            return self._hold.incident.told
        if self._submit_state.state is State.OK and self._spent.seconds > _TOLD_SECONDS:
            limit = self._spent.key or "the pace that the server asks for"
            return (
                f"ok: {limit} is used up, the next request leaves in {self._spent.seconds:.0f} s; raise it if that is late"
            )
        return self._submit_state.why

    @property
    def next_attempt_seconds(self) -> float:
        """Return how long the pause will last that is going on (0.0: none)."""
        return max(0.0, (self._not_before_ns - self._clock.now().monotonic_ns) / 1e9)

    @property
    def lowered_bytes(self) -> int | None:
        """Return how many bytes of events a bundle may hold since a 413; None while there was none."""
        return events_bytes(self._memory.largest_bytes) if self._memory.is_lowered else None

    def held(self) -> AbstractSet[TrafficClass]:
        """Return the classes that wait for a better hour or link, or for the end of an incident."""
        if self._hold is not None and self._hold.locked:
            return _ALL
        return frozenset() if self._bulk.is_open() else _BULK

    async def submit(self, envelope: Envelope) -> Receipt:
        """Make one attempt; after a failure wait, then raise. See the port."""
        if envelope.count > 1 and len(envelope.body) > self._memory.largest_bytes:
            raise TooLargeError("too_large", most_bytes=events_bytes(self._memory.largest_bytes))
        attempt = await self._turn(len(envelope.body), envelope.proof_id)
        self.attempts += 1
        try:
            with self.latency.timed():
                receipt = await self._client.submit(envelope)
        except (TransientError, RejectedError) as failure:
            if failure.reason == REASON:  # ours alone: nothing is learned of the server, and no pause follows
                raise
            reason, step = failure.reason, self._failed(envelope, attempt, failure)
        else:
            self._accepted(envelope, attempt, receipt)
            return receipt
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._quiet.set()
        if step.fate is Fate.SPLIT:
            await self._keep()
            raise TooLargeError(reason, most_bytes=events_bytes(self._memory.largest_bytes))
        if step.fate is Fate.SET_ASIDE:
            raise RejectedError(reason)
        await self._wait()
        if step.fate is Fate.DEFER:
            raise SuspectError(reason)
        raise TransientError(reason)

    async def drain(self, seconds: float) -> None:
        """Begin no further request, and wait until those in flight have ended, if they do in time."""
        self._stopping = True
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Write what was used of the budgets."""
        self._memory.close()

    def wake(self) -> None:
        """End the pause that is going on: what caused it may have been mended."""
        self._not_before_ns = 0
        self._pause.wake()

    async def take_turn(self, size_bytes: int) -> None:
        """Wait until a request beside the line may leave, and count it. Raises TransientError if that is not soon."""
        await self._turn(size_bytes, "")
        self._in_flight -= 1
        if not self._in_flight:
            self._quiet.set()

    async def _turn(self, size_bytes: int, proof_id: str) -> int:
        """Wait for pace, budgets and the end of any pause; number the attempt, which is in flight from now on."""
        doubts = self._submit_state.doubts(proof_id)
        quiet_ns = int(self._quiet_seconds * 2 ** min(doubts - 1, _MOST_DOUBLINGS) * 1e9) if doubts else 0
        came_ns = self._clock.now().monotonic_ns
        async with self._gate:
            while not await self._may_leave(size_bytes, quiet_ns):
                continue
            if not quiet_ns and self._clock.now().monotonic_ns - came_ns > _STALE_SECONDS * 1e9:
                raise TransientError("waited", "something more urgent may have come")
            self._left_ns = self._clock.now().monotonic_ns
            self._budget.take(size_bytes, self._left_ns)
            self._in_flight += 1
            self._quiet.clear()
            return self._submit_state.begin()

    async def _may_leave(self, size_bytes: int, quiet_ns: int) -> bool:
        """Tell whether a request may leave now; else wait some of the time until then."""
        if self._stopping:
            await asyncio.get_running_loop().create_future()  # begins nothing more: the daemon cancels us
        if self._hold is not None and self._hold.locked:
            raise TransientError(REASON)  # nobody keeps a bundle in hand meanwhile: an operator may want to drop it
        wait = self._budget.wait(size_bytes, self._clock.now().monotonic_ns)
        self.budget_waits += wait.seconds > _TOLD_SECONDS >= self._spent.seconds
        self._spent = wait
        calm_seconds = (self._left_ns + quiet_ns - self._clock.now().monotonic_ns) / 1e9 if quiet_ns else 0.0
        seconds = max(wait.seconds, self.next_attempt_seconds, calm_seconds)
        if seconds > 0:
            await self._pause.wait(seconds + _ROUNDING_SECONDS)
            return False
        if (self._submit_state.failures or quiet_ns) and self._in_flight:
            await self._quiet.wait()  # a server that fails is asked one thing at a time
            return False
        if self._memory.is_due(size_bytes):
            await self._keep(size_bytes)
            return False
        return True

    async def _keep(self, size_bytes: int = 0) -> None:
        """Write what must be known after a kill. A disk that refuses does not hold up the proofs."""
        try:
            await asyncio.to_thread(self._memory.save, size_bytes)
        except OSError:
            _log.warning("What submission must remember cannot be written; a restart would not know it.")

    async def _wait(self) -> None:
        while (seconds := self.next_attempt_seconds) > 0:
            await self._pause.wait(seconds + _ROUNDING_SECONDS)

    def _accepted(self, envelope: Envelope, attempt: int, receipt: Receipt) -> None:
        before = self._sight()
        self._submit_state.accepted(envelope.proof_id, attempt)
        self._budget.speed_up()
        if receipt.server_date is not None:
            self.server_date, self.confirmed = receipt.server_date, envelope.payload_hash
            self._time.saw(receipt.server_date)
        self._audit.record("submit.confirmed", proof_id=envelope.proof_id)
        self._audit.carried(audit_head(envelope), proof_id=envelope.proof_id, date=receipt.server_date)
        self._tell(before)

    def _failed(self, envelope: Envelope, attempt: int, failure: ActodError) -> Step:
        before = self._sight()
        self.failures[failure.reason] += 1
        size = len(envelope.body)
        splits = failure.reason == "too_large" and envelope.count > 1 and size > SMALLEST_LIMIT_BYTES
        asked = failure.retry_after_seconds if isinstance(failure, TransientError) else None
        step = self._submit_state.failed(attempt, Failure(envelope.proof_id, failure.reason, asked, splits))
        until_ns = self._clock.now().monotonic_ns + int(step.pause_seconds * 1e9)
        self._not_before_ns = max(self._not_before_ns, until_ns)
        if step.slow_down:
            self._budget.slow_down(gently=failure.reason == _MAY_BE_THE_LINK)
        elif self._submit_state.failures >= _OUTAGE:
            self._budget.start_slowly()
        if step.fate is Fate.SET_ASIDE:
            self._audit.record("submit.rejected", proof_id=envelope.proof_id, reason=failure.reason)
        if step.fate is Fate.SPLIT:
            self._lower(envelope)
        self._tell(before)
        return step

    def _lower(self, envelope: Envelope) -> None:
        size = len(envelope.body)
        self._memory.largest_bytes = max(SMALLEST_LIMIT_BYTES, min(self._memory.largest_bytes, size // 2))
        self._audit.record(
            "submit.too_large", proof_id=envelope.proof_id, bytes=size, largest_bytes=self._memory.largest_bytes
        )

    def _sight(self) -> tuple[State, str]:
        """Return what an operator sees: the state, and where it blocks the reason, since each has its own remedy."""
        state, reason = self._submit_state.state, self._submit_state.reason
        return state, reason if state.startswith("blocked:") else ""

    def _tell(self, before: tuple[State, str]) -> None:
        """Audit and log a change of what an operator sees, never a single attempt."""
        if self._sight() == before:
            return
        state, reason = self._submit_state.state, self._submit_state.reason
        self._audit.record("submit.state", state=str(state), before=str(before[0]), reason=reason)
        if state is State.OK:
            _log.info("Submission goes on.", before=str(before[0]))
        else:
            remedy = VERDICTS[reason].remedy
            _log.warning("Submission is held up; the queue is kept.", state=str(state), reason=reason, remedy=remedy)
