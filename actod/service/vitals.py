"""How the machine fares, by psutil: an extra that is loaded only where health is reported."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actod.errors import ConfigError

_MIB = 1024 * 1024
_SENSORS = ("cpu_thermal", "coretemp", "k10temp", "soc_thermal", "CPU-therm")  # Raspberry Pi, PCs, Jetson


class Vitals:
    """Reads CPU, memory, disk, temperature, uptime and network. Raises ConfigError where psutil is missing."""

    def __init__(self, disk: Path) -> None:
        try:
            import psutil  # noqa: PLC0415 - only where it is wanted
        except ImportError as exc:
            raise ConfigError(
                key="fleet.api_key_file",
                expected="the extra that reads the machine's health",
                found="no psutil",
                fix="pip install 'actod[fleet]', or install python3-psutil",
            ) from exc
        self._psutil: Any = psutil
        self._disk = disk
        psutil.cpu_percent()  # the first reading is since then

    def read(self) -> dict[str, Any]:
        """Return health fields of the ACTO protocol; what this machine does not tell is left out."""
        found: dict[str, Any] = {}
        for part in (self._cpu, self._memory, self._storage, self._temperature, self._uptime, self._network):
            try:
                found |= part()
            except (OSError, AttributeError, ValueError, RuntimeError, self._psutil.Error):
                continue  # a sensor, or a file of /proc, that is not there
        return found

    def _cpu(self) -> Mapping[str, Any]:
        return {"cpu_percent": min(100.0, max(0.0, float(self._psutil.cpu_percent())))}

    def _memory(self) -> Mapping[str, Any]:
        memory = self._psutil.virtual_memory()
        used = {"memory_used_mb": int(memory.total - memory.available) // _MIB, "memory_total_mb": int(memory.total) // _MIB}
        return {"memory_percent": float(memory.percent), **used}

    def _storage(self) -> Mapping[str, Any]:
        seen = os.statvfs(self._disk)
        used = seen.f_blocks - seen.f_bfree
        return {"disk_percent": round(100 * used / (used + seen.f_bavail), 1)}

    def _temperature(self) -> Mapping[str, Any]:
        sensors = self._psutil.sensors_temperatures()
        name = next((name for name in _SENSORS if sensors.get(name)), "")
        return {"cpu_temperature": float(sensors[name][0].current)} if name else {}

    def _uptime(self) -> Mapping[str, Any]:
        return {"uptime_seconds": int(time.clock_gettime(time.CLOCK_BOOTTIME))}

    def _network(self) -> Mapping[str, Any]:
        up = [name for name, state in self._psutil.net_if_stats().items() if state.isup and name != "lo"]
        kinds = ("wifi", "ethernet", "cellular")
        kind = next((kind for kind in kinds for name in up if _kind(name) == kind), None)
        return {"network_connected": bool(up), **({"network_type": kind} if kind else {})}


def _kind(interface: str) -> str:
    """Name the kind of a network interface by the kernel's naming; "" for bridges, tunnels and the like."""
    prefixes: Mapping[str, tuple[str, ...]] = {"wifi": ("wl",), "ethernet": ("en", "eth"), "cellular": ("ww", "ppp")}
    return next((kind for kind, names in prefixes.items() if interface.startswith(names)), "")
