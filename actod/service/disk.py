"""What the state folder lies on: a file system that outlives a power cut or not, encrypted or not, by the kernel's word."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from actod.errors import ConfigError

_VOLATILE = {  # file system -> when it forgets
    "tmpfs": "it is memory: a power cut empties it",
    "ramfs": "it is memory: a power cut empties it",
    "overlay": "it is a layer over another disk, in memory or as old as the container",
    "aufs": "it is a layer over another disk, in memory or as old as the container",
}
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Disk:
    """`encrypted` is None where the kernel does not say: network and container file systems.

    `volatile` says when it forgets, "" if it does not. `read_only` is what a card that fails becomes.
    `inodes` is how many files it still takes, None if it does not count.
    """

    kind: str
    volatile: str
    encrypted: bool | None
    read_only: bool
    inodes: int | None


def disk_of(path: Path, *, mounts: Path = Path("/proc/self/mountinfo"), devices: Path = Path("/sys/dev/block")) -> Disk:
    """Describe the disk under a folder that is there."""
    kind, source, options = _mount(path.resolve(), mounts)
    try:
        number = Path(source).stat().st_rdev if source.startswith("/dev/") else path.stat().st_dev
    except OSError:
        number = path.stat().st_dev
    device = devices / f"{os.major(number)}:{os.minor(number)}"
    state = os.statvfs(path)
    return Disk(
        kind=kind,
        volatile=_VOLATILE.get(kind, ""),
        encrypted=is_encrypted(device) if device.exists() else None,
        read_only="ro" in options,
        inodes=state.f_favail if state.f_files else None,
    )


def require_lasting(folder: Path, *, environment: str, allowed: bool) -> None:
    """Refuse a state folder, in prod, on which nothing that is promised can be kept. Raises ConfigError."""
    disk = disk_of(folder)
    if environment == "prod" and disk.volatile and not allowed:
        raise ConfigError(
            key="state_directory",
            expected="a folder on a disk that a power cut does not empty",
            found=f"{folder} on {disk.kind}: {disk.volatile}",
            fix="name a folder on a disk, in a container on a volume; or ask for this one: allow_volatile = true in [store]",
        )


def _mount(path: Path, mounts: Path) -> tuple[str, str, list[str]]:
    """Return (file system, source, options) of the mount that holds a path: proc(5), the last of the longest."""
    best, found = -1, ("unknown", "", list[str]())
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= best:
            kind, source, *of_disk = after.split()
            best, found = len(point.parts), (kind, source, ",".join([fields[5], *of_disk]).split(","))
    return found


def is_encrypted(device: Path) -> bool:
    """Whether a block device is dm-crypt, or lies on devices that all are (LVM on LUKS)."""
    try:
        if (device / "dm" / "uuid").read_text(encoding="ascii").startswith("CRYPT-"):
            return True
    except OSError:
        pass  # no device-mapper device
    below = list((device / "slaves").iterdir()) if (device / "slaves").is_dir() else []
    return bool(below) and all(is_encrypted(each) for each in below)
