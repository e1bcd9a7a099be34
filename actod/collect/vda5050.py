"""VDA 5050 (2.0, 2.1 and 3.0): who speaks, which order it works on, what is an intervention, which headerIds are missing.

The standard mandates QoS 0 for nearly all topics, so a gap in delivery shows only where the sender counts: `headerId` is a
uint32 per topic that grows by one with each message. A restart of the robot (a small number after a large one) is no
loss; the will of `connection` (CONNECTIONBROKEN, since 3.0 CONNECTION_BROKEN) carries an old number and is exempt.
"""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from actod.model import TrafficClass

IDLE = "idle"
_UINT32 = 2**32
_LARGEST_GAP = 100_000  # beyond it a number is a restart, not a loss
_MOST_SENDERS = 4096  # then the oldest is forgotten: a publisher of endless serial numbers must not fill the memory
_MOST_SAVED = 256  # senders, those that spoke last: they are written with each commit
_MANUFACTURER, _SERIAL, _KIND = 2, 3, 4
_DONE = ("FINISHED", "FAILED")  # a tuple asks whether it is equal: what a message holds may be a list, which has no hash
_BULK = {"visualization", "factsheet"}
_BY_ITSELF = {"AUTOMATIC", "STARTUP"}  # in any other mode a person has the say
_WILL = ("CONNECTIONBROKEN", "CONNECTION_BROKEN")  # likewise

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a message belongs. `robot` is the robot's own identity, None if the topic names none."""

    robot: str | None
    task_id: str | None
    traffic_class: TrafficClass | None
    timestamp: Any


@dataclass(slots=True)
class _Robot:
    task_id: str = IDLE
    mode: str = ""


class Vda5050:
    """Reads what the standard says about a message. Keeps per robot the order at work, and per topic the last headerId.

    `digest` stands for a topic where the last headerIds are written: a topic names who sent it, and is not masked yet.
    """

    def __init__(self, digest: Callable[[bytes], str]) -> None:
        self._digest = digest
        self._robots: dict[str, _Robot] = {}
        self._senders: dict[str, str] = {}
        self._header_ids: OrderedDict[str, int] = OrderedDict()
        self._gaps: Counter[str] = Counter()

    def place(self, levels: Sequence[str], data: dict[str, Any]) -> Placed:
        """Place one decoded message by topic levels (uagv/v2/<manufacturer>/<serial>/<kind>) and content."""
        timestamp = data.get("timestamp")
        if len(levels) <= _SERIAL:
            return Placed(None, None, None, timestamp)
        kind = levels[_KIND] if len(levels) > _KIND else ""
        name = f"{levels[_MANUFACTURER]}/{levels[_SERIAL]}"
        robot = self._robots.get(name)
        if robot is None:
            robot = _put(self._robots, name, _Robot())
        if kind == "state":
            return Placed(name, _task(robot, data), _class_of_state(robot, data), timestamp)
        task_id = robot.task_id
        if kind == "order" and isinstance(data.get("orderId"), str):
            task_id = data["orderId"] or task_id  # what begins a task belongs to it, though the robot has not spoken yet
        traffic_class = TrafficClass.INTERVENTION if kind == "instantActions" else None
        return Placed(name, task_id, TrafficClass.BULK if kind in _BULK else traffic_class, timestamp)

    def count_gap(self, levels: Sequence[str], data: dict[str, Any], *, duplicate: bool, retained: bool, route: str) -> None:
        """Hold a message's headerId against the one before; what is missing is counted for the ledger."""
        number = data.get("headerId")
        if retained or type(number) is not int or not 0 <= number < _UINT32 or len(levels) <= _KIND:
            return
        if levels[_KIND] == "connection" and data.get("connectionState") in _WILL:
            return
        topic = "/".join(levels[: _KIND + 1])
        sender = self._senders.get(topic)
        if sender is None:
            sender = _put(self._senders, topic, self._digest(topic.encode("utf-8", "surrogatepass")))
        before = self._header_ids.get(sender)
        if before is None:
            _put(self._header_ids, sender, number)
            return
        ahead = (number - before) % _UINT32
        if duplicate and ahead != 1:  # we have it already, unless the connection broke between broker and us
            return
        self._header_ids[sender] = number
        self._header_ids.move_to_end(sender)
        if 1 < ahead <= _LARGEST_GAP:
            self._gaps[route] += ahead - 1

    def header_ids(self) -> dict[str, int]:
        """Return the numbers that senders counted last, by digest: those that spoke last, and not more than is small."""
        newest = itertools.islice(reversed(self._header_ids.items()), _MOST_SAVED)
        return dict(reversed(list(newest)))

    def restore(self, header_ids: Mapping[str, int]) -> None:
        """Go on where an earlier run's last commit was: what is missing since was lost while nobody was here."""
        self._header_ids.update(header_ids)

    def take_gaps(self) -> Counter[str]:
        """Hand over the missing messages by route since the last call."""
        gaps, self._gaps = self._gaps, Counter()
        return gaps


def _put(known: dict[Key, Value], key: Key, value: Value) -> Value:
    """Add to a bounded memory."""
    if len(known) >= _MOST_SENDERS:
        del known[next(iter(known))]
    known[key] = value
    return value


def _task(robot: _Robot, state: dict[str, Any]) -> str:
    """Return the order's id while a node, edge or action of it is not done, and for the state that says so; else `idle`."""
    order, before = state.get("orderId"), robot.task_id
    if not isinstance(order, str) or not order:
        order = IDLE
    actions = state.get("actionStates")
    open_actions = isinstance(actions, list) and any(
        isinstance(action, dict) and action.get("actionStatus") not in _DONE for action in actions
    )
    at_work = bool(state.get("nodeStates") or state.get("edgeStates") or open_actions)
    robot.task_id = order if at_work else IDLE
    return order if order == before else robot.task_id


def _class_of_state(robot: _Robot, state: dict[str, Any]) -> TrafficClass | None:
    """Return `intervention` where a person took or gave back the say, where the robot is stopped, or somebody too near."""
    mode, before = state.get("operatingMode"), robot.mode
    if isinstance(mode, str) and mode:
        robot.mode = mode
        if mode != before and (before or mode not in _BY_ITSELF):
            return TrafficClass.INTERVENTION
    safety = state.get("safetyState")
    if not isinstance(safety, dict):
        return None
    stop = safety.get("eStop", safety.get("activeEmergencyStop", "NONE"))  # until 2.1, since 3.0
    return TrafficClass.INTERVENTION if stop != "NONE" or safety.get("fieldViolation") is True else None
