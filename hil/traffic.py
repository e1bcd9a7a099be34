"""What a robot sent over the network, read from a capture: all that goes to the collector has to be TLS."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.parts.capture import Stream, streams

_MQTT_PORT = 1883  # of a broker on the robot, which is given everything in clear; it is counted, not searched
_MARK = b"rig: sent in clear, to be found\n"


@dataclass
class Traffic:
    """`in_clear`: bytes that are no TLS, by protocol and the lower port; `bare` are connections to the collector in clear.

    `sent_file` holds what went to the collector, byte for byte, and `other_file` all else but MQTT in clear.
    """

    sent_file: Path
    other_file: Path
    whole: bool  # no packet is missing for want of room
    connections: int = 0
    bytes_sent: int = 0
    names: int = 0  # connections in which the collector's host name stands in clear, as TLS has it
    marked: int = 0  # connections of the rig's own, in clear on purpose
    bare: int = 0
    in_clear: dict[str, int] = field(default_factory=dict)

    def problems(self) -> list[str]:
        """Return one line for each thing that does not hold; empty is a pass."""
        found = [] if self.whole else ["the capture is not whole: it outgrew its limit"]
        found += [] if self.marked else ["the capture does not have what the rig sent in clear"]
        found += [] if self.names else ["the capture does not have the collector's name, which TLS sends in clear"]
        return found + ([f"{self.bare} connections to the collector are not TLS"] if self.bare else [])

    def figures(self) -> dict[str, Any]:
        """Return the figures as the results file has them."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, Path)}


def marked(control: bytes) -> bytes:
    """Return what the rig sends in clear over the same link: the scan must find the control in it."""
    return _MARK + control


def overheard(capture: Path, folder: Path, *, port: int, host: str, whole: bool = True) -> Traffic:
    """Read a capture; the collector listens at `port`, and its name is `host`. Writes two files into `folder`."""
    traffic = Traffic(folder / "sent-to-collector.bin", folder / "other-traffic.bin", whole)
    clear: Counter[str] = Counter()
    with traffic.sent_file.open("wb") as sent, traffic.other_file.open("wb") as other:
        for stream in streams(capture) if capture.exists() else ():
            mine = stream.protocol == "tcp" and stream.target[1] == port
            if _MQTT_PORT not in {stream.source[1], stream.target[1]}:
                (sent if mine else other).write(stream.data + b"\n")
            if stream.data and not stream.is_tls():
                clear[f"{stream.protocol} {min(stream.source[1], stream.target[1])}"] += len(stream.data)
            if mine and stream.data:
                _count(traffic, stream, host.encode())
    traffic.in_clear = dict(sorted(clear.items()))
    return traffic


def _count(traffic: Traffic, stream: Stream, host: bytes) -> None:
    if stream.data.startswith(_MARK):
        traffic.marked += 1
        return
    traffic.connections += 1
    traffic.bytes_sent += len(stream.data)
    traffic.names += host in stream.data
    traffic.bare += not stream.is_tls()
