"""What is asked of a delivered bundle before it is let go: a copy that the disk gives back, an age that can be trusted."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from actod.model import TrafficClass

READ_BACK = frozenset({TrafficClass.INTERVENTION, TrafficClass.SAFETY})  # leave the queue only once they were
_AGREE = timedelta(days=1)  # between the collector's clock and ours: else one of them lies


class ColdReads:
    """Has the kernel forget what it keeps of the store's files, so that the next read comes from the disk.

    The descriptors stay open as long as the store does: closing one would give up SQLite's locks on the file (fcntl(2)).
    """

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._files, self._descriptors = files, list[int]()

    def forget_cached(self) -> None:
        """Let go of the cached pages; what was not written yet stays."""
        if not self._descriptors:
            self._descriptors = [os.open(file, os.O_RDONLY | os.O_CLOEXEC) for file in self._files]
        for descriptor in self._descriptors:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the descriptors, after SQLite has closed its own."""
        while self._descriptors:
            os.close(self._descriptors.pop())


def trusted_time(server_date: str | None, *, wall_ns: int, synchronised: bool | None) -> datetime | None:
    """Return the collector's time where the kernel holds its own to be right and both agree; else None: nothing expires."""
    seen = _parsed(server_date)
    if seen is None or not synchronised:
        return None
    return seen if abs(seen - datetime.fromtimestamp(wall_ns / 1e9, UTC)) < _AGREE else None


def is_older(server_date: str | None, now: datetime, *, days: int) -> bool:
    """Tell whether a bundle was confirmed more than so many days ago, by the collector's clock then and now."""
    confirmed = _parsed(server_date)
    return confirmed is not None and now - confirmed > timedelta(days=days)


def _parsed(server_date: str | None) -> datetime | None:
    """Read an HTTP date; None where there is none."""
    try:
        moment = parsedate_to_datetime(server_date or "")
    except (ValueError, IndexError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
