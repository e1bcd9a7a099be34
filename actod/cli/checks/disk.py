"""The disk under the state folder: whether it lasts, how much it still takes, and who can read it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from actod.cli.checks.check import Check, Finding, doubt, ok, trouble
from actod.cli.checks.site import Site
from actod.cli.state import NotRunningError, RefusedError
from actod.service.machine import medium

_FEW_INODES = 1000
_WORN, _WEARING = 0x0A, 0x08  # tenths of the life of an eMMC that are used up: 90 to 100 %, 70 to 80 %
_URGENT = 3  # of pre_eol_info: 1 normal, 2 warning, 3 urgent
_MIB, _MB = 2**20, 1e6


def _folder(site: Site) -> Path:
    return site.existing(site.config.state_directory)


def _lasting(site: Site) -> Finding:
    disk, folder = site.disk(_folder(site)), site.config.state_directory
    if not disk.volatile:
        return ok(f"{folder} on {disk.kind}")
    if site.config.store.allow_volatile:
        return doubt(f"{folder} on {disk.kind}: {disk.volatile}, and store.allow_volatile asks for it")
    return trouble(f"{folder} on {disk.kind}: {disk.volatile}")


def _writable(site: Site) -> Finding:
    if site.disk(_folder(site)).read_only:
        return trouble(f"the disk of {site.config.state_directory} is mounted read-only: a card that fails is mounted so")
    return ok("mounted for writing")


def _encryption(site: Site) -> Finding:
    disk, folder = site.disk(_folder(site)), site.config.state_directory
    if disk.encrypted is None:
        return doubt(
            f"whether {folder} lies on an encrypted disk is not known: {disk.kind} does not say", "findmnt -T " + str(folder)
        )
    return ok(f"{folder} on an encrypted disk") if disk.encrypted else trouble(f"{folder} on a disk that is not encrypted")


def _space(site: Site) -> Finding:
    folder = _folder(site)
    free = os.statvfs(folder)
    free_bytes = free.f_bavail * free.f_frsize
    used = _used_bytes(folder) if folder == site.config.state_directory else 0
    wanted = max(0, site.config.store.max_bytes - used)
    detail = f"{free_bytes // _MIB} MiB free, store.max_bytes wants {wanted // _MIB} more"
    return trouble(detail) if free_bytes < wanted else ok(detail)


def _used_bytes(folder: Path) -> int:
    used = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # the daemon has just removed it
            used += file.lstat().st_size
    return used


def _inodes(site: Site) -> Finding:
    inodes = site.disk(_folder(site)).inodes
    if inodes is None:
        return ok("this file system does not count files")
    return trouble(f"room for {inodes} files") if inodes < _FEW_INODES else ok(f"room for {inodes} files")


def _wear(site: Site) -> Finding:
    device = medium(site.path("sys/dev/block"), _folder(site).stat().st_dev)
    life = [] if device is None else _numbers(device / "device" / "life_time")
    end = [] if device is None else _numbers(device / "device" / "pre_eol_info")
    a_day = _bytes_a_day(site)
    if not life and not end:
        return ok(f"this disk does not tell its wear{a_day}")
    used, urgency = max(life, default=0), max(end, default=0)
    detail = f"{min(10 * used, 100)} % of its life is used up at most, spare blocks: level {urgency} of {_URGENT}{a_day}"
    if used >= _WORN or urgency >= _URGENT:
        return trouble(detail)
    return doubt(detail) if used >= _WEARING or urgency == _URGENT - 1 else ok(detail)


def _numbers(file: Path) -> list[int]:
    try:
        return [int(word, 16) for word in file.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def _bytes_a_day(site: Site) -> str:
    try:
        written = site.status()["store"]["written_bytes_a_day"]
    except (NotRunningError, RefusedError):
        return ""
    return f"; actod has it write {written / _MB:.1f} MB a day" if written else ""


GROUP = "store"
CHECKS = (
    Check(
        id="disk-lasting",
        looks_at="file systems that a power cut or the end of a container empties: tmpfs, overlay",
        run=_lasting,
        mend="install -d -m 0700 -o actod FOLDER   # on a disk or a volume, and name it as state_directory",
    ),
    Check(
        id="disk-writable",
        looks_at="whether its disk is mounted read-only, which the kernel does to a card that fails",
        run=_writable,
        mend="dmesg | grep -i 'remount\\|i/o error'   # a new card; else mount -o remount,rw",
        elsewhere="fail",
    ),
    Check(
        id="disk-encryption",
        looks_at="whether the state folder lies on dm-crypt (LUKS), also below LVM",
        run=_encryption,
        mend="cryptsetup luksFormat DEVICE   # an empty one; then mount it at state_directory",
        elsewhere="ok",
    ),
    Check(
        id="disk-space",
        looks_at="free space against what store.max_bytes may still take",
        run=_space,
        mend="journalctl --vacuum-size=100M   # or a smaller max_bytes in [store]",
    ),
    Check(
        id="disk-inodes",
        looks_at="how many files its disk still takes; 1000 are few",
        run=_inodes,
        mend="du --inodes -x / | sort -n | tail   # and remove what is not needed",
    ),
    Check(
        id="disk-wear",
        looks_at="life_time and pre_eol_info of an eMMC or SD card; a warning from 70 % on; bytes written a day",
        run=_wear,
        mend="actod status   # plan a new card; fewer writes: max_hz and on_change of routes, intake.commit_interval_ms",
        prod="warn",
    ),
)
