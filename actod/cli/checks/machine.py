"""The machine: its clock, its memory on disk, its versions, and who else is on it."""

from __future__ import annotations

import platform
import re
import sqlite3
import ssl
import sys
from pathlib import Path

from actod import __version__
from actod.cli.checks.check import Check, Finding, doubt, ok, skip, trouble
from actod.cli.checks.site import DAEMON, SIGNER, Site
from actod.service.disk import is_encrypted

_LEAST_SYSTEMD, _LEAST_PYTHON, _LEAST_OPENSSL, _LEAST_SQLITE = 250, (3, 11), (3, 0), (3, 34)
_SYSTEMD = ("usr/lib/systemd", "lib/systemd", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/aarch64-linux-gnu/systemd")
_TIME_SERVICES = ("systemd-timesyncd", "chrony", "chronyd", "ntp", "ntpd", "ntpsec", "openntpd")
_GROUPS = {"actod": {"actod"}, "actod-signer": {"actod", "actod-signer"}, "tss": {"actod-signer", "tss"}}


def _clock(site: Site) -> Finding:
    synchronised = site.clock.synchronised()
    if synchronised is None:
        return doubt("whether it is synchronised is not known: the kernel may not be asked", "timedatectl timesync-status")
    if synchronised:
        return ok(f"synchronised, {site.now:%Y-%m-%d %H:%M} UTC")
    return trouble(f"not synchronised, {site.now:%Y-%m-%d %H:%M} UTC: bundles say so, and pins and certificates cannot end")


def _time_service(site: Site) -> Finding:
    enabled = [name for name in _TIME_SERVICES if site.starts_at_boot(f"{name}.service")]
    return ok(", ".join(enabled)) if enabled else trouble("no service that sets the clock starts at boot")


def _holds(site: Site, key: str, value: str) -> bool:
    """Whether each unit that we need is installed and has a setting."""
    names = (DAEMON,) if site.config.signer.spawn else (DAEMON, SIGNER)
    units = [site.unit(name) for name in names]
    return all(unit is not None and unit.last(key) == value for unit in units)


def _swap(site: Site) -> Finding:
    areas = [line.split()[0] for line in site.text("proc/swaps").splitlines()[1:] if line.strip()]
    plain = [area for area in areas if not _is_safe(site, Path(area))]
    if not plain:
        return ok(f"{', '.join(areas)}: in memory or encrypted" if areas else "there is none")
    if _holds(site, "MemorySwapMax", "0"):
        return ok(f"{', '.join(plain)} is not encrypted, and the units may not use it")
    return trouble(f"{', '.join(plain)} is not encrypted: keys, and what was not masked yet, can be written there")


def _is_safe(site: Site, area: Path) -> bool:
    device = site.path("sys/class/block") / area.name
    if area.is_relative_to("/dev"):
        if area.name.startswith("zram"):  # in memory, but for what it may write back to a disk
            return site.text(f"sys/class/block/{area.name}/backing_dev").strip() in {"", "none"}
        return device.exists() and is_encrypted(device.resolve())
    return site.path(area).exists() and site.disk(site.path(area)).encrypted is True


def _core_dumps(site: Site) -> Finding:
    pattern = site.text("proc/sys/kernel/core_pattern").strip()
    names_by_pid = site.text("proc/sys/kernel/core_uses_pid").strip()
    if pattern == "|/bin/false" or (not pattern and names_by_pid == "0"):
        return ok("the kernel writes none")
    if _holds(site, "LimitCORE", "0"):
        return ok("the units may write none")
    if not pattern and not names_by_pid:
        return doubt("where core files go is not known: the kernel does not say")
    return trouble(f"core files go to {pattern[:60]!r}: keys, and what was not masked yet, would be in them")


def _versions(site: Site) -> Finding:
    systemd = _systemd(site)
    openssl, sqlite = ssl.OPENSSL_VERSION_INFO[:2], sqlite3.sqlite_version_info[:2]
    detail = (
        f"actod {__version__}, Python {platform.python_version()}, systemd {systemd or 'not found'}, "
        f"OpenSSL {openssl[0]}.{openssl[1]}, SQLite {sqlite3.sqlite_version}"
    )
    old = [f"systemd {systemd} is older than {_LEAST_SYSTEMD}"] if systemd and systemd < _LEAST_SYSTEMD else []
    for name, has, least in (
        ("Python", sys.version_info[:2], _LEAST_PYTHON),
        ("OpenSSL", openssl, _LEAST_OPENSSL),
        ("SQLite", sqlite, _LEAST_SQLITE),
    ):
        if has < least:
            old.append(f"{name} is older than {least[0]}.{least[1]}")
    return trouble(f"{', '.join(old)} ({detail})") if old else ok(detail)


def _systemd(site: Site) -> int | None:
    """Return systemd's version by the name of its library, None where there is none."""
    found = [file.name for folder in _SYSTEMD for file in site.path(folder).glob("libsystemd-shared-*.so")]
    numbers = [int(match[1]) for name in found if (match := re.match(r"libsystemd-shared-(\d+)", name))]
    return max(numbers, default=None)


def _user(site: Site) -> Finding:
    """Look for running daemons: a process whose command is actod, and its word run or signer."""
    seen = 0
    for process in site.path("proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            status = (process / "status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if not _is_ours(words):
            continue
        seen += 1
        uid = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
        if uid is not None and uid[1] == "0":
            return trouble(f"process {process.name} (actod {words[-2].decode(errors='replace')[:20]}) runs as root")
    return ok("none of ours runs as root") if seen else ok("none of ours runs")


def _is_ours(words: list[bytes]) -> bool:
    places = [index for index, word in enumerate(words[:3]) if word.rpartition(b"/")[2] == b"actod"]
    return bool(places) and any(word in {b"run", b"signer"} for word in words[places[0] + 1 : places[0] + 2])


def _members(site: Site) -> Finding:
    found = 0
    numbers = {}
    for line in site.text("etc/group").splitlines():
        name, _, number, members = [*line.split(":"), "", "", ""][:4]
        if name not in _GROUPS:
            continue
        found += 1
        numbers[number] = name
        others = {member for member in members.split(",") if member} - _GROUPS[name]
        if others:
            return _stranger(min(others), name)
    for line in site.text("etc/passwd").splitlines():
        user, _, _, number = [*line.split(":"), "", "", ""][:4]
        if number in numbers and user not in _GROUPS[numbers[number]]:
            return _stranger(user, numbers[number])
    return ok("nobody else is in them") if found else skip("there is no such group")


def _stranger(user: str, group: str) -> Finding:
    return trouble(
        f"{user} is in the group {group}: the signer's socket, or the TPM, is open to that user",
        f"gpasswd -d {user} {group}",
    )


GROUP = "machine"
CHECKS = (
    Check(
        id="clock",
        looks_at="whether the kernel holds the clock to be synchronised",
        run=_clock,
        mend="timedatectl set-ntp true",
        prod="warn",
    ),
    Check(
        id="time-service",
        looks_at="whether a service that sets the clock starts at boot (systemd-timesyncd, chrony, ntp)",
        run=_time_service,
        mend="timedatectl set-ntp true",
        elsewhere="ok",
        prod="warn",
    ),
    Check(
        id="swap",
        looks_at="swap that is not encrypted, and whether the units may use it (MemorySwapMax=0)",
        run=_swap,
        mend="systemctl revert actod actod-signer   # or swapoff -a",
        elsewhere="ok",
    ),
    Check(
        id="core-dumps",
        looks_at="where the kernel writes core files, and whether the units may have some (LimitCORE=0)",
        run=_core_dumps,
        mend="systemctl revert actod actod-signer   # or sysctl kernel.core_pattern='|/bin/false'",
        elsewhere="ok",
    ),
    Check(
        id="versions",
        looks_at="actod, Python 3.11, systemd 250, OpenSSL 3.0, SQLite 3.34 or newer",
        run=_versions,
        mend="apt-get dist-upgrade   # to a release of docs/platforms.md",
        elsewhere="fail",
    ),
    Check(
        id="daemon-user",
        looks_at="whether a daemon or signer that runs has a user of its own, and not root",
        run=_user,
        mend="systemctl revert actod actod-signer && systemctl restart actod actod-signer",
        elsewhere="ok",
    ),
    Check(
        id="group-members",
        looks_at="other users in the groups actod, actod-signer and tss",
        run=_members,
        mend="gpasswd -d USER GROUP",
    ),
)
