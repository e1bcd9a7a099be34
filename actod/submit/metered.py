"""When bulk may leave: at certain hours, or over a link that costs nothing. Everything else always may."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actod.ports import Clock
from actod.submit.backoff import parse_date
from actod.submit.guard import trusted_time

ROUTES_FILE = Path("/proc/net/route")
_DEFAULT, _UP, _HOST_MASK = "00000000", 0x1, "00000000"
_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of the day in minutes after midnight, UTC; it may go over midnight."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Hours:
        """Read "22:00-06:00". Raises ValueError."""
        first, _, last = text.partition("-")
        return cls(_minutes(first), _minutes(last))

    def hold(self, when: datetime) -> bool:
        """Tell whether a moment lies in the span."""
        minute = when.hour * 60 + when.minute
        return self.first <= minute < self.last if self.first < self.last else minute >= self.first or minute < self.last


def _minutes(text: str) -> int:
    hour, colon, minute = text.partition(":")
    good = colon and len(hour) == len(minute) == 2 and (hour + minute).isascii() and (hour + minute).isdigit()  # noqa: PLR2004
    if not good or int(hour) > 23 or int(minute) > 59:  # noqa: PLR2004 - a clock's face
        raise ValueError("a time of day is written as 22:00")
    return int(hour) * 60 + int(minute)


class TrustedTime:
    """UTC as far as it is known: the synchronised clock, else the newest Date seen under the pin and the time since."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: tuple[datetime, int] | None = None

    def saw(self, date: str) -> None:
        """Note a Date that came under the pin just now."""
        when = parse_date(date)
        if when is not None:
            self._seen = (when, self._clock.now().monotonic_ns)

    def now(self) -> datetime | None:
        """Return the time, None if nobody knows it."""
        now = trusted_time(self._clock)
        if now is not None or self._seen is None:
            return now
        when, at_ns = self._seen
        return (when + timedelta(seconds=(self._clock.now().monotonic_ns - at_ns) / 1e9)).astimezone(UTC)


def default_interface(routes: str) -> str:
    """Return the interface of the default route with the lowest metric, from the text of /proc/net/route; "" if none."""
    best: tuple[int, str] | None = None
    for line in routes.splitlines()[1:]:
        words = line.split()
        if len(words) < _COLUMNS or words[1] != _DEFAULT or words[7] != _HOST_MASK or not int(words[3], 16) & _UP:
            continue
        found = (int(words[6]), words[0])
        best = found if best is None else min(best, found)
    return best[1] if best else ""


class BulkGate:
    """Says whether bulk may leave now. Without hours and interfaces it always may."""

    def __init__(self, *, hours: str, interfaces: Sequence[str], time: TrustedTime, routes_file: Path = ROUTES_FILE) -> None:
        self._hours = Hours.parse(hours) if hours else None
        self._interfaces, self._time, self._routes_file = tuple(interfaces), time, routes_file

    def is_open(self) -> bool:
        """Tell whether it is one of the hours, or the default route is one of the interfaces."""
        if self._hours is None and not self._interfaces:
            return True
        if self._hours is not None and (now := self._time.now()) is not None and self._hours.hold(now):
            return True
        return bool(self._interfaces) and self._on_free_link()

    def _on_free_link(self) -> bool:
        try:
            interface = default_interface(self._routes_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return False
        return any(fnmatch.fnmatchcase(interface, pattern) for pattern in self._interfaces) if interface else False
