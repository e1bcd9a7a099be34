"""Fleet health: small reports beside the proofs, with a key of their own, never in their way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import structlog

from actod.errors import ActodError
from actod.ports import AuditLog
from actod.submit.credentials import CredentialFile
from actod.submit.https import HttpsClient

_OK = 200

_log = structlog.get_logger(__name__)


class FleetReporter:
    """Reports at its interval. `client` returns the one that submits proofs now: server, pins and proxy are its own.

    While proofs are held up nothing is reported: a server in trouble gets no request that can be left out.
    """

    def __init__(
        self,
        *,
        client: Callable[[], HttpsClient],
        api_key: CredentialFile,
        device: str,
        proofs_flow: Callable[[], bool],
        health: Callable[[], Mapping[str, Any]],
        counters: Callable[[], Awaitable[Mapping[str, int | float]]],
        audit: AuditLog,
        interval_seconds: float,
    ) -> None:
        self._client, self._device, self._proofs_flow = client, device, proofs_flow
        self._health, self._counters, self._audit = health, counters, audit
        self._interval_seconds = interval_seconds
        self._away = ""
        self.api_key = api_key

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            if self._proofs_flow():
                self._tell(await self.report())

    async def report(self) -> str:
        """Make one report; return "" or the reason why it did not arrive."""
        client = self._client().with_key(self.api_key)
        try:
            body = {**await asyncio.to_thread(self._health), "custom_metrics": dict(await self._counters())}
            path = f"/v1/fleet/devices/{self._device}/health"
            status = (await client.ask("POST", path, orjson.dumps(body))).status
        except ActodError as exc:
            return exc.reason
        finally:
            await client.close()
        return "" if status == _OK else f"status_{status}"

    def _tell(self, reason: str) -> None:
        """Say once that reports do not arrive, and once that they do again."""
        if reason == self._away:
            return
        self._away = reason
        self._audit.record("fleet.away" if reason else "fleet.resumed", **({"reason": reason} if reason else {}))
        if reason:
            _log.warning("The machine's health is not reported; proofs are not concerned.", reason=reason)
