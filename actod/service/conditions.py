"""For how long a part of the line has stood still, and for which reason; how fast the line moves."""

from __future__ import annotations

from collections import deque
from typing import Any

from actod.service.metrics import Picture

_MOST_WORDS = 32
_SPAN_NS = 60 * 1_000_000_000


class Condition:
    """One part: "" while it goes on, else the word for why it does not. Looked at each second."""

    def __init__(self, part: str, *, now_ns: int) -> None:
        self.part, self.reason, self.since_ns = part, "", now_ns
        self._now_ns = now_ns
        self._known: list[str] = []  # reasons so far: a metric that was 1 must be seen to go back to 0

    def look(self, reason: str, now_ns: int) -> None:
        """Note how the part fares now."""
        self._now_ns = now_ns
        if reason == self.reason:
            return
        self.reason, self.since_ns = reason, now_ns
        if reason and reason not in self._known and len(self._known) < _MOST_WORDS:
            self._known.append(reason)

    @property
    def seconds(self) -> float:
        """Return for how long it has been so, as of the last look."""
        return (self._now_ns - self.since_ns) / 1e9

    def show(self, picture: Picture) -> None:
        """Add it to the metrics."""
        picture.add("actod_blocked_seconds", round(self.seconds, 1) if self.reason else 0, self.part)
        for reason in {*self._known, self.reason} - {""}:
            picture.add("actod_blocked", int(reason == self.reason), self.part, reason)
        if not self._known:
            picture.add("actod_blocked", 0, self.part, "none")

    def facts(self) -> dict[str, Any]:
        """Say it for `actod status`."""
        return {"part": self.part, "reason": self.reason, "seconds": round(self.seconds, 1)}


class Pace:
    """Rates over the last minute of counters that are read each second."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, dict[str, int]]] = deque()

    def look(self, now_ns: int, counts: dict[str, int]) -> None:
        """Note the counters now."""
        self._seen.append((now_ns, counts))
        while now_ns - self._seen[0][0] > _SPAN_NS:
            self._seen.popleft()

    def per_second(self) -> dict[str, float] | None:
        """Return each rate; None before the second look."""
        if len(self._seen) < 2 or self._seen[-1][0] == self._seen[0][0]:  # noqa: PLR2004 - a rate has two ends
            return None
        (began_ns, before), (ended_ns, after) = self._seen[0], self._seen[-1]
        seconds = (ended_ns - began_ns) / 1e9
        return {name: round(max(0, after[name] - before[name]) / seconds, 3) for name in after}
