"""A TPM that is away, locked, silent, slow or replaced. Collecting goes on; what was collected is sealed afterwards."""

from __future__ import annotations

import random
import signal

from hil import chip
from hil.acceptance import read_pin
from hil.faults.scenario import Scenario
from hil.world import OPERATOR, World

_WAITS = r"sealing waits for (the )?token"
_TOOLS, _STATEMENT = "/usr/lib/actod/tpm", "/root/statement"


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


def replace(world: World, _chance: random.Random) -> None:
    """Put another chip beside the same card, as a new board has one: the key is gone for ever."""
    robot = world.robot
    assert robot.vm is not None
    robot.power_off()
    robot.vm.new_tpm()
    robot.power_on()


def adopt(world: World, _chance: random.Random) -> None:
    """Do what deploy/tpm/README.md and docs/keys.md say: a new token, and an operator's signature under its key."""
    robot, site = world.robot, world.site
    world.canaries.append(site.pin)  # the old one is not to be found either
    robot.run("systemctl", "stop", "actod-signer")
    robot.run(f"{_TOOLS}/unprovision", "tpm", "--destroy-keys")
    robot.run(f"{_TOOLS}/provision", "tpm", "--no-packages")
    read_pin(site)
    robot.run("systemctl", "restart", "actod-signer")
    prepare = ("actod", "keys", "adopt", "--operator", OPERATOR, "--out", _STATEMENT)
    site.wait(lambda: robot.run(*prepare, check=False).returncode == 0, seconds=60, what="a statement to be signed")
    signature = world.operator.sign(robot.run("cat", _STATEMENT).stdout.encode())
    robot.write(f"{_STATEMENT}.sig", signature)
    robot.run("actod", "keys", "adopt", "--signature", f"{_STATEMENT}.sig")


SCENARIOS = (
    Scenario("tpm_away", away, back, named=_WAITS),
    Scenario("tpm_locked", lock, unlock, named=_WAITS),
    Scenario("tpm_silent", silent, speak, named=_WAITS, virtual=True),
    Scenario("tpm_slow", slow, virtual=True),
    Scenario("tpm_replaced", replace, adopt, named=_WAITS, virtual=True),
)
