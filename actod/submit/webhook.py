"""One channel of alerts: a POST to an https URL that is a secret, under a validated chain and, if wanted, pins."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

import httpx

from actod import __version__
from actod.config import AlertConfig
from actod.errors import ConfigError, TransientError
from actod.secretfile import read_secret
from actod.submit.failures import reason_of
from actod.submit.pins import check_chain, hold_to_pins, parse_pins
from actod.submit.tls import validating_context

_SECONDS = 5.0
_HANDSHAKE_SHARE = 0.4  # of the time: for the connection, and again for TLS


class HttpsWebhook:
    """Implements alerts.Webhook. URL and secret are read anew for each attempt. Raises ConfigError."""

    def __init__(self, channel: AlertConfig, *, proxy: str) -> None:
        self._channel, self._proxy = channel, proxy
        self.name, self.shape = channel.name, channel.shape
        self._context = validating_context(channel.ca_file, key="alerts.ca_file")
        if channel.pins:
            hold_to_pins(self._context, partial(check_chain, pins=parse_pins(channel.pins, key="alerts.pins")))
        if channel.shape == "actod" and channel.secret_file is None:
            raise ConfigError(
                key="alerts.secret_file",
                expected="a file that holds the secret with which alerts are signed",
                found="none",
                fix=f"add secret_file to the channel {channel.name!r}",
            )
        self._url()
        self.secret()

    def __repr__(self) -> str:
        return f"HttpsWebhook({self.name!r})"

    def secret(self) -> bytes:
        """Return the secret, b"" for a channel without one. Raises ConfigError."""
        file = self._channel.secret_file
        return read_secret(file, key="alerts.secret_file").encode() if file is not None else b""

    async def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Make one attempt of five seconds at most; return the status. Raises TransientError, ConfigError."""
        request = httpx.Request(
            "POST",
            self._url(),
            content=body,
            headers={**headers, "user-agent": f"actod/{__version__}"},
            # httpcore leaves the socket of a handshake that is cancelled: so that ends by a time of its own.
            extensions={"timeout": httpx.Timeout(None, connect=_SECONDS * _HANDSHAKE_SHARE).as_dict()},
        )
        transport = httpx.AsyncHTTPTransport(
            verify=self._context,
            trust_env=False,
            retries=0,
            proxy=httpx.Proxy(self._proxy) if self._proxy else None,
        )
        failure = TransientError("unreachable")
        try:
            async with asyncio.timeout(_SECONDS):
                response = await transport.handle_async_request(request)
                status = response.status_code
                await response.aclose()
                return status
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, ExceptionGroup) as exc:
            failure = TransientError(reason_of(exc, secured=False, synchronised=True))
        finally:
            await transport.aclose()
        raise failure  # outside of the handler: a foreign exception holds the URL

    def _url(self) -> str:
        """Return the URL as its file holds it now. Raises ConfigError, which never holds it."""
        url = read_secret(self._channel.url_file, key="alerts.url_file")
        try:
            parts = urlsplit(url)
            good = parts.scheme == "https" and bool(parts.hostname) and parts.username is None and not parts.fragment
            good = good and url.isascii() and " " not in url and bool(httpx.URL(url).host)
            _ = parts.port
        except (ValueError, httpx.InvalidURL):
            good = False
        if not good:
            raise ConfigError(
                key="alerts.url_file",
                expected="an https:// URL without a user name, in printable ASCII",
                found=f"something else in {self._channel.url_file}",
                fix="write the webhook's URL alone into the file; there is no switch for http",
            )
        return url
