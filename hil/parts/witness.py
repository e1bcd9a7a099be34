"""A recording proxy between a broker and actod: it sees each PUBLISH delivered and each PUBACK sent.

It is the oracle's witness: what actod acknowledged is what this proxy saw acknowledged, whatever actod says later.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from hil.parts.background import serving
from hil.parts.certificates import Certificate

PUBLISH, PUBACK, SUBACK = 3, 4, 9


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet. `kind` is publish, puback or suback; `connection` counts from 1; only a publish has a payload."""

    kind: str
    connection: int
    packet_id: int
    at: float
    topic: str = ""
    payload: bytes = b""
    duplicate: bool = False


@dataclass
class Witness:
    """Listens on a free port and forwards to `broker_port`. Start in a thread of its own with `running()`."""

    broker_port: int
    port: int = 0
    listen: str = "127.0.0.1"
    certificate: Certificate | None = None  # with one it speaks TLS to the robot, and reads what is inside
    seen: list[Seen] = field(default_factory=list)
    swallow_pubacks: bool = False  # they are neither forwarded nor noted, as if the robot had lost power just before
    pubacks: int = 0  # seen so far
    connections: int = 0

    def acknowledged(self) -> list[Seen]:
        """Return the deliveries that were acknowledged on the connection that delivered them, in PUBACK order."""
        open_ids: dict[tuple[int, int], Seen] = {}
        result = []
        for packet in list(self.seen):
            key = (packet.connection, packet.packet_id)
            if packet.kind == "publish" and packet.packet_id:
                open_ids[key] = packet
            elif packet.kind == "puback" and key in open_ids:
                result.append(open_ids.pop(key))
        return result

    def count_pubacks(self) -> int:
        """Return how many PUBACKs were seen so far."""
        return self.pubacks

    def subscribed(self) -> bool:
        """Whether the broker has confirmed a subscription."""
        return any(packet.kind == "suback" for packet in list(self.seen))

    @contextlib.contextmanager
    def running(self) -> Iterator[Witness]:
        """Run the proxy in a thread until the block ends."""
        with serving(self._listen, name="witness"):
            yield self

    async def _listen(self) -> asyncio.Server:
        context = None
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.cert_file, self.certificate.key_file)
        server = await asyncio.start_server(self._accept, self.listen, self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
        except OSError:
            writer.close()
            return
        up = asyncio.ensure_future(self._pump(reader, broker_writer, number))
        down = asyncio.ensure_future(self._pump(broker_reader, writer, number))
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the witness ends: so do both directions, and nobody is told
                await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in (writer, broker_writer):
                end.transport.abort()
            await asyncio.gather(writer.wait_closed(), broker_writer.wait_closed(), return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                buffer += data
                forwarded = bytearray(data)
                for first, body in frames(buffer):
                    if first >> 4 == PUBACK and self.swallow_pubacks:
                        forwarded.clear()  # with acknowledgements nothing else travels in these tests
                    else:
                        self._note(first, body, connection)
                writer.write(forwarded)
                await writer.drain()

    def _note(self, first: int, body: bytes, connection: int) -> None:
        now = time.monotonic()
        if first >> 4 == PUBACK:
            self.pubacks += 1
            self.seen.append(Seen("puback", connection, int.from_bytes(body[:2]), now))
        elif first >> 4 == SUBACK:
            self.seen.append(Seen("suback", connection, int.from_bytes(body[:2]), now))
        elif first >> 4 == PUBLISH:
            length = int.from_bytes(body[:2])
            topic = body[2 : 2 + length].decode()
            rest = body[2 + length :]
            packet_id = 0
            if first >> 1 & 3:
                packet_id, rest = int.from_bytes(rest[:2]), rest[2:]
            properties, size = _varint(rest)
            payload = bytes(rest[size + properties :])
            self.seen.append(Seen("publish", connection, packet_id, now, topic, payload, bool(first & 8)))


def frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """Cut whole MQTT control packets off the front of `buffer`."""
    while len(buffer) > 1:
        length, size = _varint(buffer[1:5])
        if not size or len(buffer) < 1 + size + length:
            return
        first, body = buffer[0], bytes(buffer[1 + size : 1 + size + length])
        del buffer[: 1 + size + length]
        yield first, body


def _varint(data: bytes | bytearray) -> tuple[int, int]:
    """Decode a variable byte integer: (value, bytes used), (0, 0) if it is not whole."""
    value = 0
    for index, byte in enumerate(data[:4]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, index + 1
    return 0, 0
