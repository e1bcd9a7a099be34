"""The socket under paho: oversize packets stream away, and no announced length takes memory."""

from __future__ import annotations

import random
import socket
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actod.collect.transport import FrameSocket, decode_length, encode_length

LARGEST = 1000


def publish(payload_bytes: int, *, packet_id: int = 7, qos: int = 1, topic: bytes = b"t/x") -> bytes:
    head = len(topic).to_bytes(2) + topic + (packet_id.to_bytes(2) if qos else b"") + b"\x00"
    return bytes([0x30 | qos << 1]) + encode_length(len(head) + payload_bytes) + head + b"x" * payload_bytes


def read_all(stream: bytes, cuts: list[int]) -> tuple[FrameSocket, bytes]:
    """Push a byte stream through in pieces, and return what paho would read."""
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    frames = FrameSocket(ours, largest_payload_bytes=LARGEST)
    out = bytearray()
    at = 0
    for cut in [*sorted(cuts), len(stream)]:
        theirs.sendall(stream[at:cut])
        at = max(at, cut)
        frames.fill()
        while frames.has_packet():
            out += frames.recv(10_000)
    ours.close()
    theirs.close()
    return frames, bytes(out)


@given(st.lists(st.integers(0, 3 * LARGEST), max_size=6), st.randoms(use_true_random=False), st.integers(0, 1))
def test_small_packets_pass_unchanged_and_large_ones_are_replaced_wherever_the_stream_is_cut(
    sizes: list[int], chance: random.Random, qos: int
) -> None:
    packets = [publish(size, packet_id=index + 1, qos=qos) for index, size in enumerate(sizes)]
    stream = b"".join(packets)
    cuts = [chance.randint(0, len(stream)) for _ in range(5)]
    frames, out = read_all(stream, cuts)
    at = 0
    for size, packet in zip(sizes, packets, strict=True):
        length, used = decode_length(out, at + 1)
        found = out[at : at + 1 + used + length]
        at += len(found)
        if size <= LARGEST - 8:
            assert found == packet
        elif size > LARGEST:
            assert found[0] == packet[0]
            assert frames.oversize(found[-24:]) == len(packet) - len(packet) + size + 1
    assert at == len(out)


def test_a_packet_of_200_mib_takes_no_memory() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    frames = FrameSocket(ours, largest_payload_bytes=LARGEST)
    head = publish(200 * 2**20 - 100)[:64]
    theirs.sendall(head)
    frames.fill()
    chunk = b"x" * 65536
    tracemalloc.start()
    for _ in range(3000):
        theirs.sendall(chunk)
        frames.fill()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert frames.has_packet()
    ours.close()
    theirs.close()


def test_an_oversize_packet_that_is_no_publish_ends_the_connection() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    frames = FrameSocket(ours, largest_payload_bytes=LARGEST)
    theirs.sendall(b"\x20" + encode_length(2**20) + b"x" * 100)
    with pytest.raises(OSError, match="no PUBLISH"):
        frames.fill()
    ours.close()
    theirs.close()
