"""The broker's byte stream, cut anywhere: whole packets come out, the same for every cut, or an OSError.

`<largest payload><number of cuts><cuts><stream>`, one byte for each but the last.
"""

from __future__ import annotations

import socket

from actod.collect.transport import FrameSocket, decode_length
from tests.fuzz.session import feed

_LARGEST_STREAM = 65_536
_PUBLISH, _STAND_IN_BYTES = 3, 24
_MOST_BESIDE_PAYLOAD = 65_535 + 4096


def one_input(data: bytes) -> None:
    head, rest = data[:2].ljust(2, b"\0"), data[2:]
    largest, number = 16 + head[0] * 4, head[1] % 16
    stream = rest[number : number + _LARGEST_STREAM]
    cuts = sorted(len(stream) * place // 256 for place in rest[:number])
    whole, failed = _read_all(stream, [], largest)
    pieces, failed_too = _read_all(stream, cuts, largest)
    assert (pieces, failed_too) == (whole, failed), "the cuts change what is read"
    for packet in whole:
        assert len(packet) <= largest + _MOST_BESIDE_PAYLOAD + 5
    feed(b"".join(whole))


def _read_all(stream: bytes, cuts: list[int], largest: int) -> tuple[list[bytes], bool]:
    """Return the packets that paho would read, and whether the connection failed after them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        frames = FrameSocket(ours, largest_payload_bytes=largest)
        out, failed, start = bytearray(), False, 0
        try:
            for end in [*cuts, len(stream)]:
                theirs.sendall(stream[start:end])
                start = end
                while frames.fill():
                    pass
                _drain(frames, out)
                assert len(frames._incoming) <= largest + _MOST_BESIDE_PAYLOAD
        except OSError:
            failed = True
        _drain(frames, out)
        return _packets(bytes(out), frames), failed


def _drain(frames: FrameSocket, out: bytearray) -> None:
    while frames.has_packet():
        data = frames.recv(1000)
        assert data
        out += data


def _packets(out: bytes, frames: FrameSocket) -> list[bytes]:
    packets, at = [], 0
    while at < len(out):
        length, size = decode_length(out, at + 1)
        assert size, "half a packet"
        end = at + 1 + size + length
        assert end <= len(out), "half a packet"
        packet, at = out[at:end], end
        if packet[0] >> 4 == _PUBLISH and (oversize := frames.oversize(packet[-_STAND_IN_BYTES:])):
            packet = packet[:-_STAND_IN_BYTES] + b"S" * 16 + oversize.to_bytes(8)  # the stand-in is random
        packets.append(packet)
    return packets
