"""Steps of the wall clock, seen against the one that counts from boot: what dates the bundles that were sealed before.

A board without a clock of its own boots in 1970 or where it was switched off. Its bundles say so (`synchronised` false) and
carry the time since boot; the offset found later turns that into a date, for every bundle of the same boot.
"""

from __future__ import annotations

from typing import Any

from actod.ports import Clock

_STEP_NS = 1_000_000_000  # less is slewing, or a leap second


class ClockSteps:
    """Looks at the clock now and then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns, self._synchronised = self._read()

    def look(self) -> dict[str, Any] | None:
        """Return what to record if the clock was set, or came to be synchronised, since the last look; else None.

        `offset_ms` is wall minus monotonic time: that plus a bundle's monotonic_ms, in the boot `boot_id`, is when it was.
        """
        offset_ns, synchronised = self._read()
        stepped_ns = offset_ns - self._offset_ns
        gained = synchronised is True and self._synchronised is not True
        if abs(stepped_ns) < _STEP_NS and not gained:
            self._synchronised = synchronised
            return None  # the offset stays: small steps add up to one that is recorded
        self._offset_ns, self._synchronised = offset_ns, synchronised
        return {
            "boot_id": self._clock.boot_id(),
            "offset_ms": offset_ns // 1_000_000,
            "stepped_ms": stepped_ns // 1_000_000,
            "synchronised": synchronised,
        }

    def _read(self) -> tuple[int, bool | None]:
        now = self._clock.now()
        return now.wall_ns - now.monotonic_ns, self._clock.synchronised()
