"""The socket under paho: oversize packets stream away, and no announced length takes memory."""

from __future__ import annotations

import random
import socket
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod.collect.link import make_client
from actod.collect.transport import FrameSocket, decode_length, encode_length
from actod.config import MqttConfig

LARGEST = 1000


def publish(payload_bytes: int, *, packet_id: int = 7, qos: int = 1, topic: bytes = b"t/x", properties: int = 0) -> bytes:
    head = len(topic).to_bytes(2) + topic + (packet_id.to_bytes(2) if qos else b"")
    body = head + encode_length(properties) + b"p" * properties + b"x" * payload_bytes
    return bytes([0x30 | qos << 1]) + encode_length(len(body)) + body


def read_all(stream: bytes, cuts: list[int]) -> tuple[FrameSocket, bytes]:
    """Push a byte stream through in pieces, and return what paho would read."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
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
        return frames, bytes(out)


SIZES = st.tuples(st.integers(0, 3 * LARGEST) | st.sampled_from([LARGEST - 1, LARGEST, LARGEST + 1]), st.integers(0, 300))


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(SIZES, max_size=6), st.randoms(use_true_random=False), st.integers(0, 1))
def test_a_payload_within_the_limit_passes_without_properties_and_a_larger_one_is_replaced_wherever_the_stream_is_cut(
    sizes: list[tuple[int, int]], chance: random.Random, qos: int
) -> None:
    packets = [publish(size, packet_id=n, qos=qos, properties=extra) for n, (size, extra) in enumerate(sizes, 1)]
    stream = b"".join(packets)
    cuts = [chance.randint(0, len(stream)) for _ in range(5)]
    frames, out = read_all(stream, cuts)
    at = 0
    for number, (size, extra) in enumerate(sizes, 1):
        length, used = decode_length(out, at + 1)
        found = out[at : at + 1 + used + length]
        at += len(found)
        if size <= LARGEST:
            assert found == publish(size, packet_id=number, qos=qos)
            assert frames.oversize(found[-24:]) == 0
        else:
            assert frames.oversize(found[-24:]) == size + extra
            assert found == publish(24, packet_id=number, qos=qos)[:-24] + found[-24:]
    assert at == len(out)


FIRSTS = st.sampled_from([first for first in range(0x30, 0x40) if first & 6 != 6])
MESSAGES = st.lists(st.tuples(FIRSTS, st.binary(max_size=300), st.text(max_size=200)), max_size=8)


@settings(deadline=None)
@given(MESSAGES)
def test_what_goes_past_paho_is_what_paho_would_have_read(messages: list[tuple[int, bytes, str]]) -> None:
    seen: list[tuple[str, bytes, int, int, bool, bool]] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        client = make_client(MqttConfig())
        client.on_socket_register_write = client.on_socket_unregister_write = lambda *_: None
        client.on_message = lambda _client, _data, m: seen.append((m.topic, m.payload, m.qos, m.mid, m.dup, m.retain))
        frames = client.frames = FrameSocket(ours, largest_payload_bytes=LARGEST)
        client.connect("127.0.0.1")
        for number, (first, payload, topic) in enumerate(messages, 1):
            name, qos = topic.encode(), first >> 1 & 3
            head = len(name).to_bytes(2) + name + (number.to_bytes(2) if qos else b"")
            theirs.sendall(bytes([first]) + encode_length(len(head) + 1 + len(payload)) + head + b"\0" + payload)
        frames.fill()
        past = FrameSocket(ours, largest_payload_bytes=LARGEST)
        past._ready = bytearray(frames._ready)
        while frames.has_packet():
            assert client.loop_read() == 0
        found = []
        while past.has_packet():
            if publish := past.publish():
                found.append(tuple(publish))
            else:  # of QoS 2, which paho keeps until it is released
                length, size = decode_length(past._ready, past._position + 1)
                past.recv(1 + size + length)
        assert found == seen


def test_properties_beyond_all_measure_are_streamed_away_with_their_message() -> None:
    frames, out = read_all(publish(10, properties=200_000) + publish(10), [100, 70_000])
    assert out.endswith(publish(10))
    assert frames.oversize(out[: -len(publish(10))][-24:]) == 200_010


@pytest.mark.parametrize(
    "packet",
    [b"\x32\x02\x00\x09", b"\x32\x07\x00\x03t/x\x00\x01", b"\x30\x07\x00\x03t/x\x09x", b"\x30\xff\xff\xff\xff\x01"],
    ids=["no topic", "no property length", "properties beyond the end", "no length"],
)
def test_a_publish_that_contradicts_itself_ends_the_connection(packet: bytes) -> None:
    with pytest.raises(OSError, match=r"shorter|malformed"):
        read_all(packet + b"x" * 20, [])


def test_what_was_written_last_goes_out_before_the_socket_closes() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0)
    frames = FrameSocket(ours, largest_payload_bytes=LARGEST)
    frames.send(b"\xe0\x00")
    frames.close()
    with theirs:
        assert theirs.recv(10) == b"\xe0\x00"


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
