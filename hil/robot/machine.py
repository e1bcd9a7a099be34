"""The robot itself: it drives orders, loads, fails, is stopped and driven by hand. No messages here, and no clock.

Words are those of VDA 5050 3.0; the older version's messages translate them. All chance comes from one seeded source.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

_SPEED = 1.4  # metres a second
_FINISHED = {"FINISHED", "FAILED"}
_NEXT = {"WAITING": "INITIALIZING", "INITIALIZING": "RUNNING", "RUNNING": "FINISHED"}


@dataclass
class Action:
    """One action of a node, and how far it is."""

    action_id: str
    kind: str
    station: str
    status: str = "WAITING"
    since: float = 0.0


@dataclass
class Node:
    """A node of the order. Its sequence id is even, those of edges are odd."""

    node_id: str
    sequence: int
    x: float
    y: float
    released: bool
    actions: list[Action] = field(default_factory=list)


@dataclass
class Edge:
    """The way from one node to the next."""

    edge_id: str
    sequence: int
    start: str
    end: str
    released: bool


@dataclass
class Fault:
    """An error that the robot reports until it is over. Its text is made when it is first reported: it may never be."""

    kind: str
    level: str
    make_text: Callable[[], str]
    node: str
    until: float

    @functools.cached_property
    def text(self) -> str:
        """What it says."""
        return self.make_text()


@dataclass(frozen=True)
class Command:
    """What the fleet control sends: an order (action empty), or an instant action, with a text if one is to be made."""

    action: str = ""
    action_id: str = ""
    make_text: Callable[[], str] | None = None


class Machine:
    """One vehicle. `advance` moves it on; `commands` and `changed` are for the caller to take and reset."""

    def __init__(self, *, chance: random.Random, fault_text: Callable[[], str], busy: float = 1.0) -> None:
        self._chance, self._fault_text, self._busy = chance, fault_text, busy
        self.now, self._orders, self._actions = 0.0, 0, 0
        self.order_id, self.order_update = "", 0
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []
        self.all_nodes: list[Node] = []
        self.all_edges: list[Edge] = []
        self.actions: list[Action] = []
        self.instant: list[Action] = []
        self.last_node, self.last_sequence = "n-0", 0
        self.x, self.y, self.theta, self.speed, self.travelled = 0.0, 0.0, 0.0, 0.0, 0.0
        self.driving = self.paused = self.charging = self.field_violation = False
        self.mode, self.stop, self.battery = "AUTOMATIC", "NONE", 87.0
        self.loads: list[tuple[str, float]] = []
        self.faults: list[Fault] = []
        self.commands: list[Command] = []
        self.changed = False
        self._hand_until, self._next_trouble, self._idle_until = 0.0, 4.0, 0.5

    def advance(self, now: float) -> None:
        """Live until `now` (seconds), in steps of at most a tenth of a second."""
        while now - self.now > 1e-9:
            step = min(0.1, now - self.now)
            self.now += step
            self._trouble()
            self.faults = [fault for fault in self.faults if fault.until > self.now]
            if self.now < self._hand_until:
                self.speed, self.driving = 0.0, False
                continue
            if self.mode != "AUTOMATIC" or self.stop != "NONE" or self.paused or self.field_violation:
                self.mode, self.stop, self.paused, self.field_violation, self.changed = (
                    "AUTOMATIC",
                    "NONE",
                    False,
                    False,
                    True,
                )
            self._work(step)

    def _work(self, step: float) -> None:
        self.battery = min(100.0, max(5.0, self.battery + step * (0.5 if self.charging else -0.05)))
        if not self.nodes and all(action.status in _FINISHED for action in self.actions):
            self.speed, self.driving = 0.0, False
            if self.now >= self._idle_until:
                self._take_order()
            return
        waiting = next((action for action in self.actions if action.status not in _FINISHED and self._is_here(action)), None)
        if waiting is not None:
            self.speed, self.driving = 0.0, False
            self._act(waiting)
        elif self.nodes:
            self._drive(step)

    def _take_order(self) -> None:
        """Receive the next order: a way over three to six nodes, something to do at some of them."""
        self._orders += 1
        self.order_id, self.order_update = f"order-{self._chance.getrandbits(32):08x}-{self._orders}", 0
        x, y, count = self.x, self.y, self._chance.randint(3, 6)
        self.all_nodes, self.all_edges, self.actions = [], [], []
        for index in range(count):
            released = index < count - 1 or self._chance.random() < 0.8
            node = Node(f"n-{self._chance.randint(1, 400)}", 2 * index, round(x, 3), round(y, 3), released)
            if index and self._chance.random() < 0.6:
                self._actions += 1
                kind = "drop" if self.loads else self._chance.choice(["pick", "pick", "startCharging", "finePositioning"])
                node.actions.append(Action(f"action-{self._orders}-{self._actions}", kind, f"station-{node.node_id}"))
            if self.all_nodes:
                before = self.all_nodes[-1]
                name = f"e-{before.node_id}-{node.node_id}"
                self.all_edges.append(Edge(name, 2 * index - 1, before.node_id, node.node_id, released))
            self.all_nodes.append(node)
            x += self._chance.uniform(-4, 4) / self._busy
            y += self._chance.uniform(-4, 4) / self._busy
        self.actions = [action for node in self.all_nodes for action in node.actions]
        self.nodes, self.edges = list(self.all_nodes), list(self.all_edges)
        self.commands.append(Command())
        self.changed = True

    def _is_here(self, action: Action) -> bool:
        return action.station == f"station-{self.last_node}"

    def _act(self, action: Action) -> None:
        duration = 0.8 / self._busy
        if self.now - action.since < duration and action.since:
            return
        following = _NEXT[action.status]
        if following == "FINISHED":
            if self._chance.random() < 0.08:
                following = "FAILED"
                self.faults.append(Fault("actionFailed", "WARNING", self._fault_text, self.last_node, self.now + 3))
            else:
                self._done(action)
        action.status, action.since, self.changed = following, self.now, True
        self._rest()

    def _done(self, action: Action) -> None:
        if action.kind == "pick":
            self.loads.append((f"load-{self._chance.getrandbits(24):06x}", round(self._chance.uniform(5, 450), 1)))
        elif action.kind == "drop" and self.loads:
            self.loads.pop()
        self.charging = action.kind == "startCharging"

    def _rest(self) -> None:
        if not self.nodes and all(action.status in _FINISHED for action in self.actions):
            self._idle_until = self.now + self._chance.uniform(0.2, 2.0) / self._busy

    def _drive(self, step: float) -> None:
        target = self.nodes[0]
        if not target.released:
            for node in self.nodes:
                node.released = True
            for edge in self.edges:
                edge.released = True
            self.order_update += 1
            self.commands.append(Command())
            self.changed = True
        dx, dy = target.x - self.x, target.y - self.y
        distance, reach = math.hypot(dx, dy), _SPEED * step
        if distance > reach:
            self.charging, self.driving, self.speed = False, True, _SPEED
            self.theta = math.atan2(dy, dx)
            self.x += dx / distance * reach
            self.y += dy / distance * reach
            self.travelled += reach
            return
        self.x, self.y, self.travelled, self.changed = target.x, target.y, 0.0, True
        self.last_node, self.last_sequence = target.node_id, target.sequence
        self.nodes.pop(0)
        self.edges = [edge for edge in self.edges if edge.sequence > target.sequence]
        self._rest()

    def _trouble(self) -> None:
        """Every few seconds something human or bad happens."""
        if self.now < self._next_trouble:
            return
        self._next_trouble = self.now + self._chance.uniform(3, 9) / self._busy
        kind = self._chance.choice(["hand", "stop", "field", "error", "instant", "pause"])
        length = self._chance.uniform(0.6, 1.8)
        if kind == "hand":
            self.mode, self._hand_until = (
                self._chance.choice(["MANUAL", "SERVICE", "INTERVENED", "TEACH_IN"]),
                self.now + length,
            )
        elif kind == "stop":
            self.stop, self._hand_until = self._chance.choice(["MANUAL", "REMOTE"]), self.now + length
        elif kind == "field":
            self.field_violation, self._hand_until = True, self.now + length
        elif kind == "error":
            level = self._chance.choice(["WARNING", "WARNING", "URGENT", "CRITICAL", "FATAL"])
            self.faults.append(Fault("localizationError", level, self._fault_text, self.last_node, self.now + length))
        else:
            self._instant(kind, length)
        self.changed = True

    def _instant(self, kind: str, length: float) -> None:
        self._actions += 1
        name = "startPause" if kind == "pause" else self._chance.choice(["stateRequest", "factsheetRequest", "logReport"])
        action = Action(f"instant-{self._actions}", name, "", "FINISHED", self.now)
        self.instant = [*self.instant[-3:], action]
        self.commands.append(Command(name, action.action_id, self._fault_text if name == "logReport" else None))
        if kind == "pause":
            self.paused, self._hand_until = True, self.now + length
