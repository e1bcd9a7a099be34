"""How often, how fast and how badly the token works. Any thread may ask; one thread counts."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LATENCIES = 512
_RATE_SECONDS = 60.0


class Meter:
    """Measures calls to the token."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        self._since = 0.0
        self._calls = 0
        self._ended: deque[tuple[float, float]] = deque(maxlen=_LATENCIES)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time one call; only one that goes well is counted as a call."""
        self._since = started = time.monotonic()
        try:
            yield
            now = time.monotonic()
            self._calls += 1
            self._ended.append((now, now - started))
        finally:
            self._since = 0.0

    def busy_seconds(self) -> float:
        """Return how long the present call has been running; 0 when there is none."""
        since = self._since
        return time.monotonic() - since if since else 0.0

    def stats(self) -> dict[str, Any]:
        """Return what stands under "calls", "calls_last_minute" (of the newest 512), the latencies and "errors"."""
        ended, now = list(self._ended), time.monotonic()
        ordered = sorted(seconds for _, seconds in ended)
        return {
            "calls": self._calls,
            "calls_last_minute": sum(now - end < _RATE_SECONDS for end, _ in ended),
            "p50_seconds": ordered[len(ordered) // 2] if ordered else 0.0,
            "p99_seconds": ordered[int(len(ordered) * 0.99)] if ordered else 0.0,
            "errors": dict(self.errors),
        }
