"""The battery's charge, as the robot's own messages tell it."""

from __future__ import annotations

import math
from typing import Any

from actod.config import FleetConfig
from actod.model import MaskedReading, Reading
from actod.ports import Clock, Masker

_STALE_SECONDS = 600.0  # an older value is no longer the battery's
_FULL = 100.0


class BatteryWatch:
    """Implements the Masker port around another one: looks for two values in one route's readings, and keeps the last."""

    def __init__(self, masker: Masker, *, fleet: FleetConfig, clock: Clock) -> None:
        self._masker, self._fleet, self._clock = masker, fleet, clock
        self._seen: tuple[int, dict[str, Any]] | None = None

    def mask(self, reading: Reading) -> MaskedReading:
        """Look, and have the other mask. See the port."""
        if reading.route == self._fleet.battery_route:
            charge = _at(reading.data, self._fleet.charge_pointer)
            charging = _at(reading.data, self._fleet.charging_pointer)
            if isinstance(charge, int | float) and not isinstance(charge, bool) and math.isfinite(charge):
                found: dict[str, Any] = {"battery_percent": min(_FULL, max(0.0, float(charge)))}
                found |= {"battery_charging": charging} if isinstance(charging, bool) else {}
                self._seen = (self._clock.now().monotonic_ns, found)
        return self._masker.mask(reading)

    def read(self) -> dict[str, Any]:
        """Return battery_percent and battery_charging, as far as they are known and not too old."""
        if self._seen is None or (self._clock.now().monotonic_ns - self._seen[0]) / 1e9 > _STALE_SECONDS:
            return {}
        return self._seen[1]


def _at(value: Any, pointer: str) -> Any:
    """Return what a JSON Pointer names (members of objects only), None if there is nothing."""
    for part in pointer.split("/")[1:]:
        if not isinstance(value, dict):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value
