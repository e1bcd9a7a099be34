"""The first process of a copy of this machine: `holder.py BASE PATH...` mounts it, says "ready", and lives until stdin ends.

Started by `unshare --mount --pid --net --uts --fork`. What is written goes to memory; of a PATH on another file system a
bind is there, too.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

_UP = 0x1  # IFF_UP, netdevice(7)


def mount(*arguments: str | Path) -> None:
    """Mount something."""
    subprocess.run(["mount", *arguments], check=True)


def loopback() -> None:
    """Bring up the loopback of this network namespace: its ports are all free."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", _UP))  # SIOCSIFFLAGS


def visible(root: Path, path: Path) -> None:
    """Have a folder of this machine in the copy, for every user, where the copy's layers do not reach it."""
    inside = root / path.relative_to("/")
    if not inside.exists() or not any(inside.iterdir()):
        inside.mkdir(parents=True, exist_ok=True)
        mount("--rbind", path, inside)
    for parent in inside.parents:
        if parent.is_relative_to(root) and parent.stat().st_mode & 0o5 != 0o5:
            parent.chmod(parent.stat().st_mode | 0o5)


def main() -> None:
    """Mount, change the root, and hold it."""
    base, paths = Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]]
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", base)
    upper, work, root = base / "upper", base / "work", base / "root"
    for folder in (upper, work, root):
        folder.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", "overlay", root)
    mount("-t", "proc", "proc", root / "proc")
    for name in ("dev", "sys"):
        mount("--rbind", f"/{name}", root / name)
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", root / "run")
    for path in paths:
        visible(root, path)
    loopback()
    socket.sethostname("robot-7")
    os.chroot(root)
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what is orphaned in here ends without a trace
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
