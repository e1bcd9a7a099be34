"""The socket that paho is given: it hands over whole packets from a bounded buffer, and streams oversize ones away.

paho reads a packet byte by byte with a system call each, leaves what a TLS record holds beyond one packet in the TLS
layer's buffer, and buffers a packet of any announced length. Here one `recv` takes all that is there (TLS included), a
PUBLISH longer than allowed is dropped as it arrives, and a small one stands in for it, so that it is counted and
acknowledged in its turn.
"""

from __future__ import annotations

import secrets
import socket
import ssl

_CHUNK_BYTES = 65536
_PUBLISH = 3
_PACKET_OVERHEAD_BYTES = 4096  # properties
_LONGEST_TOPIC_BYTES = 65535


class FrameSocket:
    """Wraps a connected socket, plain or TLS. Not thread-safe: used on the loop's thread after the handshake."""

    def __init__(self, sock: socket.socket, *, largest_payload_bytes: int) -> None:
        self._sock = sock
        self._largest = largest_payload_bytes
        self._limit = largest_payload_bytes + _LONGEST_TOPIC_BYTES + _PACKET_OVERHEAD_BYTES
        self._incoming = bytearray()  # not yet a whole packet
        self._ready = bytearray()  # whole packets for paho
        self._position = 0
        self._skipping = 0
        self._outgoing = bytearray()
        self._closed_by_peer = False
        self._stand_in = secrets.token_bytes(16)

    def fill(self) -> bool:
        """Take what the network has, up to some chunks. Returns whether there may be more. Raises OSError."""
        for _ in range(4):
            try:
                data = self._sock.recv(_CHUNK_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            if not data:
                self._closed_by_peer = True
                return False
            self._take(data)
            if len(data) < _CHUNK_BYTES and not self.pending():
                return False
        return True

    def has_packet(self) -> bool:
        """Whether paho can read a packet, or must learn that the connection ended."""
        return self._position < len(self._ready) or self._closed_by_peer

    def oversize(self, payload: bytes) -> int:
        """Return the true length in bytes of a payload that was too large, 0 for any other."""
        if len(payload) == 24 and payload.startswith(self._stand_in):  # noqa: PLR2004 - 16 random bytes and a length
            return int.from_bytes(payload[16:])
        return 0

    def recv(self, size: int) -> bytes:
        """Give paho what it asks for, from whole packets only."""
        if self._position >= len(self._ready):
            if self._closed_by_peer:
                return b""
            raise BlockingIOError
        data = bytes(self._ready[self._position : self._position + size])
        self._position += len(data)
        if self._position >= len(self._ready):
            self._ready.clear()
            self._position = 0
        return data

    def send(self, data: bytes) -> int:
        """Take what paho sends; `flush` brings it out, many packets in one call."""
        self._outgoing += data
        return len(data)

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
        """Return the descriptor."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """Set the mode of the socket."""
        self._sock.setblocking(flag)

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

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
            total = 1 + size + length
            if total > self._limit:
                used = self._replace(position, size, total)
                if not used:
                    break
                position += used
                continue
            if len(buffer) - position < total:
                break
            if length > self._largest and buffer[position] >> 4 == _PUBLISH:
                self._replace(position, size, total)
            else:
                self._ready += buffer[position : position + total]
            position += total
        del buffer[:position]

    def _replace(self, position: int, size: int, total: int) -> int:
        """Put a stand-in for an oversize PUBLISH; return the bytes of it that are here, 0 if its head is not yet."""
        buffer = self._incoming
        first, start = buffer[position], position + 1 + size
        if first >> 4 != _PUBLISH:
            raise OSError("the broker sent an oversize packet that is no PUBLISH")
        if len(buffer) - start < 2:  # noqa: PLR2004 - the topic's length
            return 0
        topic_end = start + 2 + int.from_bytes(buffer[start : start + 2])
        head_end = topic_end + (2 if first >> 1 & 3 else 0)
        if len(buffer) < head_end:
            return 0
        payload_bytes = total - (head_end - position)
        if payload_bytes <= self._largest and total <= self._limit:
            self._ready += buffer[position : position + total]
            return total
        body = bytes(buffer[start:head_end]) + b"\0" + self._stand_in + payload_bytes.to_bytes(8)
        self._ready += bytes([first]) + encode_length(len(body)) + body
        here = min(total, len(buffer) - position)
        self._skipping = total - here
        return here


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
