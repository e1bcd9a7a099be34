"""Thinning: of a route that says so, only some messages are kept. Pure: time is passed in.

Each topic of each robot is thinned by itself. A message is first looked at, and noted as kept only once the limits let
it in: what was dropped must not pass for what was kept. After a restart the first message is kept. Nothing that a
person did, and nothing of safety, is thinned.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from actod.collect.limits import URGENT
from actod.collect.routes import Route
from actod.errors import RejectedError
from actod.model import Reading
from actod.proof.envelope import SAMPLED

_SECOND_NS = 1_000_000_000
_EARLY = 10  # a message may come a tenth of the interval early: a sender that is just so fast jitters
_MOST_TOPICS = 4096  # then the one that was silent longest is forgotten: its next message is kept

Key = tuple[str, str | None, str]


@dataclass(slots=True)
class _Kept:
    """What is known of the last message that was kept; `due_ns` is when the next one may be."""

    due_ns: int = 0
    watched: bytes = b""
    numbers: list[Any] = field(default_factory=list)


class Thinning:
    """Remembers per (route, robot, topic) what was kept last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def look(self, route: Route, reading: Reading) -> _Kept | None:
        """Return what to note if the reading is kept. Raises RejectedError("sampled:<rule>") if it is left out."""
        if reading.traffic_class in URGENT:
            return None
        before = self._kept.get((route.name, reading.robot_id, reading.topic))
        levels = reading.topic.split("/")
        now = _Kept(
            watched=_digest([point(levels, reading.data) for point in route.on_change]) if route.on_change else b"",
            numbers=[point(levels, reading.data) for point, _ in route.deadband],
        )
        if before is not None and (route.on_change or route.deadband) and not _differs(before, now, route):
            raise RejectedError(SAMPLED + ("on_change" if route.on_change else "deadband"))
        if route.interval_ns:
            now_ns = reading.received.monotonic_ns
            due_ns = before.due_ns if before else now_ns
            if now_ns < due_ns - route.interval_ns // _EARLY:
                raise RejectedError(SAMPLED + "max_hz")
            now.due_ns = max(due_ns, now_ns) + route.interval_ns
        return now

    def keep(self, route: Route, reading: Reading, kept: _Kept) -> None:
        """Note that the reading was let in."""
        key = (route.name, reading.robot_id, reading.topic)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_TOPICS:
            self._kept.popitem(last=False)


def _differs(before: _Kept, now: _Kept, route: Route) -> bool:
    if now.watched != before.watched:
        return True
    bands = [band for _, band in route.deadband]
    return any(_moved(old, new, band) for old, new, band in zip(before.numbers, now.numbers, bands, strict=True))


def _moved(old: Any, new: Any, band: float) -> bool:
    """Whether a number moved by more than the band; anything that is no number moved if it is another."""
    if type(old) in {int, float} and type(new) in {int, float}:
        return bool(abs(new - old) > band)
    return type(old) is not type(new) or _digest([old]) != _digest([new])


def _digest(values: list[Any] | Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(orjson.dumps(values, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
