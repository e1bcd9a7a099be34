"""A robot's TPM taken away, locked and slowed: by the kernel's own means, so that it works on a board as well."""

from __future__ import annotations

import re
import signal
import time

from hil.target import Robot

_WRONG_PIN = "wrong-pin-4711"
_TCTI = "device:/dev/tpmrm0"
_LIMITS = (31, 600)  # what deploy/tpm/provision sets: failures, and seconds
_PLACE = "/etc/rig/chip"  # holds the driver's folder and the device's name, so that the chip is found again
_AWAY_AT_BOOT = """[Unit]
DefaultDependencies=no
Before=sysinit.target
ConditionPathExists=/etc/rig/chip

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'read driver device </etc/rig/chip && echo $device >$driver/unbind'

[Install]
WantedBy=sysinit.target
"""


def remember(robot: Robot) -> None:
    """Note where the chip's driver is, while there is a chip."""
    line = "echo $(readlink -f /sys/class/tpm/tpm0/device/driver) $(basename $(readlink -f /sys/class/tpm/tpm0/device))"
    robot.run("sh", "-c", f"mkdir -p /etc/rig && test -e /sys/class/tpm/tpm0 && {line} >{_PLACE} && sync {_PLACE}")


def take_away(robot: Robot) -> None:
    """Unbind the driver: /dev/tpmrm0 is gone, as if the module had come loose."""
    remember(robot)
    robot.run("sh", "-c", f"read driver device <{_PLACE}; echo $device >$driver/unbind")


def give_back(robot: Robot) -> None:
    """Bind the driver again, and forget a promise to take the chip away at each boot.

    A kernel that measures files (IMA) holds on to the chip's first number: until the next boot the chip has the second.
    """
    robot.run("sh", "-c", f"read driver device <{_PLACE}; test -e /dev/tpmrm0 || echo $device >$driver/bind; rm {_PLACE}")
    robot.run("udevadm", "settle")
    robot.run("sh", "-c", "test -e /dev/tpmrm0 || ln -s /dev/tpmrm1 /dev/tpmrm0")


def absent_at_boot(robot: Robot) -> None:
    """Have the chip taken away early in each boot, until it is given back."""
    remember(robot)
    robot.write("/etc/systemd/system/rig-chip.service", _AWAY_AT_BOOT)
    robot.run("systemctl", "enable", "rig-chip.service")
    robot.run("sync")


def is_there(robot: Robot) -> bool:
    """Whether the robot has its chip."""
    return robot.run("test", "-e", "/dev/tpmrm0", check=False).returncode == 0


def failures(robot: Robot) -> int:
    """Return how many wrong PINs and unclean stops the chip has counted and not yet forgiven."""
    said = robot.run("tpm2_getcap", "-T", _TCTI, "properties-variable").stdout
    found = re.search(r"LOCKOUT_COUNTER: (\S+)", said)
    assert found is not None, said
    return int(found[1], 0)


def lock(robot: Robot, *, seconds: int) -> None:
    """Lock the chip, as wrong PINs do, for at most this long."""
    library = robot.run("sh", "-c", "echo /usr/lib/*/libtpm2_pkcs11.so.1").stdout.strip()
    token = ("env", "TPM2_PKCS11_STORE=/var/lib/actod-token", f"TPM2_PKCS11_TCTI={_TCTI}", "TSS2_LOG=all+NONE")
    wrong = ("pkcs11-tool", "--module", library, "--token-label", "actod", "--login", "--pin", _WRONG_PIN, "--list-objects")
    robot.run("runuser", "-u", "actod-signer", "--", *token, *wrong, check=False)
    _protect(robot, failures=failures(robot), seconds=seconds)


def unlock(robot: Robot) -> None:
    """Forgive all failures, as an operator can who holds the lockout's secret, and set the usual limits."""
    robot.run("tpm2_dictionarylockout", "-T", _TCTI, "-c")
    _protect(robot, failures=_LIMITS[0], seconds=_LIMITS[1])


def _protect(robot: Robot, *, failures: int, seconds: int) -> None:
    limits = ("-s", "-n", str(failures), "-t", str(seconds), "-l", str(seconds))
    robot.run("tpm2_dictionarylockout", "-T", _TCTI, *limits)


def slow(robot: Robot, *, seconds: float, stopped: float = 1.5, going: float = 0.2) -> None:
    """Let the virtual chip work a little of the time only; a board's chip has its own pace."""
    assert robot.vm is not None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        robot.vm.signal("swtpm", signal.SIGSTOP)
        time.sleep(stopped)  # slowness is the fault
        robot.vm.signal("swtpm", signal.SIGCONT)
        time.sleep(going)
