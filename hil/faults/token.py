"""A TPM that is away, locked, silent or slow. Collecting goes on, and what was collected is sealed afterwards."""

from __future__ import annotations

import random
import signal

from hil import chip
from hil.faults.scenario import Scenario
from hil.world import World

_WAITS = r"sealing waits for (the )?token"


def away(world: World, _chance: random.Random) -> None:
    """Take the chip away under the running signer."""
    chip.take_away(world.robot)


def back(world: World, _chance: random.Random) -> None:
    """Give it back."""
    chip.give_back(world.robot)


def lock(world: World, _chance: random.Random) -> None:
    """Lock it, and start the signer again: a signer that has its session would not notice."""
    chip.lock(world.robot, seconds=3600)
    world.robot.run("systemctl", "restart", "actod-signer", check=False)


def unlock(world: World, _chance: random.Random) -> None:
    """Forgive the failures."""
    chip.unlock(world.robot)


def silent(world: World, _chance: random.Random) -> None:
    """Let the chip answer nothing any more."""
    assert world.robot.vm is not None
    world.robot.vm.signal("swtpm", signal.SIGSTOP)


def speak(world: World, _chance: random.Random) -> None:
    """Let it answer again."""
    assert world.robot.vm is not None
    world.robot.vm.signal("swtpm", signal.SIGCONT)


def slow(world: World, _chance: random.Random) -> None:
    """Let it work an eighth of the time for half a minute."""
    chip.slow(world.robot, seconds=30)


SCENARIOS = (
    Scenario("tpm_away", away, back, named=_WAITS),
    Scenario("tpm_locked", lock, unlock, named=_WAITS),
    Scenario("tpm_silent", silent, speak, named=_WAITS, virtual=True),
    Scenario("tpm_slow", slow, virtual=True),
)
