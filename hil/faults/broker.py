"""A broker that is killed, away, or comes back with nothing."""

from __future__ import annotations

import random

from hil.faults.scenario import AWAY, Scenario
from hil.world import World


def restart(world: World, _chance: random.Random) -> None:
    """Kill it and start it again; what it had written it still has."""
    world.broker.restart()


def stop(world: World, _chance: random.Random) -> None:
    """End it."""
    world.broker.stop()


def start(world: World, _chance: random.Random) -> None:
    """Start it again."""
    world.broker.start()


def wipe(world: World, _chance: random.Random) -> None:
    """Kill it, take its store away, and start it: every session is forgotten, and what it held is lost, unacknowledged."""
    world.broker.kill()
    for file in world.broker.folder.glob("*.db*"):
        file.unlink()
    world.broker.start()


SCENARIOS = (
    Scenario("broker_restarted", restart),
    Scenario("broker_away", stop, start, messages=0, named=AWAY),
    Scenario("broker_wiped", wipe),
)
