"""What crossed a robot's network card, as QEMU or tcpdump writes it down (pcap): the byte streams in it, IPv4 only.

https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcap.html
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_FILE_HEADER, _RECORD_HEADER = struct.Struct("<IHHiIII"), struct.Struct("<IIII")
_HEAD = _FILE_HEADER.pack(0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)  # microseconds, Ethernet
_IPV4, _TCP, _UDP = b"\x08\x00", 6, 17
_SYN, _SSH_PORT = 2, 22


class Segment(NamedTuple):
    """One TCP segment or UDP datagram; ends are (address, port), and `sequence` is 0 for UDP."""

    protocol: str
    source: tuple[str, int]
    target: tuple[str, int]
    sequence: int
    opens: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """What one end sent on one connection, in order, once; of UDP, all that went from one port to another."""

    protocol: str
    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes

    def is_tls(self) -> bool:
        """Whether it begins with a TLS record: a handshake, an alert, or one of a connection that was there before."""
        return self.protocol == "tcp" and self.data[:2] in {bytes([kind, 3]) for kind in range(20, 24)}


def records(file: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield (header, frame) of each packet; one that was cut off in the middle ends the file. Raises ValueError."""
    with file.open("rb") as stream:
        head = stream.read(_FILE_HEADER.size)
        if head and (head[:4], head[20:]) != (_HEAD[:4], _HEAD[20:]):
            raise ValueError(f"{file} is no capture of an Ethernet card")
        while len(header := stream.read(_RECORD_HEADER.size)) == _RECORD_HEADER.size:
            length = _RECORD_HEADER.unpack(header)[2]
            if len(frame := stream.read(length)) < length:
                return
            yield header, frame


def segment(frame: bytes) -> Segment | None:
    """Take a frame apart; None for what is neither TCP nor UDP."""
    if frame[12:14] != _IPV4 or frame[23] not in {_TCP, _UDP}:
        return None
    packet = frame[14 : 14 + int.from_bytes(frame[16:18])]  # behind it, a short frame is filled up
    body = packet[4 * (packet[0] & 15) :]
    source, target = (
        (".".join(map(str, packet[at : at + 4])), int.from_bytes(body[port : port + 2])) for at, port in ((12, 0), (16, 2))
    )
    if packet[9] == _UDP:
        return Segment("udp", source, target, 0, opens=False, payload=body[8:])
    opens = bool(body[13] & _SYN)
    return Segment("tcp", source, target, int.from_bytes(body[4:8]) + opens, opens, body[4 * (body[12] >> 4) :])


def sift(source: Path, kept: Path, *, most_bytes: int) -> bool:
    """Append all but SSH, which is the rig's own hand, to `kept`; return whether it all found room there."""
    with kept.open("ab") as stream:
        for header, frame in records(source):
            part = segment(frame)
            if part is None or _SSH_PORT in {part.source[1], part.target[1]}:
                continue
            if stream.tell() + len(header) + len(frame) > most_bytes:
                return False
            stream.write((_HEAD if stream.tell() == 0 else b"") + header + frame)
    return True


def streams(file: Path) -> list[Stream]:
    """Put every stream together; what was sent again counts once, and what was never seen is left out."""
    parts: dict[tuple[str, tuple[str, int], tuple[str, int], int], dict[int, bytes]] = defaultdict(dict)
    openings: dict[tuple[object, ...], int] = {}
    for number, (_, frame) in enumerate(records(file)):
        if (part := segment(frame)) is None:
            continue
        if part.opens or part[:3] not in openings:
            openings[part[:3]] = part.sequence
        first = openings[part[:3]]
        at = (part.sequence - first) % (1 << 32) if part.protocol == "tcp" else number << 16  # datagrams never overlap
        known = parts[(*part[:3], first)]
        known[at] = max(known.get(at, b""), part.payload, key=len)
    return [Stream(*key[:3], data=_joined(pieces)) for key, pieces in parts.items()]


def _joined(pieces: dict[int, bytes]) -> bytes:
    data, end = bytearray(), 0
    for at, piece in sorted(pieces.items()):
        data += piece[max(0, end - at) :]
        end = max(end, at + len(piece))
    return bytes(data)
