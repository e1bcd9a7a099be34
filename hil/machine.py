"""A Debian machine with a real systemd, in a container of systemd-nspawn: boots in a second, holds package and units.

The network, the kernel and the clock are the host's; the rest is its own, /tmp too. It needs root, systemd-container and
mmdebstrap; the root file system is made once for each release, and each machine gets a copy.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hil.rig import ROOT, wait_for

PACKAGES = "systemd,systemd-sysv,dbus,udev,mosquitto,softhsm2,python3,python3-systemd,openssl,ca-certificates,man-db"
_ROOTS = ROOT / ".cache" / "hil"


class Machine:
    """One machine. `run` is a command in it, as root; use `booted`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._process, self._leader = folder, None, 0

    def start(self) -> None:
        """Boot, and return when its systemd has come up."""
        with (self.folder.parent / f"{self.folder.name}.console").open("ab") as console:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                ["systemd-nspawn", "-q", "-D", str(self.folder), "--register=no", "--keep-unit", "-b"],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        wait_for(self._is_up, seconds=60, what="the container's systemd")

    def _is_up(self) -> bool:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii").split()
        if not children:
            return False
        self._leader = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in {"running", "degraded"}

    def run(
        self, *command: str, check: bool = True, text: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine."""
        environment = ["/usr/bin/env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"]
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", *environment, *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            sys.stderr.write(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}\n")
            done.check_returncode()
        return done

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file in the machine."""
        file = self.folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode)
        file.chmod(mode)
        file.write_text(text, encoding="utf-8")

    def copy(self, file: Path, path: str) -> None:
        """Copy a file into the machine."""
        (self.folder / path.lstrip("/")).write_bytes(file.read_bytes())

    def remove(self, path: str) -> None:
        """Remove a file of the machine's."""
        (self.folder / path.lstrip("/")).unlink(missing_ok=True)

    def shows(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def stop(self) -> None:
        """Shut down; what does not end is killed."""
        if self._process is None:
            return
        self.run("systemctl", "--no-block", "poweroff", check=False)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)


def root_of(release: str) -> Path:
    """Return the root file system of a release, made on first use."""
    root = _ROOTS / f"root-{release}"
    if not root.exists():
        for tool in ("mmdebstrap", "systemd-nspawn"):
            if shutil.which(tool) is None:
                raise FileNotFoundError(f"{tool} is missing: apt-get install mmdebstrap systemd-container")
        _ROOTS.mkdir(parents=True, exist_ok=True)
        new = root.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        subprocess.run(["mmdebstrap", "-q", "--variant=minbase", f"--include={PACKAGES}", release, str(new)], check=True)
        (new / "etc/machine-id").write_text("", encoding="ascii")  # each machine gets one of its own
        new.rename(root)
    return root


@contextlib.contextmanager
def booted(release: str) -> Iterator[Machine]:
    """Copy a root, boot it, and remove it afterwards."""
    folder = _ROOTS / f"machine-{release}-{time.time_ns()}"
    subprocess.run(["cp", "-a", "--reflink=auto", str(root_of(release)), str(folder)], check=True)
    machine = Machine(folder)
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()
        shutil.rmtree(folder, ignore_errors=True)
