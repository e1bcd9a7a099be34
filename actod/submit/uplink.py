"""The uplink that the pipeline speaks to: paces the attempts, keeps the state, and waits after failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from actod.config import CollectorConfig
from actod.errors import ActodError, RejectedError, SuspectError, TransientError
from actod.model import Envelope, Receipt
from actod.ports import AuditLog, Clock, Uplink
from actod.submit.backoff import Backoff
from actod.submit.budget import TokenBucket
from actod.submit.pause import Pause
from actod.submit.state import Fate, Step, SubmitState
from actod.submit.verdict import State

_BURST = 4  # requests at once; the server allows 20

_log = structlog.get_logger(__name__)


class PacedUplink:
    """Implements the Uplink port over another one that makes single attempts (HttpsClient). Safe to call concurrently.

    `submit` returns a receipt, or waits out the pause and then raises: TransientError (take the oldest again),
    SuspectError (others first: `Spool.defer`) or RejectedError (set it aside). All callers share pace and pauses.
    """

    def __init__(
        self,
        *,
        client: Uplink,
        collector: CollectorConfig,
        clock: Clock,
        audit: AuditLog,
        uniform: Callable[[float, float], float] | None = None,
        pause: Pause | None = None,
    ) -> None:
        self._client, self._clock, self._audit = client, clock, audit
        self._pause = pause or Pause()
        rate = collector.requests_per_second
        self._bucket = TokenBucket(rate_per_second=rate, burst=max(1.0, min(_BURST, rate)), clock=clock)
        self._submit_state = SubmitState(
            backoff=Backoff(
                min_seconds=collector.backoff_min_seconds,
                max_seconds=collector.backoff_max_seconds,
                uniform=uniform or random.SystemRandom().uniform,
            )
        )
        self._not_before_ns = 0
        self._in_flight = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False
        self.server_date: str | None = None
        self.confirmed = ""  # payload_hash of the newest confirmed bundle, with the Date above

    @property
    def state(self) -> str:
        """Return ok, slow:server or blocked:<reason>."""
        return str(self._submit_state.state)

    @property
    def why(self) -> str:
        """Say in one line why the oldest bundle has not left, and what to do."""
        return self._submit_state.why

    @property
    def next_attempt_seconds(self) -> float:
        """Return how long the pause will last that is going on (0.0: none)."""
        return max(0.0, (self._not_before_ns - self._clock.now().monotonic_ns) / 1e9)

    async def submit(self, envelope: Envelope) -> Receipt:
        """Make one attempt; after a failure wait, then raise. See the port."""
        await self._turn()
        self._in_flight += 1
        self._quiet.clear()
        try:
            receipt = await self._client.submit(envelope)
        except (TransientError, RejectedError) as failure:
            reason, step = failure.reason, self._failed(envelope, failure)
        else:
            self._accepted(envelope, receipt)
            return receipt
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._quiet.set()
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

    def wake(self) -> None:
        """End the pause that is going on: what caused it may have been mended."""
        self._not_before_ns = 0
        self._pause.wake()

    async def _turn(self) -> None:
        """Wait for the pace, and for the end of any pause."""
        ready_ns = self._clock.now().monotonic_ns + int(self._bucket.reserve() * 1e9)
        while (seconds := (ready_ns - self._clock.now().monotonic_ns) / 1e9) > 0:
            await self._pause.wait(seconds)
        await self._wait()
        if self._stopping:
            await asyncio.get_running_loop().create_future()  # begins nothing more: the daemon cancels us

    async def _wait(self) -> None:
        while (seconds := self.next_attempt_seconds) > 0:
            await self._pause.wait(seconds)

    def _accepted(self, envelope: Envelope, receipt: Receipt) -> None:
        before = self._sight()
        self._submit_state.accepted(envelope.proof_id)
        if receipt.server_date is not None:
            self.server_date, self.confirmed = receipt.server_date, envelope.payload_hash
        self._audit.record("submit.confirmed", proof_id=envelope.proof_id)
        self._tell(before)

    def _failed(self, envelope: Envelope, failure: ActodError) -> Step:
        before = self._sight()
        step = self._submit_state.failed(
            envelope.proof_id,
            failure.reason,
            retry_after_seconds=failure.retry_after_seconds if isinstance(failure, TransientError) else None,
        )
        until_ns = self._clock.now().monotonic_ns + int(step.pause_seconds * 1e9)
        self._not_before_ns = max(self._not_before_ns, until_ns)
        if step.fate is Fate.SET_ASIDE:
            self._audit.record("submit.rejected", proof_id=envelope.proof_id, reason=failure.reason)
        self._tell(before)
        return step

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
            _log.warning("Submission is held up; the queue is kept.", state=str(state), why=self.why)
