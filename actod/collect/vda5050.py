"""VDA 5050 (2.0, 2.1 and 3.0): who speaks, which order it works on, what is an intervention, which headerIds are missing.

The standard mandates QoS 0 for nearly all topics, so a gap in delivery shows only where the sender counts: `headerId` is a
uint32 per topic that grows by one with each message. A restart of the robot (a small number after a large one) is no
loss; the will of `connection` (CONNECTIONBROKEN) carries an old number and is exempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actod.model import TrafficClass

IDLE = "idle"
_UINT32 = 2**32
_LARGEST_GAP = 100_000  # beyond it a number is a restart, not a loss
_MOST_SENDERS = 4096
_MANUFACTURER, _SERIAL, _KIND = 2, 3, 4
_DONE = {"FINISHED", "FAILED"}
_BULK = {"visualization", "factsheet"}


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a message belongs. `robot` is the robot's own identity, None if the topic names none."""

    robot: str | None
    task_id: str | None
    traffic_class: TrafficClass | None
    timestamp: Any


class Vda5050:
    """Reads what the standard says about a message. Keeps per robot the order at work, and per topic the last headerId."""

    def __init__(self) -> None:
        self._tasks: dict[str, str] = {}
        self._header_ids: dict[tuple[str, str], int] = {}
        self._modes: dict[str, str] = {}
        self._gaps: Counter[str] = Counter()

    def place(self, levels: Sequence[str], data: dict[str, Any]) -> Placed:
        """Place one decoded message by topic levels (uagv/v2/<manufacturer>/<serial>/<kind>) and content."""
        kind = levels[_KIND] if len(levels) > _KIND else ""
        robot = f"{levels[_MANUFACTURER]}/{levels[_SERIAL]}" if len(levels) > _SERIAL else None
        if robot is None:
            return Placed(None, None, None, data.get("timestamp"))
        if len(self._tasks) > _MOST_SENDERS:
            self._tasks.clear()
        if kind == "state":
            self._tasks[robot] = _task(data)
        return Placed(robot, self._tasks.get(robot, IDLE), self._class(robot, kind, data), data.get("timestamp"))

    def count_gap(self, levels: Sequence[str], data: dict[str, Any], *, duplicate: bool, retained: bool, route: str) -> None:
        """Hold a message's headerId against the one before; what is missing is counted for the ledger."""
        number = data.get("headerId")
        if duplicate or retained or not isinstance(number, int) or len(levels) <= _KIND:
            return
        if levels[_KIND] == "connection" and data.get("connectionState") in {"CONNECTIONBROKEN", "CONNECTION_BROKEN"}:
            return
        sender = ("/".join(levels[_MANUFACTURER:_KIND]), levels[_KIND])
        before = self._header_ids.get(sender)
        if len(self._header_ids) >= _MOST_SENDERS:
            self._header_ids.clear()
        self._header_ids[sender] = number
        if before is None:
            return
        missing = (number - before - 1) % _UINT32
        if 0 < missing < _LARGEST_GAP:
            self._gaps[route] += missing

    def take_gaps(self) -> Counter[str]:
        """Hand over the missing messages by route since the last call."""
        gaps, self._gaps = self._gaps, Counter()
        return gaps

    def _class(self, robot: str, kind: str, data: dict[str, Any]) -> TrafficClass | None:
        if kind == "instantActions":
            return TrafficClass.INTERVENTION
        if kind in _BULK:
            return TrafficClass.BULK
        if kind != "state":
            return None
        mode = str(data.get("operatingMode", ""))
        changed = self._modes.get(robot, mode) != mode
        self._modes[robot] = mode
        safety = data.get("safetyState")
        if isinstance(safety, dict):
            stop = safety.get("eStop", safety.get("activeEmergencyStop", "NONE"))
            if stop != "NONE" or safety.get("fieldViolation") is True:
                return TrafficClass.INTERVENTION
        return TrafficClass.INTERVENTION if changed else None


def _task(state: dict[str, Any]) -> str:
    """Return the order's id while any of its nodes, edges or actions is not done, else `idle`."""
    order = state.get("orderId")
    if not isinstance(order, str) or not order:
        return IDLE
    actions = state.get("actionStates")
    open_actions = isinstance(actions, list) and any(
        isinstance(action, dict) and action.get("actionStatus") not in _DONE for action in actions
    )
    return order if state.get("nodeStates") or state.get("edgeStates") or open_actions else IDLE
