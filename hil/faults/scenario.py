"""What a scenario is: it strikes, lasts a while, and ends. While it lasts, actod has to name it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from hil.world import World

AWAY = r"[Tt]he broker is (away|not there)"  # of the journal, and of the unit's status
HUNG = r"Watchdog timeout"  # systemd's words, in the unit's journal
Act = Callable[[World, random.Random], None]


def nothing(_world: World, _chance: random.Random) -> None:
    """End a fault that has ended by itself."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A fault. It lasts until it was named, `messages` more were published and `seconds` are over; then `end` ends it.

    `named` is a regular expression that `actod why`, the unit's status or the journal since the strike must match
    meanwhile; empty where there is nobody to ask, or nothing to say.
    """

    name: str
    strike: Act
    end: Act = nothing
    named: str = ""
    messages: int = 50
    seconds: float = 0.0  # for what systemd's or the kernel's clock decides, at whatever rate messages come
    virtual: bool = False  # a board cannot be done this to
    reachable: bool = True  # where nobody can ask meanwhile, what it said to itself is read afterwards
