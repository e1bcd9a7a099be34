"""What the outside world knows at one moment of a trace: what the store had said by then."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.power.trace import Op

_INSIDE = re.compile(
    rb'\{"payload":\{"device_seq":(\d+),"loss":(.*?),"seq":(\d+),"previous":(null|"\w+"),"meta":\{.*?'
    rb',"events":\[(.*)\]\},"signature"',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Inside:
    """What an envelope of `tests.store.parts.sealed` says."""

    device_seq: int
    seq: int
    previous: str | None
    losses: Counter[str]
    events: bytes = field(repr=False)

    @classmethod
    def read(cls, body: bytes) -> Inside:
        found = _INSIDE.match(body)
        assert found, "not an envelope of ours"
        losses: Counter[str] = Counter()
        for reason, count in orjson.loads(found[2]):
            losses[reason] += count
        return cls(int(found[1]), int(found[3]), orjson.loads(found[4]), losses, found[5])


@dataclass(slots=True)
class Facts:
    """Kept up marker by marker. `settling` and `settled` map a proof id to the place that it goes to."""

    device: str = ""
    offered: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    refused_offered: int = 0
    refused: int = 0
    identities: dict[str, str] = field(default_factory=dict)
    left: dict[str, tuple[str, Inside]] = field(default_factory=dict)
    settling: dict[str, str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    damaged: bool = False  # bytes that were on disk were altered: what is gone must be counted
    said: int = 0  # markers so far
    _offer: dict[str, Any] = field(default_factory=dict)

    def step(self, op: Op) -> None:
        """Take one operation; only markers say something."""
        if op.kind != "m":
            return
        self.said += 1
        mark = orjson.loads(op.data)
        kind = mark.pop("kind")
        if kind == "open":
            self.device = self.device or mark["device"]
        elif kind == "damage":
            self.damaged = True
        elif kind == "offer":
            self._offer = mark
            self.offered.update(self._numbers())
            self.refused_offered += mark["refused"]
        elif kind == "ack":
            self.acknowledged.update(self._numbers())
            self.refused += self._offer["refused"]
            self.identities |= self._offer["identities"]
            self.heads.append(mark["head"])
        elif kind == "left":
            self.left[mark["proof"]] = mark["hash"], Inside.read(mark["body"].encode())
        else:
            (self.settling if kind == "settle" else self.settled)[mark["proof"]] = mark["place"]

    def _numbers(self) -> range:
        return range(self._offer["first"], self._offer["first"] + self._offer["count"])

    def told(self, elsewhere: set[str]) -> Counter[str]:
        """Sum up the losses that envelopes carried away which are not among `elsewhere`."""
        gone = [proof for proof in self.left if proof not in elsewhere and self.settling.get(proof) != "split"]
        return sum((self.left[proof][1].losses for proof in gone), Counter())  # what was split tells of its losses anew


def numbers_in(events: bytes) -> list[int]:
    """Return the numbers of the events of an envelope or a bundle."""
    return [int(part[: part.index(b",")]) for part in itertools.islice(events.split(b'{"data":{"n":'), 1, None)]
