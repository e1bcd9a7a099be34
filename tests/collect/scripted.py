"""A broker that does what a test tells it: for what a real one does only by chance, or never."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from actod.collect.transport import encode_length
from hil.parts.witness import frames
from tests.collect.session import Session, session

CONNECT, PUBLISH, PUBACK, PUBREC, PUBCOMP, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT = 1, 3, 4, 5, 7, 8, 10, 14


class Connection:
    """One connection of the client, seen from the broker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._buffer = bytearray()
        self._packets: list[tuple[int, bytes]] = []

    async def packet(self, kind: int = 0, seconds: float = 10) -> bytes | None:
        """Return the body of the next packet, or of the next of a kind; None once the client has closed."""
        async with asyncio.timeout(seconds):
            while True:
                while self._packets:
                    first, body = self._packets.pop(0)
                    if not kind or first >> 4 == kind:
                        return body
                data = await self._reader.read(65536)
                if not data:
                    return None
                self._buffer += data
                self._packets += frames(self._buffer)

    async def accept(self, *, properties: bytes = b"", session_present: bool = False, granted: bytes = b"\1\0") -> None:
        """Answer CONNECT and SUBSCRIBE: the tests' topic, and the broker's count of drops."""
        assert await self.packet(CONNECT) is not None
        self.send(0x20, bytes([session_present, 0]) + encode_length(len(properties)) + properties)
        body = await self.packet(SUBSCRIBE)
        assert body is not None
        self.send(0x90, body[:2] + b"\0" + granted)

    def send(self, first: int, body: bytes) -> None:
        """Send a packet."""
        self.writer.write(bytes([first]) + encode_length(len(body)) + body)

    async def packet_ids(self, count: int, kind: int = PUBACK) -> list[int]:
        """Return the ids of the next `count` packets of a kind."""
        bodies = [await self.packet(kind) for _ in range(count)]
        return [int.from_bytes(body[:2]) for body in bodies if body is not None]

    async def close(self) -> None:
        """Close it as a broker that ends."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def see_off(self) -> None:
        """Close once the client has said goodbye, as a broker does."""
        with contextlib.suppress(OSError, TimeoutError):
            await self.packet(DISCONNECT)
        await self.close()


class ScriptedBroker:
    """Listens on a loopback port; `connection` waits for the next client."""

    def __init__(self) -> None:
        self.port = 0
        self.count = 0
        self._waiting: asyncio.Queue[Connection] = asyncio.Queue()
        self.open: list[Connection] = []

    async def connection(self, seconds: float = 10) -> Connection:
        """Return the next connection."""
        async with asyncio.timeout(seconds):
            return await self._waiting.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        made = Connection(reader, writer)
        self.open.append(made)
        self._waiting.put_nowait(made)

    @contextlib.asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedBroker]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for made in self.open:
                await made.close()


def publish_packet(
    number: int, *, qos: int = 1, topic: bytes = b"t/x", payload: bytes = b"", properties: bytes = b""
) -> bytes:
    """Return a whole PUBLISH; packet ids are the number plus one."""
    head = len(topic).to_bytes(2) + topic + ((number + 1).to_bytes(2) if qos else b"")
    body = head + encode_length(len(properties)) + properties + (payload or b'{"n": %d}' % number)
    return bytes([0x30 | qos << 1]) + encode_length(len(body)) + body


@contextlib.asynccontextmanager
async def scripted_session(
    *, properties: bytes = b"", granted: bytes = b"\1\0", **options: object
) -> AsyncIterator[tuple[ScriptedBroker, Connection, Session]]:
    """Run a source against a scripted broker: (broker, the accepted first connection, the session)."""
    async with ScriptedBroker().running() as broker, asyncio.TaskGroup() as tasks:

        async def accept() -> Connection:
            made = await broker.connection()
            await made.accept(properties=properties, granted=granted)
            return made

        accepted = tasks.create_task(accept())
        async with session(port=broker.port, **options) as told:
            yield broker, await accepted, told
            for made in broker.open:
                tasks.create_task(made.see_off())
