"""A robot behind labgrid: the same commands, whether it is a virtual one or a board on a relay."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from labgrid import Environment, Target
from labgrid.protocol import PowerProtocol

from hil.rig import wait_for

OPTIONS = ("release", "architecture", "token", "host", "listen")  # of the environment file
_BOOT_SECONDS = 300


def environment_file(name: str) -> str:
    """Take an argument that names an environment file, as argparse's `type`."""
    if not Path(name).is_file():
        raise argparse.ArgumentTypeError(f"there is no environment file {name}; hil/*.yaml are some")
    return name


def robot_of(environment: Environment) -> Robot:
    """Return the robot of an environment file."""
    return Robot(environment.get_target("main"), {key: environment.config.get_option(key) for key in OPTIONS})


class Robot:
    """Commands run as root over SSH; power by the target's own switch. `vm` is the virtual robot, None for a board."""

    def __init__(self, target: Target, options: dict[str, Any]) -> None:
        self.options = options
        self._power = target.get_driver(PowerProtocol)
        self._ssh = target.get_driver("SSHDriver", activate=False)
        self._target = target
        self.vm = getattr(self._power, "vm", None)
        self.boots: list[float] = []

    def power_on(self) -> float:
        """Switch it on, and return the seconds until its systemd has come up."""
        return self.wait_up(self.switch_on())

    def switch_on(self) -> float:
        """Switch it on, and wait for nothing more than a virtual robot's kernel; return when the power came."""
        began = time.monotonic()
        self._power.on()
        return began if self.vm is None else float(self.vm.began)

    def hung(self) -> int:
        """Return how often the emulation hung before the robot's disk was read, and it was switched on again."""
        return 0 if self.vm is None else int(self.vm.hung)

    def power_off(self) -> None:
        """Take its power, as an accident does. A board's capacitors hold for a while: the switch's `delay` says how long."""
        self.hang_up()
        self._power.off()
        if self.vm is None:
            time.sleep(getattr(self._power, "delay", 0.0))  # labgrid waits only where it switches on again itself

    def wait_up(self, began: float | None = None) -> float:
        """Wait for SSH and for systemd to have come up; return the seconds since `began`, or since now."""
        began = began or time.monotonic()
        self.hang_up()

        def answers() -> bool:
            with contextlib.suppress(Exception):  # labgrid gives up in many ways
                self._target.activate(self._ssh)
                return True
            return False

        wait_for(answers, seconds=_BOOT_SECONDS, what="the robot's SSH server")
        self.run("systemctl", "is-system-running", "--wait", check=False, timeout=_BOOT_SECONDS)
        self.boots.append(time.monotonic() - began)
        return self.boots[-1]

    def hang_up(self) -> None:
        """Close the connection; the robot may be gone."""
        with contextlib.suppress(Exception):  # labgrid gives up in many ways
            self._target.deactivate(self._ssh)

    def run(
        self, *command: str, check: bool = True, text: str | bytes | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the robot."""
        done = self._call(shlex.join(command), given=text.encode() if isinstance(text, str) else text, timeout=timeout)
        if check and done.returncode:
            sys.stderr.write(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}\n")
            done.check_returncode()
        return done

    def _call(self, line: str, *, given: bytes | None, timeout: float) -> subprocess.CompletedProcess[str]:
        network = self._ssh.networkservice
        place = ["-p", str(network.port), "-l", network.username, network.address]
        options = ["-o", "ConnectTimeout=20", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        done = subprocess.run(
            ["ssh", "-x", *self._ssh.ssh_prefix, *options, *place, "--", line],
            **({"input": given} if given is not None else {"stdin": subprocess.DEVNULL}),
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        out, err = (said.decode("utf-8", "replace") for said in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(line, done.returncode, out, err)

    def write(self, path: str, text: str | bytes, *, mode: int = 0o644) -> None:
        """Write a file on the robot, on its disk before this returns."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, text=text)
        self.run("sync", path)

    def copy(self, file: Path, path: str) -> None:
        """Copy a file to the robot."""
        self.write(path, file.read_bytes())

    def remove(self, path: str) -> None:
        """Remove a file of the robot's."""
        self.run("rm", "-f", path)

    def shows(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def describe(self) -> str:
        """Name the machine, its kernel and its release, as a result has to."""
        model = "tr '\\0' '\\n' </proc/device-tree/model 2>/dev/null || systemd-detect-virt"
        line = f"{model}; uname -srm; . /etc/os-release; echo $PRETTY_NAME"
        return ", ".join(self.run("sh", "-c", line).stdout.split("\n")).strip(", ")
