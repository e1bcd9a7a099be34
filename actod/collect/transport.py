"""The socket that paho is given: it hands over whole packets from a bounded buffer, and streams oversize ones away.

paho reads a packet byte by byte with a system call each, leaves what a TLS record holds beyond one packet in the TLS
layer's buffer, and buffers a packet of any announced length. Here one `recv` takes all that is there (TLS included), a
PUBLISH longer than allowed is dropped as it arrives, and a small one stands in for it, so that it is counted and
acknowledged in its turn.

A PUBLISH is handed over without its properties: nothing reads them, paho's time over them grows with the square of their
number, and one that paho does not like (a U+FEFF in a user property, which brokers pass on) would end the connection
each time the broker delivers it again. One of QoS 0 or 1 does not go through paho at all, which takes three quarters of the
time of such a message to set up the properties that are not there; `publish` hands it over in its turn.
"""

from __future__ import annotations

import secrets
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

_CHUNK_BYTES = 65536
_CHUNKS = 4  # in one `fill`
_PUBLISH, _QOS_2 = 3, 2
_SUBSCRIPTION_IDENTIFIER = 0x0B
_FIXED_BYTES = {0x01: 1, 0x02: 4, 0x23: 2}  # payload format, message expiry, topic alias
_TEXTS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}  # content type, response topic, correlation data, user property: how many
_MOST_PROPERTY_BYTES = 4096
_LONGEST_TOPIC_BYTES = 65535
_STAND_IN_BYTES = 16 + 8  # random bytes that no sender can know, and a length
_PUBACK = b"\x40\x02"


class Publish(NamedTuple):
    """A PUBLISH. What is no UTF-8 in its topic stands there as surrogates; `packet_id` is 0 for QoS 0."""

    topic: str
    payload: bytes
    qos: int
    packet_id: int
    duplicate: bool
    retained: bool


