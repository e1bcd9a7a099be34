"""How many requests may leave: a token bucket on the monotonic clock. The server's own limit answers 500 and resets."""

from __future__ import annotations

from actod.ports import Clock


class TokenBucket:
    """`rate_per_second` requests in the long run, `burst` at once. Fair: who reserves first goes first."""

    def __init__(self, *, rate_per_second: float, burst: float, clock: Clock) -> None:
        if rate_per_second <= 0 or burst < 1:
            raise ValueError("a bucket needs a rate above 0 and a burst of at least 1")
        self._rate, self._burst, self._clock = rate_per_second, burst, clock
        self._tokens = burst
        self._at_ns = clock.now().monotonic_ns

    def reserve(self) -> float:
        """Take one token; return the seconds until it may be used (0.0: now)."""
        now_ns = self._clock.now().monotonic_ns
        elapsed_seconds = max(now_ns - self._at_ns, 0) / 1e9
        self._at_ns = now_ns
        self._tokens = min(self._burst, self._tokens + elapsed_seconds * self._rate) - 1
        return max(0.0, -self._tokens / self._rate)
