"""What is read from a capture of a robot's traffic: whole streams, in order, each byte once, whatever the network did."""

from __future__ import annotations

import itertools
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.parts.capture import Stream, sift, streams
from hil.parts.scan import plant, proves, scan
from hil.traffic import marked, overheard

_ROBOT, _COLLECTOR = ("10.0.2.15", 40000), ("10.0.2.2", 8443)
_FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
_SYN, _ACK = 2, 16


def _frame(source: tuple[str, int], target: tuple[str, int], payload: bytes, *, protocol: int, header: bytes) -> bytes:
    ports = struct.pack(">HH", source[1], target[1])
    addresses = bytes(int(part) for address, _ in (source, target) for part in address.split("."))
    body = ports + header + payload
    packet = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + addresses + body
    return (bytes(12) + b"\x08\x00" + packet).ljust(60, b"\xee")  # an Ethernet card fills up with what it likes


def _tcp(
    sequence: int,
    payload: bytes,
    *,
    source: tuple[str, int] = _ROBOT,
    target: tuple[str, int] = _COLLECTOR,
    flags: int = _ACK,
) -> bytes:
    header = struct.pack(">IIBBHHH", sequence % (1 << 32), 0, 6 << 4, flags, 0, 0, 0) + bytes(4)
    return _frame(source, target, payload, protocol=6, header=header)


def _udp(payload: bytes) -> bytes:
    return _frame(_ROBOT, ("10.0.2.3", 53), payload, protocol=17, header=struct.pack(">HH", 8 + len(payload), 0))


def _written(file: Path, frames: list[bytes]) -> Path:
    file.write_bytes(_FILE_HEADER + b"".join(struct.pack("<IIII", 0, 0, len(one), len(one)) + one for one in frames))
    return file


@given(st.binary(min_size=1, max_size=300), st.integers(0, (1 << 32) - 1), st.randoms(use_true_random=False))
def test_a_stream_is_whole_however_its_segments_were_cut_repeated_and_mixed_up(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, first: int, chance: random.Random
) -> None:
    cuts = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(5))})
    spans = [*itertools.pairwise(cuts), (0, len(data) // 2), (len(data) // 3, len(data))]
    chance.shuffle(spans)
    opening = _tcp(first - 1, b"", flags=_SYN)
    file = _written(
        tmp_path_factory.mktemp("capture") / "a.pcap", [opening, *(_tcp(first + at, data[at:to]) for at, to in spans)]
    )
    assert streams(file) == [Stream("tcp", _ROBOT, _COLLECTOR, data)]


def test_two_connections_from_one_port_are_two_streams_and_each_direction_is_one(tmp_path: Path) -> None:
    frames = [_tcp(6, b"", flags=_SYN), _tcp(7, b"\x16\x03\x01 hello"), _tcp(900, b"", flags=_SYN), _tcp(901, b"POST /")]
    frames.insert(2, _tcp(70, b"welcome", source=_COLLECTOR, target=_ROBOT))
    found = streams(_written(tmp_path / "a.pcap", [*frames, _udp(b"who is "), _udp(b"it")]))
    assert [(one.protocol, one.source, one.data, one.is_tls()) for one in found] == [
        ("tcp", _ROBOT, b"\x16\x03\x01 hello", True),
        ("tcp", _COLLECTOR, b"welcome", False),
        ("tcp", _ROBOT, b"POST /", False),
        ("udp", _ROBOT, b"who is it", False),
    ]


def test_files_of_several_boots_are_kept_as_one_without_ssh_and_up_to_a_limit(tmp_path: Path) -> None:
    kept = tmp_path / "kept.pcap"
    ssh = _tcp(1, b"a package", target=("10.0.2.15", 22))
    arp = bytes(12) + b"\x08\x06" + bytes(46)
    before = _written(tmp_path / "1.pcap", [_tcp(1, b"one "), ssh, arp])
    cut_off = _written(tmp_path / "2.pcap", [_tcp(5, b"two"), _tcp(8, b"never whole")])
    cut_off.write_bytes(cut_off.read_bytes()[:-20])
    (tmp_path / "3.pcap").write_bytes(b"")  # power was taken before the first packet
    assert all(sift(file, kept, most_bytes=1 << 20) for file in (before, cut_off, tmp_path / "3.pcap"))
    assert [one.data for one in streams(kept)] == [b"one two"]
    assert not sift(before, kept, most_bytes=kept.stat().st_size + 10)
    assert [one.data for one in streams(kept)] == [b"one two"]


def test_another_file_is_no_capture(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(60))
    with pytest.raises(ValueError, match="no capture"):
        streams(tmp_path / "a.pcap")


def test_what_goes_to_the_collector_is_tls_or_named_and_the_scan_finds_what_was_sent_in_clear(tmp_path: Path) -> None:
    control = plant(tmp_path)
    body = marked((tmp_path / "control.bin").read_bytes())
    other_port = ("10.0.2.15", 40001)
    hello = [_tcp(0, b"", flags=_SYN), _tcp(1, b"\x16\x03\x01..collector.example.."), _udp(b"who is it")]
    sent = [_tcp(10 + at, body[at : at + 1000], source=other_port) for at in range(0, len(body), 1000)]
    (tmp_path / "good").mkdir()
    broker = _tcp(1, b"PUBLISH", source=("10.0.2.2", 50000), target=("10.0.2.15", 1883))  # one on the robot
    file = _written(tmp_path / "good.pcap", [*hello, *sent, broker])
    heard = overheard(file, tmp_path / "good", port=8443, host="collector.example")
    assert heard.problems() == []
    counted = {"whole": True, "connections": 1, "bytes_sent": 24, "names": 1, "marked": 1, "bare": 0}
    assert heard.figures() == counted | {"in_clear": {"tcp 1883": 7, "tcp 8443": len(body), "udp 53": 9}}
    assert proves(scan([heard.sent_file], [control]), control)
    assert scan([heard.other_file], [control]) == []
    assert heard.other_file.read_bytes() == b"who is it\n"

    (tmp_path / "bad").mkdir()
    file = _written(tmp_path / "bad.pcap", [_tcp(1, b"POST /v1 HTTP/1.1")])
    heard = overheard(file, tmp_path / "bad", port=8443, host="collector.example", whole=False)
    assert [line.split(":")[0] for line in heard.problems()] == [
        "the capture is not whole",
        "the capture does not have what the rig sent in clear",
        "the capture does not have the collector's name, which TLS sends in clear",
        "1 connections to the collector are not TLS",
    ]
