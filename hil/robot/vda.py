"""A VDA 5050 robot on missions, in versions 2.1 and 3.0, with messages typed after the standard."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict

Message = tuple[str, dict[str, Any]]
_STEPS_A_NODE = 10


class Header(TypedDict):
    """What every message begins with; `headerId` grows by one per topic."""

    headerId: int
    timestamp: str
    version: str
    manufacturer: str
    serialNumber: str


@dataclass
class Mission:
    """One order: nodes to pass and an action at its end. `left` nodes are still ahead."""

    order_id: str
    nodes: list[str]
    left: int
    action: str
    running: int = 2  # states that the action stays RUNNING after the last node

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.left == 0 and self.running == 0


@dataclass
class VdaRobot:
    """Publishes state, visualization and connection. `major` is 2 or 3."""

    major: int
    manufacturer: str
    serial: str
    chance: random.Random
    headers: Counter[str] = field(default_factory=Counter)
    mission: Mission | None = None
    orders: int = 0
    charge: float = 88.0
    x: float = 0.0
    steps: int = 0

    def topic(self, kind: str) -> str:
        """Return the topic of a kind of message."""
        prefix = "uagv/v2" if self.major == 2 else "vda5050/v3"
        return f"{prefix}/{self.manufacturer}/{self.serial}/{kind}"

    def connection(self, state: str, *, now: str) -> Message:
        """Say that the robot is ONLINE or OFFLINE."""
        return self.topic("connection"), {**self._header("connection", now), "connectionState": state}

    def step(self, *, now: str) -> Iterator[Message]:
        """Move on, and yield a state and a visualization."""
        self._advance()
        yield self.topic("state"), self._state(now)
        yield self.topic("visualization"), self._visualization(now)

    def _header(self, kind: str, now: str) -> Header:
        self.headers[kind] += 1
        return Header(
            headerId=self.headers[kind],
            timestamp=now,
            version="2.1.0" if self.major == 2 else "3.0.0",
            manufacturer=self.manufacturer,
            serialNumber=self.serial,
        )

    def _advance(self) -> None:
        self.x += self.chance.uniform(0.01, 0.15)
        self.charge = max(12.0, self.charge - 0.01)
        self.steps += 1
        if self.steps % _STEPS_A_NODE:
            return
        mission = self.mission
        if mission is None or mission.done:
            if self.chance.random() < 0.6:
                self.orders += 1
                nodes = [f"node_{self.chance.randint(1, 400)}" for _ in range(self.chance.randint(3, 8))]
                self.mission = Mission(f"order-{self.serial}-{self.orders}", nodes, len(nodes), "pick")
        elif mission.left:
            mission.left -= 1
        else:
            mission.running -= 1

    def _state(self, now: str) -> dict[str, Any]:
        mission = self.mission
        ahead = mission.nodes[-mission.left :] if mission and mission.left else []
        passed = len(mission.nodes) - len(ahead) if mission else 0
        status = "WAITING" if ahead else ("RUNNING" if mission and mission.running else "FINISHED")
        v2 = self.major == 2
        mode = "MANUAL" if self.chance.random() < 0.02 else "AUTOMATIC"
        stop = "MANUAL" if self.chance.random() < 0.01 else "NONE"
        state: dict[str, Any] = {
            **self._header("state", now),
            "orderId": mission.order_id if mission else "",
            "orderUpdateId": 0,
            "lastNodeId": mission.nodes[passed - 1] if mission and passed else "",
            "lastNodeSequenceId": passed * 2,
            "driving": bool(ahead),
            "operatingMode": mode,
            "nodeStates": [
                {"nodeId": node, "sequenceId": (passed + index) * 2, "released": True} for index, node in enumerate(ahead)
            ],
            "edgeStates": [
                {"edgeId": f"edge_{node}", "sequenceId": (passed + index) * 2 + 1, "released": True}
                for index, node in enumerate(ahead[1:])
            ],
            "velocity": {"vx": round(self.chance.uniform(0, 1.6), 3), "vy": 0.0, "omega": 0.01},
            "loads": [{"loadId": f"pallet-{self.orders}", "loadType": "EPAL", "weight": 312.5}] if mission else [],
            "actionStates": [{"actionId": f"{mission.order_id}-a", "actionType": mission.action, "actionStatus": status}]
            if mission
            else [],
            "errors": [],
            "information": [],
            "safetyState": {("eStop" if v2 else "activeEmergencyStop"): stop, "fieldViolation": False},
        }
        charge = round(self.charge, 2)
        if v2:
            state["batteryState"] = {"batteryCharge": charge, "batteryVoltage": 48.2, "charging": False}
            state["agvPosition"] = {**self._place(), "positionInitialized": True}
        else:
            state["powerSupply"] = {"stateOfCharge": charge, "batteryVoltage": 48.2, "charging": False}
            state["instantActionStates"] = []
            state["mobileRobotPosition"] = {**self._place(), "localized": True}
        if self.chance.random() < 0.05:
            state["errors"].append(
                {
                    "errorType": "laneBlocked",
                    "errorLevel": "WARNING",
                    "errorReferences": [{"referenceKey": "nodeId", "referenceValue": "node_7"}],
                }
            )
        return state

    def _visualization(self, now: str) -> dict[str, Any]:
        message: dict[str, Any] = {**self._header("visualization", now), "velocity": {"vx": 0.8, "vy": 0.0, "omega": 0.0}}
        if self.major == 2:
            message["agvPosition"] = {**self._place(), "positionInitialized": True}
        else:
            message["referenceStateHeaderId"] = self.headers["state"]
            message["mobileRobotPosition"] = {**self._place(), "localized": True}
        return message

    def _place(self) -> dict[str, Any]:
        return {"x": round(self.x, 4), "y": round(self.x / 3, 4), "theta": 0.5, "mapId": "hall-9"}
