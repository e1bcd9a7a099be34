"""The uplink that the pipeline speaks to: paces requests, judges answers, keeps the state, and waits after failures."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import structlog

from actod.config import CollectorConfig
from actod.errors import ActodError, TransientError
from actod.model import Envelope, Receipt
from actod.ports import AuditLog, Clock
from actod.submit.backoff import Backoff, retry_after
from actod.submit.https import Answer, HttpsClient
from actod.submit.verdict import OK, REMEDIES, Verdicts

_log = structlog.get_logger(__name__)


class PacedUplink:
    """Implements the Uplink port over an HttpsClient. `state` and `why` say why the oldest bundle has not left."""

    def __init__(self, *, client: HttpsClient, collector: CollectorConfig, clock: Clock, audit: AuditLog) -> None:
        self._client, self._clock, self._audit = client, clock, audit
        self._interval_seconds = 1.0 / collector.requests_per_second
        self._backoff = Backoff(
            min_seconds=collector.backoff_min_seconds,
            max_seconds=collector.backoff_max_seconds,
            uniform=random.SystemRandom().uniform,
        )
        self._verdicts = Verdicts()
        self._next_at = 0.0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False
        self.server_date: str | None = None
        self.confirmed = ""  # payload_hash of the newest confirmed bundle, with the Date above

    @property
    def state(self) -> str:
        """Return ok, slow:server or blocked:<reason>."""
        return self._verdicts.state

    @property
    def why(self) -> str:
        """Say in one line what is wrong and what to do."""
        return f"{self.state}: {REMEDIES.get(self.state, 'see docs')}"

    async def submit(self, envelope: Envelope) -> Receipt:
        """Make one attempt; after a failure wait, then raise. See the port."""
        await self._turn()
        before = self._verdicts.state
        self._quiet.clear()
        try:
            answer = await self._client.submit(envelope)
            if answer.status == 401 and self._client.reread_credentials():  # noqa: PLR2004 - unauthorised
                self._audit.record("credential.reread")
                answer = await self._client.submit(envelope)
            return self._judge(envelope, answer)
        except TransientError as failure:
            self._verdicts.state = failure.reason
            self._note_state(before)
            self._quiet.set()
            await asyncio.sleep(self._backoff.pause_seconds(failure.retry_after_seconds))
            raise
        except ActodError as refusal:
            self._audit.record("submit.rejected", proof_id=envelope.proof_id, reason=refusal.reason)
            raise
        finally:
            self._quiet.set()
            self._note_state(before)

    async def drain(self, seconds: float) -> None:
        """Begin no further request, and wait until the one in flight has ended, if it does in time."""
        self._stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()

    async def _turn(self) -> None:
        """Wait for the pace: at most so many requests a second."""
        loop = asyncio.get_running_loop()
        if self._stopping:
            await loop.create_future()  # begins nothing more: the daemon cancels us
        wait = self._next_at - loop.time()
        self._next_at = max(self._next_at, loop.time()) + self._interval_seconds
        if wait > 0:
            await asyncio.sleep(wait)

    def _judge(self, envelope: Envelope, answer: Answer) -> Receipt:
        now = self._clock.now().wall_ns
        if answer.status == 200 and answer.proof_id == envelope.proof_id:  # noqa: PLR2004 - OK
            self._verdicts.delivered(envelope.proof_id)
            self._backoff.succeeded()
            self.server_date, self.confirmed = answer.date, envelope.payload_hash
            self._audit.record("submit.confirmed", proof_id=envelope.proof_id)
            return Receipt(proof_id=envelope.proof_id, received_wall_ns=now, server_date=answer.date)
        if answer.status == 200 and answer.proof_id is not None:  # noqa: PLR2004 - OK, but of something else
            self._audit.record("submit.receipt_mismatch", proof_id=envelope.proof_id)
            raise self._verdicts.failed("blocked:receipt")
        pause = retry_after(answer.retry_after, now_wall_ns=now)
        raise self._verdicts.answered(envelope.proof_id, answer.status, retry_after_seconds=pause)

    def _note_state(self, before: str) -> None:
        state = self._verdicts.state
        if state != before:
            self._audit.record("submit.state", state=state, before=before)
            if state == OK:
                _log.info("Submission goes on.", before=before)
            else:
                _log.warning("Submission is held up; the queue is kept.", state=state, remedy=REMEDIES.get(state, ""))
