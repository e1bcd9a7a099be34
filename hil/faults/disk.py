"""A card that is full, read-only, or broken; and memory that is short."""

from __future__ import annotations

import random
import signal

from hil.faults import power
from hil.faults.scenario import HUNG, Scenario
from hil.world import World

_FILL = "/root/rig-fill"
_STALLS_SECONDS = 130.0  # WatchdogSec= of actod.service is 120; journald, which has 180, should not be ended too
_REFUSES = r"disk refuses|disk_full|intake:full|read-only|read_only|waits for room|No space"


def fill(world: World, _chance: random.Random) -> None:
    """Leave the daemon's user not one block."""
    world.robot.run("sh", "-c", f"fallocate -l $(df --output=avail -B1 / | tail -1) {_FILL}; sync; df -B1 /")


def empty(world: World, _chance: random.Random) -> None:
    """Make room."""
    world.robot.run("rm", _FILL)


def read_only(world: World, _chance: random.Random) -> None:
    """Let the kernel find an error in the file system: everything is read-only, whoever has files open.

    The sysrq key does not do for this: after it, ext4 says of each fsync that it is done, and does nothing.
    """
    world.robot.run("sh", "-c", "echo rig >/sys/fs/ext4/$(basename $(findmnt -no SOURCE /))/trigger_fs_error; sleep 2")


def boot(world: World, chance: random.Random) -> None:
    """Take the power and boot: such a file system is not mounted for writing before it was checked."""
    power.cut(world, chance)
    power.come_back(world, chance)


def writes_fail(world: World, _chance: random.Random) -> None:
    """Let each write to the card fail; the kernel gives the file system up."""
    assert world.robot.vm is not None
    world.robot.vm.break_writes(broken=True)


def new_start(world: World, chance: random.Random) -> None:
    """Take the power, mend the card, and boot: the file system is checked on the way."""
    power.cut(world, chance)
    assert world.robot.vm is not None
    world.robot.vm.break_writes(broken=False)
    power.come_back(world, chance)


def stall(world: World, _chance: random.Random) -> None:
    """Let the card answer nothing: whoever writes waits for it, and the watchdog has to see that."""
    assert world.robot.vm is not None
    world.robot.vm.signal("nbdkit", signal.SIGSTOP)


def go_on(world: World, _chance: random.Random) -> None:
    """Let it answer again."""
    assert world.robot.vm is not None
    world.robot.vm.signal("nbdkit", signal.SIGCONT)


def press(world: World, _chance: random.Random) -> None:
    """Take most of the memory for a while, swap included."""
    hungry = "import time; taken = bytearray(560 << 20); time.sleep(20)"
    world.robot.run("systemd-run", "-q", "--wait", "-p", "OOMScoreAdjust=900", "python3", "-c", hungry, check=False)


SCENARIOS = (
    Scenario("disk_full", fill, empty, named=_REFUSES),
    Scenario("disk_read_only", read_only, boot, named=_REFUSES),
    Scenario("disk_errors", writes_fail, new_start, messages=100, virtual=True),
    Scenario("disk_stalls", stall, go_on, seconds=_STALLS_SECONDS, named=HUNG, virtual=True, reachable=False),
    Scenario("memory_pressure", press),
)
