"""What was acknowledged and what has arrived, kept up to date as a run goes on: the queue's depth seen from outside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hil.oracle import events


class Seen(Protocol):
    """One packet that the witness saw; see hil/parts/witness.py."""

    @property
    def kind(self) -> str: ...
    @property
    def connection(self) -> int: ...
    @property
    def packet_id(self) -> int: ...
    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


Name = Callable[[str, Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment: seconds since the start, and how many messages were acknowledged, and arrived, until then."""

    at: float
    acknowledged: int
    arrived: int
    waiting: int


@dataclass
class Tally:
    """Reads only what is new. `seen` and `envelopes` return everything so far; `name` tells messages apart."""

    seen: Callable[[], list[Any]]
    envelopes: Callable[[], list[dict[str, Any]]]
    name: Name
    acknowledged: set[str] = field(default_factory=set)
    arrived: set[str] = field(default_factory=set)
    samples: list[Sample] = field(default_factory=list)
    _open: dict[tuple[int, int], Seen] = field(default_factory=dict)
    _seen_to: int = 0
    _envelopes_to: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _began: float = field(default_factory=time.monotonic)

    def refresh(self) -> None:
        """Take in what is new."""
        with self._lock:
            seen, envelopes = self.seen(), self.envelopes()
            for packet in seen[self._seen_to :]:
                self._take(packet)
            self._seen_to = len(seen)
            for event, _ in events(envelopes[self._envelopes_to :]):
                if (name := self.name(event["topic"], event["data"])) is not None:
                    self.arrived.add(name)
            self._envelopes_to = len(envelopes)

    def _take(self, packet: Seen) -> None:
        key = (packet.connection, packet.packet_id)
        if packet.kind == "publish" and packet.packet_id:
            self._open[key] = packet
        elif packet.kind == "puback" and key in self._open:
            publish = self._open.pop(key)
            if publish.payload[:1] == b"{" and (name := self.name(publish.topic, json.loads(publish.payload))) is not None:
                self.acknowledged.add(name)

    def waiting(self) -> set[str]:
        """Return what was acknowledged and has not arrived."""
        self.refresh()
        with self._lock:
            return self.acknowledged - self.arrived

    def write_off(self, owed: set[str]) -> set[str]:
        """Owe these no more: what was lost on purpose must not count again. Return those that had not arrived."""
        gone = owed & self.waiting()
        with self._lock:
            self.acknowledged -= gone
        return gone

    def sample(self) -> Sample:
        """Note the moment."""
        waiting = len(self.waiting())
        sample = Sample(round(time.monotonic() - self._began, 1), len(self.acknowledged), len(self.arrived), waiting)
        self.samples.append(sample)
        return sample

    def begin(self) -> None:
        """Count seconds from now on."""
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the start, as samples have them."""
        return time.monotonic() - self._began
