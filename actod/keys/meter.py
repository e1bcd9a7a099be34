"""How often, how fast and how badly the token works. Any thread may ask; one thread counts."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from actod.latency import Latency

_MOST_ENDS = 512
_RATE_SECONDS = 60.0


class Meter:
    """Measures calls to the token."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self._since = 0.0
        self._latency = Latency()
        self._ends: deque[float] = deque(maxlen=_MOST_ENDS)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one call; only one that goes well is counted as a call."""
        self._since = time.monotonic()
        try:
            with self._latency.timed():
                yield
            self._ends.append(time.monotonic())
        finally:
            self._since = 0.0

    def busy_seconds(self) -> float:
        """Return how long the present call has been running; 0 when there is none."""
        since = self._since
        return time.monotonic() - since if since else 0.0

    def stats(self) -> dict[str, Any]:
        """Return what stands under "calls", "calls_last_minute" (of the newest 512), the latencies and "errors"."""
        now = time.monotonic()
        return {
            "calls": self._latency.count,
            "calls_last_minute": sum(now - end < _RATE_SECONDS for end in list(self._ends)),
            "p50_seconds": self._latency.quantile(0.5),
            "p99_seconds": self._latency.quantile(0.99),
            "errors": dict(self.errors),
        }
