"""The machine that measured, by name, and the CPU time of processes on it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def named(folder: Path) -> dict[str, str]:
    """Say what machine this is. `folder` is where the stores lie."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith(("model name", "Model"))),
        platform.machine(),
    )
    memory_kib = next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal"))
    hypervisor = shutil.which("systemd-detect-virt")
    virtual = subprocess.run([hypervisor or "true", "--vm"], capture_output=True, text=True, check=False).stdout.strip()
    release = dict(line.split("=", 1) for line in _lines("/etc/os-release") if "=" in line)
    return {
        "cpu": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kib / 1024**2:.0f} GiB",
        "virtual": virtual or "unknown",
        "system": f"{release.get('PRETTY_NAME', '').strip(chr(34))}, Linux {platform.release().split('-')[0]}",
        "python": f"{platform.python_version()} {platform.machine()}",
        "libraries": f"SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}",
        "disk": _disk(folder),
    }


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its threads, ended ones too, in seconds: exact, not in ticks."""
    return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of another process: clock_getcpuclockid(3)


def pss_kib(pid: int) -> int:
    """Return the proportional set size in KiB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def alone_kib(pids: Iterable[int]) -> int:
    """Return what processes would take together if nothing else ran, in KiB: at least so much.

    Their proportional set size is less where others, of this measurement or not, use the same Python and libraries. Here a
    page that only they share, or that they share with others, counts once: of two that map one file, the larger part.
    """
    own_kib, shared_kib = 0, Counter[tuple[str, str, str]]()
    for pid in pids:
        file = ("", "", "")
        shared = Counter[tuple[str, str, str]]()
        for line in _lines(f"/proc/{pid}/smaps"):
            name, *words = line.split()
            if not name.endswith(":"):  # the head of a mapping: addresses, rights, offset, device, inode, path
                file = (words[2], words[3], words[1])
            elif name.startswith("Private_") and not name.startswith("Private_Hugetlb"):
                own_kib += int(words[0])
            elif name in {"Shared_Clean:", "Shared_Dirty:"}:
                shared[file] += int(words[0])
        shared_kib |= shared
    return own_kib + shared_kib.total()


def wake_ups(pid: int) -> int:
    """Return how often the threads of a process gave up the CPU by themselves: each is a wake-up."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        total += next(int(line.split()[1]) for line in _lines(status) if line.startswith("voluntary_ctxt_switches"))
    return total


def written_bytes(pid: int | str = "self") -> int:
    """Return what a process has sent to the block device, in bytes."""
    fields = dict(line.split(": ") for line in _lines(f"/proc/{pid}/io"))
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


def device_written_bytes(folder: Path) -> int:
    """Return what the block device below a folder has taken since the boot, from everybody; 0 where it is none."""
    number = folder.stat().st_dev
    stat = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    return int(stat.read_text(encoding="ascii").split()[6]) * 512 if stat.exists() else 0


def say(text: str) -> None:
    """Show progress."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def _disk(folder: Path) -> str:
    mount = max(
        (line.split()[:3] for line in _lines("/proc/mounts") if str(folder.resolve()).startswith(line.split()[1])),
        key=lambda fields: len(fields[1]),
    )
    return f"{mount[2]} on {mount[0]}"


def _lines(path: str | Path) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
