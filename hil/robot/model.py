"""All that one site's robots and people say, second by second, by seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from hil.robot.people import People
from hil.robot.vda import Message, VdaRobot


class Site:
    """Two VDA 5050 robots (2.1 and 3.0), one arm with ROS-like sensors, and people."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.robots = [VdaRobot(2, "LiftCo", "AMR-7", chance), VdaRobot(3, "KoboAMR", "K3-12", chance)]
        self.people = People(chance)
        self._chance = chance
        self._number = 0

    def open(self, *, now: str) -> list[Message]:
        """Say that all are online."""
        return [robot.connection("ONLINE", now=now) for robot in self.robots]

    def close(self, *, now: str) -> list[Message]:
        """Say that all are offline."""
        return [robot.connection("OFFLINE", now=now) for robot in self.robots]

    def tick(self, *, now: str, seconds: float) -> Iterator[Message]:
        """Yield what is said at this moment, a tenth of a second's worth."""
        for robot in self.robots:
            yield from robot.step(now=now)
        yield "robot/arm-4/joint_states", self._joints(seconds)
        if self._chance.random() < 0.5:
            yield "robot/arm-4/scan", self._numbered(ranges=[round(1.5 + math.sin(seconds + i / 8), 3) for i in range(36)])
        if self._chance.random() < 0.2:
            yield self.people.note(self._next())
            yield self.people.badge(self._next())

    def _joints(self, seconds: float) -> dict[str, Any]:
        names = [f"joint_{index}" for index in range(6)]
        return self._numbered(
            header={"stamp": {"sec": int(seconds), "nanosec": int(seconds % 1 * 1e9)}, "frame_id": "base_link"},
            name=names,
            position=[round(math.sin(seconds + index), 6) for index in range(6)],
            effort=[round(30 * math.cos(seconds * index), 5) for index in range(6)],
        )

    def _numbered(self, **data: Any) -> dict[str, Any]:
        return {"n": self._next(), **data}

    def _next(self) -> int:
        self._number += 1
        return self._number
