"""Parts for the tests of submission: a raw TLS server that records, a CONNECT proxy, a clock that only pauses move."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actod.config import CollectorConfig
from actod.model import Envelope, Instant, TrafficClass
from hil.parts.certificates import Certificate, CertificateAuthority

API_KEY = "acto_CANARY-key-0123456789abcdefghijklmnopqrstuv"
WALLET = "CANARYwallet1111111111111111111111111111111"
PAYLOAD = b"CANARY-payload"

Script = Callable[["Visit"], Awaitable[None]]


class FakeClock:
    """Implements the Clock port. Time stands until something waits."""

    def __init__(self, *, synchronised: bool | None = True) -> None:
        self.ns = 1_000_000_000
        self.wall_ns = 1_790_000_000_000_000_000
        self.is_synchronised = synchronised

    def now(self) -> Instant:
        return Instant(wall_ns=self.wall_ns + self.ns, monotonic_ns=self.ns)

    def boot_id(self) -> str:
        return "6b7f3c1e-0000-4000-8000-000000000001"

    def synchronised(self) -> bool | None:
        return self.is_synchronised

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class FakePause:
    """Waits by moving the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.waits = clock, []

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds + 1e-6)
        await asyncio.sleep(0)

    def wake(self) -> None:
        return


class FakeAudit:
    """Implements the AuditLog port in memory."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def record(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def witness(self, event: str, fields: Any) -> None:
        self.lines.append((event, dict(fields)))

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Nobody asks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """There is always room."""

    def head(self) -> str:
        return "0" * 64

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.lines if name == event]


def envelope(number: int = 1, *, size_bytes: int = 200) -> Envelope:
    """Make an envelope that only looks like one: what is inside is the server's business."""
    payload_hash = hashlib.sha256(str(number).encode()).hexdigest()
    proof_id = hashlib.sha256(payload_hash.encode()).hexdigest()[:32]
    body = b'{"payload":{"payload_hash":"%b","x":"%b"}}' % (payload_hash.encode(), PAYLOAD.ljust(size_bytes, b"."))
    return Envelope(proof_id=proof_id, payload_hash=payload_hash, body=body, traffic_class=TrafficClass.NORMAL)


def write_private(file: Path, text: str, *, mode: int = 0o600) -> Path:
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def collector_config(folder: Path, authority: CertificateAuthority, port: int, **changes: Any) -> CollectorConfig:
    """Return a configuration that works against a server of `authority`, with short times."""
    config = CollectorConfig(
        url=f"https://127.0.0.1:{port}",
        pins=[authority.pin, authority.backup_pin],
        api_key_file=write_private(folder / "api-key", API_KEY + "\n"),
        wallet_file=write_private(folder / "wallet", WALLET + "\n"),
        ca_file=authority.ca_file,
        connect_timeout_seconds=2.0,
        request_timeout_seconds=5.0,
    )
    return replace(config, **changes)


def server_context(certificate: Certificate, *, chain: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain or certificate.cert_file, certificate.key_file)
    return context


@dataclass
class Visit:
    """One connection at the server. `data` is what arrived inside TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    context: ssl.SSLContext
    data: bytearray = field(default_factory=bytearray)

    async def secure(self) -> None:
        await self.writer.start_tls(self.context)

    async def request(self) -> bytes:
        """Read one whole request; b"" if the client went away."""
        begun = len(self.data)
        while True:
            head, _, body = bytes(self.data[begun:]).partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
            if b"\r\n\r\n" in self.data[begun:] and len(body) >= length:
                return bytes(self.data[begun:])
            if not await self.some():
                return b""

    async def some(self) -> bytes:
        chunk = await self.reader.read(65536)
        self.data += chunk
        return chunk

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with a TCP RST."""
        raw = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class RawServer:
    """Runs `script` for each connection. `application_bytes` counts what came inside TLS, over all connections."""

    script: Script
    context: ssl.SSLContext
    port: int = 0
    visits: list[Visit] = field(default_factory=list)

    @property
    def application_bytes(self) -> int:
        return sum(len(visit.data) for visit in self.visits)

    async def until(self, seen: Callable[[], bool]) -> None:
        """Let the loop run until something was seen here."""
        async with asyncio.timeout(10):
            while not seen():
                await asyncio.sleep(0.005)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = Visit(reader, writer, len(self.visits), self.context)
        self.visits.append(visit)
        try:
            with contextlib.suppress(OSError, ssl.SSLError):
                await self.script(visit)
        finally:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    script: Script, context: ssl.SSLContext, *, receive_buffer_bytes: int | None = None
) -> AsyncIterator[RawServer]:
    raw = RawServer(script, context)
    accepting = socket.create_server(("127.0.0.1", 0))
    if receive_buffer_bytes is not None:
        accepting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    listener = await asyncio.start_server(raw.accept, sock=accepting)
    raw.port = listener.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        listener.close()
        await asyncio.sleep(0)


def response(status: int, body: bytes = b"", headers: str = "content-type: application/json\r\n") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers.encode(), len(body), body)


def receipt_for(request: bytes) -> bytes:
    """Answer as the server does: the proof id is computed from the request."""
    at = request.index(b'"payload_hash":"') + 16
    proof_id = hashlib.sha256(request[at : at + 64]).hexdigest()[:32]
    headers = "content-type: application/json\r\ndate: Tue, 24 Nov 2026 14:00:00 GMT\r\n"
    return response(200, b'{"proof_id":"%b"}' % proof_id.encode(), headers)


async def confirm(visit: Visit) -> None:
    """Confirm every request on the connection."""
    await visit.secure()
    while request := await visit.request():
        await visit.send(receipt_for(request))


@dataclass
class ConnectProxy:
    """A proxy that opens tunnels. `seen` is everything that passed from client to server, in clear where it was clear."""

    port: int = 0
    seen: bytearray = field(default_factory=bytearray)
    answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n"
    targets: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # what this proxy's resolver knows beside the machine's
    tunnels: set[asyncio.Task[None]] = field(default_factory=set)

    async def end(self) -> None:
        """End every tunnel, and return when its sockets are closed."""
        for tunnel in self.tunnels:
            tunnel.cancel()
        await asyncio.gather(*self.tunnels, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed by the loop's next turn

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: set[asyncio.Task[None]] = set()
        ends = [writer]
        tunnel: Any = asyncio.current_task()
        self.tunnels.add(tunnel)
        tunnel.add_done_callback(self.tunnels.discard)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.seen += head
                self.targets.append(head.split()[1].decode())
                writer.write(self.answer)
                await writer.drain()
                if b" 200 " not in self.answer:
                    return
                host, _, port = self.targets[-1].rpartition(":")
                to_reader, to_writer = await asyncio.open_connection(self.names.get(host, host), int(port))
                ends.append(to_writer)
                tasks = {
                    asyncio.create_task(self._pump(reader, to_writer, record=True)),
                    asyncio.create_task(self._pump(to_reader, writer, record=False)),
                }
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, record: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if record:
                    self.seen += data
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def proxying(**changes: Any) -> AsyncIterator[ConnectProxy]:
    proxy = ConnectProxy(**changes)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
