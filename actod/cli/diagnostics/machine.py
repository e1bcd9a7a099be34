"""Facts of the machine and its units: what of them tells nothing of whose it is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from actod.cli.diagnostics import words
from actod.cli.diagnostics.fields import Each, Shape, number, one_of
from actod.service.disk import disk_of
from actod.service.maintenance import LIMIT_DAYS
from actod.service.records import inventory

BOARDS = ("Raspberry Pi", "NVIDIA Jetson", "NVIDIA Orin")
_ROUNDS = [word for kind in LIMIT_DAYS for word in (f"actod-maintenance-{kind}.timer", f"actod-maintenance@{kind}.service")]
_UNITS = ("actod.service", "actod-signer.service", *_ROUNDS)
_PROPERTIES = (
    "Id ActiveState SubState Result LoadState UnitFileState NRestarts ExecMainStatus MemoryCurrent MemoryPeak TasksCurrent"
)
_NUMBERS = re.compile(r"\d+(\.\d+){0,3}")
_COMMAND_SECONDS = 8

MACHINE: dict[str, Shape] = {
    "board": one_of(BOARDS),
    "cpus": number,
    "memory_mib": number,
    "memory_free_mib": number,
    "load_1m": number,
    "uptime_seconds": number,
    "clock_synchronised": number,
    "disk": {
        "file_system": one_of(words.FILE_SYSTEMS),
        "encrypted": number,
        "read_only": number,
        "free_mib": number,
        "size_mib": number,
        "inodes_free": number,
    },
}
UNITS: Shape = Each(
    one_of(_UNITS),
    {
        **dict.fromkeys(("ActiveState", "SubState", "Result", "LoadState", "UnitFileState"), one_of(words.UNIT_WORDS)),
        **dict.fromkeys(("NRestarts", "ExecMainStatus", "MemoryCurrent", "MemoryPeak", "TasksCurrent"), number),
    },
)


def versions() -> dict[str, Any]:
    """Return versions; of the kernel's the numbers alone, since builders put names behind them."""
    found = inventory()
    kept = {name: _numbers(text) for name, text in found.items()}
    kept |= {"machine": found["machine"], "implementation": found["implementation"]}
    said = _said("systemctl", "--version")
    return kept | {"systemd": _numbers(said)}


def facts(state: Path | None, *, synchronised: bool | None, root: Path = Path("/")) -> dict[str, Any]:
    """Return facts of the machine, and of the disk of the state folder where that is known."""
    memory = dict(re.findall(r"^(\w+):\s+(\d+) kB$", (root / "proc/meminfo").read_text(encoding="ascii"), re.MULTILINE))
    try:
        model = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        model = ""
    found: dict[str, Any] = {
        "board": next((board for board in BOARDS if model.startswith(board)), None),
        "cpus": os.cpu_count(),
        "memory_mib": int(memory.get("MemTotal", 0)) // 1024,
        "memory_free_mib": int(memory.get("MemAvailable", 0)) // 1024,
        "load_1m": round(os.getloadavg()[0], 2),
        "uptime_seconds": int(float((root / "proc/uptime").read_text(encoding="ascii").split()[0])),
        "clock_synchronised": synchronised,
    }
    if state is not None and state.exists():
        disk, room = disk_of(state), os.statvfs(state)
        found["disk"] = {
            "file_system": disk.kind,
            "encrypted": disk.encrypted,
            "read_only": disk.read_only,
            "free_mib": room.f_bavail * room.f_frsize >> 20,
            "size_mib": room.f_blocks * room.f_frsize >> 20,
            "inodes_free": disk.inodes,
        }
    return found


def units() -> dict[str, Any]:
    """Return what systemd says of each unit."""
    shown = _said("systemctl", "show", f"--property={_PROPERTIES.replace(' ', ',')}", *_UNITS)
    found = {}
    for block in shown.strip().split("\n\n"):
        pairs = dict(line.partition("=")[::2] for line in block.splitlines())
        found[pairs.pop("Id", "")] = {name: int(text) if text.isdecimal() else text for name, text in pairs.items()}
    return found


def _numbers(text: str) -> str:
    found = _NUMBERS.search(text)
    return found[0] if found else ""


def _said(*command: str) -> str:
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=True, env=environment)  # noqa: S603 - fixed words
    return done.stdout
