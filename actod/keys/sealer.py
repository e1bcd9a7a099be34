"""Turns bundles into signed envelopes, and waits for the token as long as it takes."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import Callable

import structlog

from actod.errors import TransientError
from actod.keys.ring import KeyRing
from actod.latency import Latency
from actod.model import Bundle, Envelope, PublicKeys
from actod.ports import AuditLog, Signer
from actod.proof.envelope import SEALED, SealContext, assemble
from actod.proof.statements import Key

_BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_LATE_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class TokenSealer:
    """Implements the Sealer port. `waiting` says why sealing stands still, or is None.

    `latency` is that of attempts that went well, `failures` counts the others by reason, since the start.
    """

    def __init__(self, *, signer: Signer, ring: KeyRing, context: Callable[[], SealContext], audit: AuditLog) -> None:
        self._signer, self._ring, self._context, self._audit = signer, ring, context, audit
        self._keys: PublicKeys | None = None
        self.waiting: str | None = None
        self.latency, self.failures = Latency(), Counter[str]()

    async def seal(self, bundle: Bundle) -> Envelope:
        """Sign one bundle. Raises IntegrityError if the token's signature does not verify in software."""
        loop = asyncio.get_running_loop()
        started, attempt = loop.time(), 0
        while True:
            late = bundle.sealed_late or loop.time() - started > _LATE_SECONDS
            try:
                with self.latency.timed():
                    envelope = await self._attempt(dataclasses.replace(bundle, sealed_late=late))
            except TransientError as exc:
                self.failures[exc.reason] += 1
                self._wait_for(exc.reason)
                pause = _BACKOFF_SECONDS[min(attempt, len(_BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
                attempt += 1
            else:
                self._go_on()
                return envelope

    async def _attempt(self, bundle: Bundle) -> Envelope:
        keys = await self._ring.key_for(bundle, anew=self.waiting is not None)
        if keys != self._keys:
            self._audit.record("key.used", **dataclasses.asdict(Key.of(keys)))
            self._keys = keys
        draft = assemble(bundle, keys=keys, context=self._context())
        cosign = await self._signer.cosign(draft.canonical) if keys.kind == SEALED else None
        unsigned = draft.finish(cosign)
        envelope = unsigned.sign(await self._signer.sign_payload_hash(unsigned.payload_hash))
        self._ring.signed(bundle)
        return envelope

    def _wait_for(self, reason: str) -> None:
        if reason != self.waiting:
            self.waiting = reason
            self._audit.record("seal.waiting", reason=reason)
            _log.warning("Sealing waits for the token; collecting goes on.", reason=reason)

    def _go_on(self) -> None:
        if self.waiting is not None:
            self._audit.record("seal.resumed", reason=self.waiting)
            _log.info("Sealing goes on.", waited_for=self.waiting)
            self.waiting = None
