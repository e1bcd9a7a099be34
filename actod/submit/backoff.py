"""How long to wait after a failure: full jitter with a cap, and Retry-After in both of its forms. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST_RETRY_AFTER_SECONDS = 3600.0
_MOST_DOUBLINGS = 30


class Backoff:
    """Counts failures in a row. `uniform(low, high)` is the source of chance."""

    def __init__(self, *, min_seconds: float, max_seconds: float, uniform: Callable[[float, float], float]) -> None:
        self._min_seconds, self._max_seconds, self._uniform = min_seconds, max_seconds, uniform
        self._failures = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def pause_seconds(self, retry_after_seconds: float | None = None) -> float:
        """Return the pause after one more failure: never less than Retry-After, and jitter on top of that."""
        ceiling = min(self._max_seconds, self._min_seconds * 2 ** min(self._failures, _MOST_DOUBLINGS))
        self._failures += 1
        return (retry_after_seconds or 0.0) + self._uniform(0, ceiling)


def retry_after(value: str | None, *, now_wall_ns: int) -> float | None:
    """Parse Retry-After: seconds or an HTTP date, bounded to an hour; None if it is absent or senseless."""
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        seconds = float(value)
    else:
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return None
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now_wall_ns / 1e9
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_SECONDS)


def parse_date(value: str | None) -> datetime | None:
    """Parse an HTTP Date header."""
    try:
        return parsedate_to_datetime(value) if value else None
    except (ValueError, TypeError):
        return None
