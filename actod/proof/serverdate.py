"""Ages that can be trusted: by the collector's `Date`, seen under the pin, then and now. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_AGREE = timedelta(days=1)  # between the collector's clock and ours: else one of them lies


def trusted_time(server_date: str | None, *, wall_ns: int, synchronised: bool | None) -> datetime | None:
    """Return the collector's time where the kernel holds its own to be right and both agree; else None: nothing expires."""
    seen = _parsed(server_date)
    if seen is None or not synchronised:
        return None
    return seen if abs(seen - datetime.fromtimestamp(wall_ns / 1e9, UTC)) < _AGREE else None


def is_older(server_date: str | None, now: datetime, *, days: int) -> bool:
    """Tell whether something was confirmed more than so many days ago, by the collector's clock then and now."""
    confirmed = _parsed(server_date)
    return confirmed is not None and now - confirmed > timedelta(days=days)


def _parsed(server_date: str | None) -> datetime | None:
    """Read an HTTP date; None where there is none."""
    try:
        moment = parsedate_to_datetime(server_date or "")
    except (ValueError, IndexError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
