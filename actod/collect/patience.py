"""How long to wait before the broker is tried again. Pure: time and chance are passed in.

A session that another client took is not fought over: whoever has it keeps it, and we come back after a minute, then
after longer. mosquitto does not tell the one that lost it; sessions that end as soon as they began say the same.
"""

from __future__ import annotations

from random import Random

_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_TAKEN_OVER_SECONDS = (60.0, 120.0, 300.0, 600.0)
_STEADY_SECONDS = 10.0  # a connection that ends sooner counts as a failure
_UNSTEADY = 3  # so many short connections in a row are another client's doing


class Patience:
    """Counts failures, short connections in a row, and takeovers."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._failures = self._short = self._takeovers = 0
        self._taken_over = False

    def refused(self) -> None:
        """Note that no connection came about: what is down or refuses is no other client."""
        self._short = 0

    def ended(self, steady_seconds: float, *, on_purpose: bool) -> bool:
        """Note that a connection ended; return whether it looks as if another client took the session."""
        if steady_seconds > _TAKEN_OVER_SECONDS[-1]:
            self._takeovers = 0
        if steady_seconds >= _STEADY_SECONDS or on_purpose:
            self._failures = self._short = 0
            return False
        self._short += 1
        return self._short > _UNSTEADY

    def taken_over(self) -> None:
        """Note that another client has the session."""
        self._taken_over = True

    def next_delay_seconds(self) -> float:
        """Return how long to wait now."""
        delays, number = (_TAKEN_OVER_SECONDS, self._takeovers) if self._taken_over else (_BACKOFF_SECONDS, self._failures)
        self._failures += 1
        self._takeovers += self._taken_over
        self._taken_over = False
        delay = delays[min(number, len(delays) - 1)]
        return self._chance.uniform(delay / 2, delay)
