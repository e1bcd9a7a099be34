"""Power taken, taken again while the robot comes up, and the reset button."""

from __future__ import annotations

import random
import time

from hil.faults.scenario import Scenario
from hil.world import World

_LOOPS = 3


def cut(world: World, _chance: random.Random) -> None:
    """Take the power at once: what was not flushed is gone."""
    world.robot.power_off()


def come_back(world: World, _chance: random.Random) -> None:
    """Give the power back, and wait until the robot is up."""
    world.robot.power_on()


def brown_out(world: World, chance: random.Random) -> None:
    """Cut, and cut again in the middle of each recovery."""
    robot = world.robot
    robot.power_off()
    for _ in range(_LOOPS):
        robot.switch_on()
        time.sleep(chance.uniform(4, 14))  # the moment of the cut is the experiment
        robot.power_off()


def reset(world: World, _chance: random.Random) -> None:
    """Press the reset button: memory is gone, the disk's cache is not."""
    robot = world.robot
    assert robot.vm is not None
    robot.hang_up()
    robot.vm.reset()


def boot(world: World, _chance: random.Random) -> None:
    """Wait until the robot is up."""
    world.robot.wait_up()


SCENARIOS = (
    Scenario("power_cut", cut, come_back, messages=20),
    Scenario("brown_out", brown_out, come_back, messages=0),
    Scenario("reset", reset, boot, messages=0, virtual=True),
)
