"""How long to wait after a failure: full jitter with a cap, and Retry-After in both of its forms. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_RETRY_AFTER_SECONDS = 3600.0  # a server that says "in a week" is asked again in an hour
_MOST_DOUBLINGS = 30
_SECONDS = re.compile(r"[0-9]{1,9}\Z", re.ASCII)
_LONGEST_DATE = 64


class Backoff:
    """Draws pauses. `uniform(low, high)` is the source of chance.

    Full jitter: of N robots that lost the same server, each comes back at a moment of its own.
    """

    def __init__(self, *, min_seconds: float, max_seconds: float, uniform: Callable[[float, float], float]) -> None:
        self._min_seconds, self._max_seconds, self._uniform = min_seconds, max_seconds, uniform

    def pause_seconds(self, failures: int, *, retry_after_seconds: float | None = None) -> float:
        """Return the pause after that many failures in a row (1, 2, ...): at least Retry-After, with jitter on top."""
        doublings = min(max(failures, 1) - 1, _MOST_DOUBLINGS)
        ceiling = min(self._max_seconds, self._min_seconds * 2**doublings)
        return max(retry_after_seconds or 0.0, 0.0) + self._uniform(0.0, ceiling)


def retry_after(value: str | None, *, date: str | None, now_wall_ns: int) -> float | None:
    """Parse Retry-After to seconds, at most an hour; None if it is absent or senseless.

    An HTTP date is counted from the answer's own Date where there is one: our clock may lie.
    """
    text = (value or "").strip()
    if _SECONDS.match(text):
        seconds = float(text)
    else:
        when = parse_date(text)
        if when is None:
            return None
        now = parse_date(date)
        seconds = when.timestamp() - (now.timestamp() if now is not None else now_wall_ns / 1e9)
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def parse_date(value: str | None) -> datetime | None:
    """Parse an HTTP date (RFC 9110, all three forms); None if it is none."""
    if not value or len(value) > _LONGEST_DATE or not value.isascii() or not value.isprintable():
        return None
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        when.timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return when
