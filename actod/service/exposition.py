"""Gives the metrics out: to Prometheus over HTTP on 127.0.0.1, or to node_exporter in a file. Off by default.

A page in a browser on this machine could ask, too (DNS rebinding), so the Host header must name the listener itself. Nothing
else of a request is looked at: no forwarded-for header, no cookie, no body. A request has bounds in size, time and number,
and whoever is beyond them is hung up on.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from actod.errors import ActodError
from actod.service.metrics import CONTENT_TYPE

LONGEST_REQUEST_BYTES = 8 * 1024
MOST_CALLERS = 4  # Prometheus is one
_REQUEST_SECONDS = 5.0  # to ask, and to take the answer
_RETRY_SECONDS = 30.0
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_OK, _SERVICE_UNAVAILABLE = 200, 503

_log = structlog.get_logger(__name__)


class MetricsServer:
    """Answers GET /metrics at `listen`, "127.0.0.1:port". `requests` counts by status."""

    def __init__(self, *, listen: str, text: Callable[[], Awaitable[bytes]]) -> None:
        self._host, _, port = listen.partition(":")
        self._port, self._text = int(port), text
        self._hosts = {f"{self._host}:{port}", f"localhost:{port}"}
        self._callers = 0
        self.requests: Counter[int] = Counter()

    async def run(self) -> None:
        """Serve. A port that cannot be had is tried again: nothing waits for this one."""
        said = False
        while True:
            try:
                server = await asyncio.start_server(
                    self._answer, self._host, self._port, limit=LONGEST_REQUEST_BYTES, backlog=2 * MOST_CALLERS
                )
            except OSError as exc:
                if not said:
                    _log.error("Nobody can ask for metrics: the port cannot be had; it is tried again.", reason=exc.strerror)
                said = True
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    server.close()  # who is being answered is not waited for

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._callers >= MOST_CALLERS:
            self.requests[_SERVICE_UNAVAILABLE] += 1
            writer.transport.abort()
            return
        self._callers += 1
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                status, body = await self._reply(reader)
                self.requests[status] += 1
                writer.write(_response(status, body))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except TimeoutError:
            self.requests[408] += 1
        except OSError:
            return  # the caller went away
        finally:
            self._callers -= 1
            writer.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        try:
            status = self._verdict(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            status = 431
        except asyncio.IncompleteReadError:
            status = 400
        if status != _OK:
            return status, b""
        try:
            return status, await self._text()
        except ActodError:
            return _SERVICE_UNAVAILABLE, b""

    def _verdict(self, head: bytes) -> int:
        """Return the status that a request's line and headers deserve."""
        line, *headers = head.decode("latin-1").split("\r\n")[:-2]
        words = line.split(" ")
        hosts = [
            value.strip().lower()
            for name, _, value in (header.partition(":") for header in headers)
            if name.lower() == "host"
        ]
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or len(hosts) != 1:  # noqa: PLR2004 - method, target, version
            return 400
        if hosts[0] not in self._hosts:
            return 421
        if words[1] != "/metrics":
            return 404
        return _OK if words[0] == "GET" else 405


def _response(status: int, body: bytes) -> bytes:
    body = body or f"{_REASONS[status]}\n".encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class TextFile:
    """The file that node_exporter's textfile collector reads; away when the daemon is, so that nobody takes it for news."""

    def __init__(self, path: Path, *, interval_seconds: float, text: Callable[[], Awaitable[bytes]]) -> None:
        self._path, self._interval_seconds, self._text = path, interval_seconds, text

    async def run(self) -> None:
        """Write it at its interval, until cancelled."""
        said = False
        try:
            while True:
                try:
                    await asyncio.to_thread(self._write, await self._text())
                    said = False
                except OSError as exc:
                    if not said:
                        _log.warning(
                            "The metrics cannot be written for node_exporter; it is tried again.", reason=exc.strerror
                        )
                    said = True
                except ActodError:
                    pass  # the store is damaged, and says so itself
                await asyncio.sleep(self._interval_seconds)
        finally:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _write(self, text: bytes) -> None:
        """Write it whole, for all to read. It is not brought to disk: what it says is old after a power cut."""
        temporary = self._path.with_name(f".{self._path.name}.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
        temporary.rename(self._path)
