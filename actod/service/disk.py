"""What the state folder lies on: a file system that outlives a power cut or not, encrypted or not, by the kernel's word."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_IN_MEMORY = {"tmpfs", "ramfs"}
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Disk:
    """`encrypted` is None where the kernel does not say: network and container file systems."""

    kind: str
    lasting: bool
    encrypted: bool | None


def disk_of(path: Path, *, mounts: Path = Path("/proc/self/mountinfo"), devices: Path = Path("/sys/dev/block")) -> Disk:
    """Describe the disk under a folder that is there."""
    kind, source = _mount(path.resolve(), mounts)
    try:
        number = Path(source).stat().st_rdev if source.startswith("/dev/") else path.stat().st_dev
    except OSError:
        number = path.stat().st_dev
    device = devices / f"{os.major(number)}:{os.minor(number)}"
    return Disk(kind, kind not in _IN_MEMORY, _encrypted(device) if device.exists() else None)


def _mount(path: Path, mounts: Path) -> tuple[str, str]:
    """Return (file system, source) of the mount that holds a path; proc(5): the last of the longest mount points."""
    best, found = -1, ("unknown", "")
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), before.split()[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            kind, source, *_ = after.split()
            best, found = len(point.parts), (kind, source)
    return found


def _encrypted(device: Path) -> bool:
    """Whether a block device is dm-crypt, or lies on devices that all are (LVM on LUKS)."""
    try:
        if (device / "dm" / "uuid").read_text(encoding="ascii").startswith("CRYPT-"):
            return True
    except OSError:
        pass  # no device-mapper device
    below = list((device / "slaves").iterdir()) if (device / "slaves").is_dir() else []
    return bool(below) and all(_encrypted(each) for each in below)
