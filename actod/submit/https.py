"""One request to the collector: pinned TLS, exact bytes, a bounded answer, and every failure translated once."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from actod import __version__
from actod.config import CollectorConfig
from actod.errors import RejectedError, TransientError
from actod.model import Envelope, Receipt
from actod.ports import AuditLog, Clock
from actod.submit.answer import Answer, judge, leaves_connection_usable
from actod.submit.credentials import CredentialFile, Secret, api_key_file
from actod.submit.endpoint import check_proxy, check_url, host_of
from actod.submit.failures import reason_of, seen_pins
from actod.submit.hold import Hold
from actod.submit.tls import CollectorTls
from actod.submit.verdict import VERDICTS, Blame
from actod.submit.wire import Wire, WireMeter

_KEEP_ALIVE_SECONDS = 30.0
_OK = 200
_UNAUTHORISED = 401
_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request; no repr shows its body or its credentials."""

    method: str
    path: str
    proof_id: str = ""
    body: bytes = field(default=b"", repr=False)
    credentials: tuple[Secret, Secret | None] | None = None
    largest_answer_bytes: int = 64 * 1024


class HttpsClient:
    """Implements the Uplink port: one call is one attempt. Safe to call concurrently.

    Each connection belongs to one call at a time and is kept for the next, but never after a 5xx or a failure. All
    that can be checked without the server is checked here: raises ConfigError.
    """

    def __init__(
        self,
        *,
        collector: CollectorConfig,
        environment: str,
        clock: Clock,
        audit: AuditLog | None = None,
        tls: CollectorTls | None = None,
        api_key: CredentialFile | None = None,
        hold: Hold | None = None,
        user_agent: str = f"actod/{__version__}",
        wire: Wire | None = None,
    ) -> None:
        self._collector, self._clock, self._audit, self._user_agent = collector, clock, audit, user_agent
        self._environment, self._base = environment, check_url(collector.url, environment)
        self._proxy = check_proxy(collector.proxy)
        self._tls = tls or CollectorTls(collector=collector, clock=clock, audit=audit)
        self._hold = hold
        self._api_key = api_key or api_key_file(
            collector.api_key_file, key="collector.api_key_file", environment=environment, host=host_of(collector.url)
        )
        self._wallet = CredentialFile(collector.wallet_file, key="collector.wallet_file") if collector.wallet_file else None
        # httpcore's debug lines repeat what the peer says, and a 422 echoes what was sent: no log level may show them.
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        self._idle: list[_Connection] = []
        self.wire = wire or Wire()
        self._last_alarm: tuple[str, ...] = ()

    async def submit(self, envelope: Envelope) -> Receipt:
        """POST one envelope, byte for byte. Raises TransientError or RejectedError with a reason of verdict.py."""
        ask = _Ask("POST", "/v1/proofs", envelope.proof_id, b'{"envelope":' + envelope.body + b"}")
        answer = await self._authorised(ask)
        reason, named = judge(answer, envelope.proof_id)
        if reason == "accepted":
            now = self._clock.now().wall_ns
            return Receipt(proof_id=envelope.proof_id, received_wall_ns=now, server_date=answer.date)
        if reason == "receipt_mismatch":
            self._alarm("submit.receipt_mismatch", expected=envelope.proof_id, named=named)
        if VERDICTS[reason].blame is Blame.ITEM:
            raise RejectedError(reason, f"status {answer.status}")
        raise TransientError(reason, f"status {answer.status}", retry_after_seconds=answer.retry_after_seconds)

    async def health(self) -> int:
        """GET /health without credentials, for `actod check`; return the status. Raises TransientError."""
        return (await self._exchange(_Ask("GET", "/health"))).status

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Make one request that is no proof, with this client's key. Raises TransientError."""
        return await self._authorised(_Ask(method, path, body=body))

    async def fetch(self, proof_id: str, *, largest_bytes: int) -> Answer:
        """GET a proof that the server holds; its body is None if it is longer than that. Raises TransientError."""
        return await self._authorised(_Ask("GET", f"/v1/proofs/{proof_id}", largest_answer_bytes=largest_bytes))

    def with_key(self, api_key: CredentialFile) -> HttpsClient:
        """Return another client of the same server, under the same pins, with a key of another scope."""
        return HttpsClient(
            collector=self._collector,
            environment=self._environment,
            clock=self._clock,
            audit=self._audit,
            tls=self._tls,
            api_key=api_key,
            hold=self._hold,
            wire=self.wire,
        )

    @property
    def key_proven(self) -> bool:
        """Whether the server took the API key that the file holds now."""
        return self._api_key.proven

    async def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            await self._idle.pop().close()

    async def _authorised(self, ask: _Ask) -> Answer:
        """Make one request with the key as the file holds it now; after a 401, once more if it was changed meanwhile."""
        ask = replace(ask, credentials=self._credentials())
        answer = await self._exchange(ask)
        if answer.status == _UNAUTHORISED:
            newer = self._credentials()
            if newer != ask.credentials:
                self._record("credential.reread", key=self._api_key.key)
                ask = replace(ask, credentials=newer)
                answer = await self._exchange(ask)
        old = self._api_key.previous() if answer.status == _UNAUTHORISED else None
        if old is not None and ask.credentials is not None:  # a rotation under way: the new one does not work yet
            self._alarm("credential.fallback", key=self._api_key.key)
            answer = await self._exchange(replace(ask, credentials=(old, ask.credentials[1])))
        elif answer.status == _OK and ask.credentials is not None:
            self._api_key.accepted(ask.credentials[0])
        return answer

    def _credentials(self) -> tuple[Secret, Secret | None]:
        return self._api_key.read(), self._wallet.read() if self._wallet is not None else None

    async def _exchange(self, ask: _Ask) -> Answer:
        if self._hold is None:
            return await self._made(ask, [])
        async with self._hold.passing() as at_a_lock:
            return await self._made(ask, at_a_lock)

    async def _made(self, ask: _Ask, at_a_lock: list[Callable[[], None]]) -> Answer:
        connection = await self._connection()
        at_a_lock.append(connection.forget_unsent)
        answer, failure = None, TransientError("unreachable")
        try:
            async with asyncio.timeout(self._collector.request_timeout_seconds):
                answer = await self._converse(connection, ask)
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, ExceptionGroup) as exc:
            failure = self._translate(exc, secured=connection.secured)
        finally:
            if not connection.wire.read(self.wire) and connection.secured:
                self.wire.sent += len(ask.body)
            current = connection.generation == self._tls.generation
            if answer is not None and current and leaves_connection_usable(answer, ask.proof_id):
                self._idle.append(connection)
            else:
                await connection.close()
        if answer is None:
            raise failure  # outside of the handler: a foreign exception holds the request, and with it the key
        return answer

    async def _connection(self) -> _Connection:
        """Return one that is idle, else a new one. Those made under other pins or certificates are closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.generation == self._tls.generation:
                return connection
            await connection.close()
        return _Connection(tls=self._tls, proxy=self._proxy)

    def _request(self, connection: _Connection, ask: _Ask) -> httpx.Request:
        headers = {"accept": "application/json", "user-agent": self._user_agent}
        if ask.body:
            headers["content-type"] = "application/json"
        if ask.credentials is not None:
            key, wallet = ask.credentials
            headers["authorization"] = f"Bearer {key.reveal()}"
            if wallet is not None:
                headers["x-wallet-address"] = wallet.reveal()
        timeout = httpx.Timeout(None, connect=self._collector.connect_timeout_seconds)
        extensions = {"timeout": timeout.as_dict(), "trace": connection.trace}
        url = self._base + ask.path
        return httpx.Request(ask.method, url, headers=headers, content=ask.body or None, extensions=extensions)

    async def _converse(self, connection: _Connection, ask: _Ask) -> Answer:
        response = await connection.transport.handle_async_request(self._request(connection, ask))
        try:
            content = await _read(response, ask.largest_answer_bytes) if response.status_code < _SERVER_ERRORS else b""
        finally:
            await response.aclose()
        return Answer.of(response.status_code, response.headers, content, now_wall_ns=self._clock.now().wall_ns)

    def _translate(self, failure: BaseException, *, secured: bool) -> TransientError:
        reason = reason_of(failure, secured=secured, synchronised=self._clock.synchronised())
        if reason == "pin_mismatch":
            self._alarm("submit.pin_mismatch", seen=",".join(seen_pins(failure)))
        return TransientError(reason)

    def _alarm(self, event: str, **fields: str) -> None:
        """Record what must not be missed, once for each new sight of it."""
        sight = (event, *fields.values())
        if sight != self._last_alarm:
            self._last_alarm = sight
            self._record(event, **fields)

    def _record(self, event: str, **fields: str) -> None:
        if self._audit is not None:
            self._audit.record(event, **fields)


class _Connection:
    """A transport of httpx that holds at most one connection: no redirects, cookies, environment or decompression."""

    def __init__(self, *, tls: CollectorTls, proxy: str) -> None:
        self.secured = False
        self.wire = WireMeter()
        self.generation = tls.generation
        self.trace: Callable[[str, dict[str, Any]], Awaitable[None]] = self._trace
        self.transport = httpx.AsyncHTTPTransport(
            verify=tls.context,
            http1=True,
            http2=False,
            trust_env=False,
            retries=0,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_SECONDS),
            proxy=httpx.Proxy(proxy) if proxy else None,
        )

    def forget_unsent(self) -> None:
        """Have its close take back what the kernel would go on sending: a whole bundle, on a slow link."""
        with suppress(OSError, AttributeError):  # there is none yet, or none any more
            raw = self.wire.stream.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def close(self) -> None:
        """Close it, whatever state it is in."""
        await self.transport.aclose()

    async def _trace(self, name: str, info: dict[str, Any]) -> None:
        if name.endswith("connect_tcp.started"):
            self.secured = False
        elif name.endswith("connect_tcp.complete"):
            self.wire.opened(info["return_value"])
        elif name.endswith("start_tls.complete"):
            self.secured = True


async def _read(response: httpx.Response, largest_bytes: int) -> bytes | None:
    """Read an answer's body as sent; None if it is longer than that."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > largest_bytes:
            return None
    return bytes(body)
