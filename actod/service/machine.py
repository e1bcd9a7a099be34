"""What this runs on, as digests: so that a cloned card and an image that was restored elsewhere are known for what they are.

The machine id comes with the image, the board's and the medium's serial numbers do not. Each is read where the kernel
shows it to any user, and leaves this file only as a digest that is made for actod: machine-id(5) asks for that.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_PURPOSE = b"actod:host:v1\n"
_MACHINE = ("etc/machine-id", "var/lib/dbus/machine-id")
_BOARD = (
    "sys/firmware/devicetree/base/serial-number",  # Raspberry Pi, Jetson
    "sys/class/dmi/id/product_uuid",  # PCs; for root alone
    "sys/class/dmi/id/board_serial",
)
_MEDIUM = ("device/cid", "device/serial", "serial", "device/wwid", "wwid")  # SD card and eMMC; NVMe; others
_DEEPEST = 8  # partition, LUKS, LVM, RAID


def host_facts(folder: Path, *, root: Path = Path("/")) -> dict[str, str]:
    """Return digests by name (machine, board, medium) of what can be read; `folder` lies on the medium."""
    disk = medium(root / "sys/dev/block", folder.stat().st_dev)
    found = {
        "machine": _first(root, _MACHINE),
        "board": _first(root, _BOARD),
        "medium": _first(disk, _MEDIUM) if disk is not None else b"",
    }
    return {name: _digest(name, text) for name, text in found.items() if text}


def medium(devices: Path, number: int) -> Path | None:
    """Return the folder in /sys of the medium below a device: partition, LUKS, LVM and RAID are looked through."""
    device = devices / f"{os.major(number)}:{os.minor(number)}"
    for _ in range(_DEEPEST):
        if not device.exists():
            return None
        device = device.resolve()
        if (device / "partition").exists():
            device = device.parent
        below = sorted((device / "slaves").iterdir()) if (device / "slaves").is_dir() else []
        if not below:
            return device
        device = below[0]
    return None


def _first(folder: Path, names: tuple[str, ...]) -> bytes:
    for name in names:
        try:
            text = (folder / name).read_bytes().strip(b"\0 \n")
        except OSError:
            continue
        if text.strip(b"0-"):  # boards without one say nothing but zeros
            return text
    return b""


def _digest(name: str, text: bytes) -> str:
    return hashlib.sha256(_PURPOSE + name.encode() + b"\n" + text).hexdigest()
