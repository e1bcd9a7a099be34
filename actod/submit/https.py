"""One request to the collector: pinned TLS, exact bytes, a bounded answer, and every failure translated once."""

from __future__ import annotations

import asyncio
import hmac
import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import orjson

from actod import __version__
from actod.config import CollectorConfig
from actod.errors import ConfigError, TransientError
from actod.model import Envelope
from actod.ports import Clock
from actod.submit.credentials import Credential
from actod.submit.pins import PinMismatchError, pinned_context

_LARGEST_ANSWER_BYTES = 64 * 1024
_LOOPBACK = ("localhost", "127.", "[::1]", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. `proof_id` is None unless the body is a receipt."""

    status: int
    proof_id: str | None
    retry_after: str | None
    date: str | None


class HttpsClient:
    """Speaks the ACTO API. Connections are reused, but never after a 5xx or a failure."""

    def __init__(self, *, collector: CollectorConfig, environment: str, clock: Clock) -> None:
        self._collector, self._clock = collector, clock
        self._base = check_url(collector.url, environment)
        self._context = pinned_context(collector)
        self._api_key = Credential(collector.api_key_file, key="collector.api_key_file")
        self._wallet = Credential(collector.wallet_file, key="collector.wallet_file") if collector.wallet_file else None
        self._client = self._connect()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def reread_credentials(self) -> bool:
        """Read the credential files again; return whether one changed. An unreadable one keeps the old value."""
        changed = False
        for credential in (self._api_key, self._wallet):
            try:
                changed = (credential is not None and credential.read()) or changed
            except ConfigError:
                continue
        return changed

    async def submit(self, envelope: Envelope) -> Answer:
        """POST one envelope: the bytes that were hashed. Raises TransientError with the state as its reason."""
        return await self._request("POST", "/v1/proofs", b'{"envelope":' + envelope.body + b"}", envelope.proof_id)

    async def health(self) -> Answer:
        """GET /health, for `actod check`."""
        return await self._request("GET", "/health", b"", "")

    async def _request(self, method: str, path: str, body: bytes, proof_id: str) -> Answer:
        headers = {"authorization": f"Bearer {self._api_key.value}", "user-agent": f"actod/{__version__}"}
        if self._wallet is not None:
            headers["x-wallet-address"] = self._wallet.value
        if body:
            headers["content-type"] = "application/json"
        try:
            async with asyncio.timeout(self._collector.request_timeout_seconds):
                async with self._client.stream(method, self._base + path, content=body, headers=headers) as response:
                    answer = await _read(response, proof_id)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as exc:
            await self._renew()
            # Not `from exc`: the foreign exception holds the request, and with it the key.
            raise TransientError(self._state(exc)) from None
        if answer.status >= 500:  # noqa: PLR2004 - the server may have closed behind it
            await self._renew()
        return answer

    def _connect(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=30)
        proxy = httpx.Proxy(self._collector.proxy) if self._collector.proxy else None
        timeout = httpx.Timeout(self._collector.request_timeout_seconds, connect=self._collector.connect_timeout_seconds)
        return httpx.AsyncClient(
            verify=self._context,
            trust_env=False,
            follow_redirects=False,
            http1=True,
            http2=False,
            limits=limits,
            timeout=timeout,
            proxy=proxy,
        )

    async def _renew(self) -> None:
        """Drop all connections: the next request begins with a new one."""
        old, self._client = self._client, self._connect()
        await old.aclose()

    def _state(self, exc: BaseException) -> str:
        """Name the state that a failure means; see submit/verdict.py."""
        chain: BaseException | None = exc
        while chain is not None:
            if isinstance(chain, PinMismatchError):
                return "blocked:pin"
            if isinstance(chain, ssl.SSLCertVerificationError):
                early = chain.verify_code == 9 and self._clock.synchronised() is not True  # noqa: PLR2004 - X509_V_ERR
                return "blocked:clock" if early else "blocked:tls"
            if isinstance(chain, ssl.SSLError) and not isinstance(chain, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                return "blocked:tls"
            if isinstance(chain, socket.gaierror):
                return "blocked:dns"
            chain = chain.__cause__ or chain.__context__
        return "blocked:network"


async def _read(response: httpx.Response, proof_id: str) -> Answer:
    """Read an answer's head, and of a 200 the receipt. Other bodies are not read: a 422 echoes what was sent."""
    found = None
    if response.status_code == 200:  # noqa: PLR2004 - OK
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LARGEST_ANSWER_BYTES:
                body = b""
                break
        found = _receipt(body, proof_id)
    headers = response.headers
    return Answer(response.status_code, found, headers.get("retry-after"), headers.get("date"))


def _receipt(body: bytes, proof_id: str) -> str | None:
    try:
        value = orjson.loads(body)["proof_id"]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None
    if not isinstance(value, str) or not value.isascii():
        return None
    return proof_id if hmac.compare_digest(value, proof_id) else value[:64]


def check_url(url: str, environment: str) -> str:
    """Return the base URL without a slash at its end. Raises ConfigError for anything but plain https."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError(key="collector.url", expected="an https:// URL", found=repr(url), fix="use https")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(
            key="collector.url", expected="no credentials, query or fragment", fix="credentials belong into files"
        )
    if environment == "prod" and parts.hostname.startswith(_LOOPBACK):
        raise ConfigError(
            key="collector.url",
            expected="a server that is not this machine in prod",
            found=repr(url),
            fix='name the real collector, or use environment = "dev"',
        )
    return url.rstrip("/")
