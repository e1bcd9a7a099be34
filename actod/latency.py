"""How long something took, of which there are few a second: buckets for ever, and quantiles of what ended last.

Any thread may read; one counts.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

# Upper ends in seconds. SoftHSM signs in 1 ms, a TPM in 200; a collector far away answers in 300, one in trouble in 60 s.
BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_NEWEST = 512


class Latency:
    """Counts durations since its making."""

    def __init__(self) -> None:
        self._buckets = [0] * (len(BOUNDS_SECONDS) + 1)
        self._newest: deque[float] = deque(maxlen=_NEWEST)
        self.sum_seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time a block; one that raises is not counted."""
        started = time.monotonic()
        yield
        self.took(time.monotonic() - started)

    def took(self, seconds: float) -> None:
        """Count one."""
        self._buckets[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self._newest.append(seconds)
        self.sum_seconds += seconds

    @property
    def count(self) -> int:
        """Return how many were counted."""
        return sum(self._buckets)

    def cumulative(self) -> list[int]:
        """Return for each bound, and for infinity, how many took at most so long."""
        return list(accumulate(self._buckets))

    def quantile(self, share: float) -> float:
        """Return what this share (0 to 1) of the newest 512 took at most, in seconds; 0.0 before the first."""
        ordered = sorted(self._newest.copy())
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
