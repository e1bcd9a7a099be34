"""The client in force: its attempts are timed for the watchdog, and a new configuration puts another in its place."""

from __future__ import annotations

import time

from actod.model import Envelope, Receipt
from actod.submit.https import HttpsClient
from actod.submit.tls import CollectorTls

_ENDS_SECONDS = 30.0  # for the ends of connections


class CurrentClient:
    """Implements the Uplink port over the client in force. Attempts under way end with the one that began them."""

    def __init__(self, client: HttpsClient, tls: CollectorTls, *, request_timeout_seconds: float) -> None:
        self.client, self.tls = client, tls
        self._limit_seconds = _limit(request_timeout_seconds)
        self._begun: dict[object, float] = {}

    async def submit(self, envelope: Envelope) -> Receipt:
        """Make one attempt; see the port."""
        attempt = object()
        self._begun[attempt] = time.monotonic()
        try:
            return await self.client.submit(envelope)
        finally:
            del self._begun[attempt]

    async def adopt(self, client: HttpsClient, tls: CollectorTls, *, request_timeout_seconds: float) -> None:
        """Let every further attempt be made by another client; what the old one holds is closed."""
        before, old_tls = self.client, self.tls
        self.client, self.tls = client, tls
        self._limit_seconds = max(self._limit_seconds, _limit(request_timeout_seconds))
        old_tls.generation += 1  # no connection of the old client is kept after its request
        await before.close()

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()

    def stuck(self) -> bool:
        """Whether an attempt has outlived its own time limits."""
        now = time.monotonic()
        return any(now - begun > self._limit_seconds for begun in self._begun.values())


def _limit(request_timeout_seconds: float) -> float:
    """Return how long an attempt may take: three requests (after a 401, with the newer and with the older key)."""
    return 3 * request_timeout_seconds + _ENDS_SECONDS
