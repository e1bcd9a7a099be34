"""What is done to the processes themselves: killed, stopped, reloaded, upgraded and set back while messages come in."""

from __future__ import annotations

import random

from hil.faults.scenario import HUNG, Act, Scenario
from hil.world import World

_KILLED = r"code=killed, status=9/KILL"  # systemd's words, in the unit's journal
_RELOADS = 15
_EXTRA = "/etc/actod/conf.d/95-rig.toml"


def _signal(unit: str, name: str) -> Act:
    def strike(world: World, _chance: random.Random) -> None:
        before = world.robot.shows(unit, "MainPID")
        world.robot.run("systemctl", "kill", "-s", name, unit)

        def another() -> bool:
            return world.robot.shows(unit, "MainPID") not in {before, "0"}

        world.site.wait(another, seconds=60, what=f"another process of {unit}")

    return strike


def reload(world: World, chance: random.Random) -> None:
    """Reload again and again, with good and with bad configurations."""
    robot = world.robot
    for _ in range(_RELOADS):
        good = chance.random() < 0.5
        robot.write(_EXTRA, f"[collector]\nrequest_timeout_seconds = {30.0 if good else -1.0}\n")
        done = robot.run("systemctl", "reload", "actod", check=False)
        assert (done.returncode == 0) == good, done.stderr


def settle(world: World, _chance: random.Random) -> None:
    """Take the last of them away, also where one was not taken as it should have been."""
    world.robot.remove(_EXTRA)
    world.robot.run("systemctl", "reload", "actod")


def _change(before: str, after: str) -> Act:
    """Install a version over the other one; whichever the scenarios before have left is not known."""

    def strike(world: World, _chance: random.Random) -> None:
        for version in (before, after):
            if not world.robot.run("dpkg-query", "-W", "-f", "${Version}", "actod").stdout.startswith(f"{version}+"):
                world.robot.run("apt-get", "install", "-y", "--allow-downgrades", world.site.package(version))

    return strike


SCENARIOS = (
    Scenario("daemon_killed", _signal("actod", "KILL"), named=_KILLED),
    Scenario("daemon_stopped", _signal("actod", "STOP"), named=HUNG),
    Scenario("signer_killed", _signal("actod-signer", "KILL"), named=_KILLED),
    Scenario("signer_stopped", _signal("actod-signer", "STOP"), named=HUNG),
    Scenario("reload_storm", reload, settle, messages=0),
    Scenario("upgrade", _change("0.1.0", "0.1.1")),
    Scenario("downgrade", _change("0.1.1", "0.1.0")),
)