class FrameSocket:
    """Wraps a connected, non-blocking socket, plain or TLS. Not thread-safe: used on the loop's thread.

    Holds at most one packet that is not whole, and what the packets of one `fill` make, if `fill` is called only when
    `has_packet` is false. The identifiers of the subscriptions that brought each PUBLISH are in `subscriptions`, in the
    order in which paho reads them.
    """

    def __init__(self, sock: socket.socket, *, largest_payload_bytes: int) -> None:
        self._sock = sock
        self.subscriptions: deque[Sequence[int]] = deque()
        self.descriptor = sock.fileno()  # still known after closing
        self._largest = largest_payload_bytes
        self._limit = largest_payload_bytes + _LONGEST_TOPIC_BYTES + _MOST_PROPERTY_BYTES
        self._incoming = bytearray()  # not yet a whole packet
        self._ready = bytearray()  # whole packets for paho
        self._position = 0
        self._skipping = 0
        self._outgoing = bytearray()
        self._closed_by_peer = False
        self._stand_in = secrets.token_bytes(16)

    def fill(self) -> bool:
        """Take what the network has, up to some chunks. Returns whether there may be more. Raises OSError."""
        for _ in range(_CHUNKS):
            data = self._receive()
            if not data:
                return False
            self._take(data)
            if len(data) < _CHUNK_BYTES and not self.pending():
                return False
        return True

    def discard(self) -> bool:
        """Throw away what the network has. Returns whether the peer has closed. Raises OSError."""
        while self._receive():
            pass
        return self._closed_by_peer

    def has_packet(self) -> bool:
        """Whether paho can read a packet, or must learn that the connection ended."""
        return self._position < len(self._ready) or self._closed_by_peer

    def oversize(self, payload: bytes) -> int:
        """Return how long a message beyond its topic was, in bytes, if it was too large; 0 for any other payload."""
        if len(payload) == _STAND_IN_BYTES and payload.startswith(self._stand_in):
            return int.from_bytes(payload[16:])
        return 0

    def publish(self) -> Publish | None:
        """Take the next packet, if it is a PUBLISH of QoS 0 or 1; any other is for paho."""
        ready, position = self._ready, self._position
        if position >= len(ready):
            return None
        first = ready[position]
        qos = first >> 1 & 3
        if first >> 4 != _PUBLISH or qos >= _QOS_2:
            return None
        length, size = decode_length(ready, position + 1)
        start = position + 1 + size
        end, topic_end = start + length, start + 2 + (ready[start] << 8 | ready[start + 1])
        payload_start = topic_end + (3 if qos else 1)  # a packet id, and no properties
        found = Publish(
            ready[start + 2 : topic_end].decode("utf-8", "surrogateescape"),
            bytes(ready[payload_start:end]),
            qos,
            ready[topic_end] << 8 | ready[topic_end + 1] if qos else 0,
            bool(first & 8),
            bool(first & 1),
        )
        self._advance(end)
        return found

    def recv(self, size: int) -> bytes:
        """Give paho what it asks for, from whole packets only."""
        if self._position >= len(self._ready):
            if self._closed_by_peer:
                return b""
            raise BlockingIOError
        data = bytes(self._ready[self._position : self._position + size])
        self._advance(self._position + len(data))
        return data

    def _advance(self, position: int) -> None:
        self._position = position
        if position >= len(self._ready):
            self._ready.clear()
            self._position = 0

    def send(self, data: bytes) -> int:
        """Take what paho sends; `flush` brings it out, many packets in one call."""
        self._outgoing += data
        return len(data)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Take a PUBACK for each, in this order."""
        self._outgoing += b"".join([_PUBACK + packet_id.to_bytes(2) for packet_id in packet_ids])

    def flush(self) -> bool:
        """Send what was taken. Returns whether all of it went. Raises OSError."""
        while self._outgoing:
            try:
                sent = self._sock.send(self._outgoing)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            del self._outgoing[:sent]
        return True

    def pending(self) -> int:
        """Return how many bytes the TLS layer holds that no readiness of the socket will announce."""
        return self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Set the mode of the socket."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Send what can be sent at once, the DISCONNECT that paho wrote last among it, and close."""
        with suppress(OSError):
            self.flush()
        self._sock.close()

    def _receive(self) -> bytes:
        """Return one chunk, b"" if there is nothing (`_closed_by_peer` tells whether for ever)."""
        try:
            data = self._sock.recv(_CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        self._closed_by_peer = not data
        return data

    def _take(self, data: bytes) -> None:
        if self._skipping:
            skipped = min(self._skipping, len(data))
            self._skipping -= skipped
            data = data[skipped:]
        self._incoming += data
        position, buffer = 0, self._incoming
        while len(buffer) - position > 1:
            length, size = decode_length(buffer, position + 1)
            if not size:
                break
            start = position + 1 + size
            end = start + length
            if buffer[position] >> 4 == _PUBLISH:
                end = self._take_publish(position, start, end)
                if not end:
                    break
            elif end - position > self._limit:
                raise OSError("the broker sent an oversize packet that is no PUBLISH")
            elif end > len(buffer):
                break
            else:
                self._ready += buffer[position:end]
            position = end
        del buffer[:position]

    def _take_publish(self, position: int, start: int, end: int) -> int:
        """Make a PUBLISH ready: as it is, without properties, or as a stand-in. Returns where the next packet begins.

        0 means that more of it must arrive first. The packet reaches from `position` to `end`, its body from `start` on.
        """
        buffer = self._incoming
        if len(buffer) < start + 2:
            return 0
        first = buffer[position]
        head_end = start + 2 + (buffer[start] << 8 | buffer[start + 1]) + (2 if first >> 1 & 3 else 0)
        if head_end >= end:
            raise OSError("the broker sent a PUBLISH shorter than its head")
        if len(buffer) <= head_end:
            return 0
        properties, size = decode_length(buffer, head_end)
        if not size:
            return 0
        payload_start = head_end + size + properties
        if payload_start > end:
            raise OSError("the broker sent a PUBLISH shorter than its properties")
        if end - payload_start > self._largest or end - position > self._limit:
            length = end - head_end - size
            self._note_subscriptions(first, b"")
            self._put(first, buffer[start:head_end], self._stand_in + length.to_bytes(8))
            here = min(end, len(buffer))
            self._skipping = end - here
            return here
        if len(buffer) < end:
            return 0
        self._note_subscriptions(first, buffer[head_end + size : payload_start])
        if properties:
            self._put(first, buffer[start:head_end], buffer[payload_start:end])
        else:
            self._ready += buffer[position:end]
        return end

    def _note_subscriptions(self, first: int, properties: bytes | bytearray) -> None:
        if first >> 1 & 3 != _QOS_2:  # which paho hands over later, and out of turn
            self.subscriptions.append(identifiers(properties) if properties else ())

    def _put(self, first: int, head: bytes | bytearray, payload: bytes | bytearray) -> None:
        self._ready.append(first)
        self._ready += encode_length(len(head) + 1 + len(payload))
        self._ready += head
        self._ready.append(0)  # no properties
        self._ready += payload


def identifiers(properties: bytes | bytearray) -> list[int]:
    """Return the subscription identifiers among the properties of a PUBLISH (MQTT 5, 3.3.2.3)."""
    found, position = [], 0
    while position < len(properties):
        kind = properties[position]
        position += 1
        if kind == _SUBSCRIPTION_IDENTIFIER:
            value, size = decode_length(properties, position)
            found.append(value)
            position += size or len(properties)
        elif kind in _FIXED_BYTES:
            position += _FIXED_BYTES[kind]
        elif kind in _TEXTS:
            for _ in range(_TEXTS[kind]):
                position += 2 + int.from_bytes(properties[position : position + 2])
        else:  # not of a PUBLISH, or of a later standard: where the next one begins cannot be known
            break
    return found


def decode_length(data: bytes | bytearray, position: int) -> tuple[int, int]:
    """Decode a variable byte integer: (value, bytes used); (0, 0) if it is not whole. Raises OSError if malformed."""
    value = 0
    for index in range(4):
        if position + index >= len(data):
            return 0, 0
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004 - the last byte
            return value, index + 1
    raise OSError("malformed packet length")


def encode_length(value: int) -> bytes:
    """Encode a variable byte integer."""
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)
