"""From a raw delivery to a routed reading: decoding, limits, and whose message it is.

Payloads: a JSON object as it is; other JSON as {"value": ...}; text as {"text": ...}; anything else as its length and a
digest under a random key, never its bytes. What begins like a JSON object or array must be one: if it is not, or lies
outside the canonical domain, it is refused with that reason, since taking it for text would hide a sender's defect.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

from actod.collect.routes import Route, Routes
from actod.collect.runs import OVERFLOW, OpenRuns
from actod.collect.timestamps import utc
from actod.collect.vda5050 import Vda5050
from actod.config import DeviceConfig, IntakeConfig
from actod.errors import RejectedError
from actod.model import Delivery, Reading, TrafficClass
from actod.proof.decode import parse_json
from actod.proof.envelope import SAMPLED, iso

_OWN_TASK = "actod"  # of the records that the device makes of itself: nothing that arrives may pass for one
_LONGEST_ID = 128
_LONGEST_TOPIC = 1024
_MOST_ROBOTS = 4096
_SENDER_DIGITS = 12  # 48 bits tell thousands of senders apart, and each commit writes them
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")  # stands for a byte that was no UTF-8
_JSON_START = frozenset(b'{["-0123456789tfn')


class PayloadRouter:
    """Implements the Router port. `identities` maps the keyed digest of a robot's own identity to its robot_id."""

    def __init__(
        self, *, routes: Routes, device: DeviceConfig, intake: IntakeConfig, identities: dict[str, str], digest_key: bytes
    ) -> None:
        self._routes, self._intake, self._key = routes, intake, digest_key
        self._named = dict(device.robots)
        self._identities = dict(identities)
        self._new: dict[str, str] = {}
        self._runs = OpenRuns(intake)
        self._overflow = OpenRuns(intake)  # a robot's overflow is a bundle, too: beyond the bound it is the device's
        self._vda = Vda5050(lambda topic: self._digest(topic)[:_SENDER_DIGITS])
        self.overflowed = 0  # readings that went to the overflow run since the start
        self._last_run: dict[str | None, tuple[str | None, str, str | None]] = {}

    def adopt(self, *, routes: Routes, device: DeviceConfig, intake: IntakeConfig) -> None:
        """Take other routes, names and limits, between two groups; open runs and senders' numbers go on."""
        self._routes, self._intake, self._named = routes, intake, dict(device.robots)

    def route(self, delivery: Delivery) -> Reading:
        """Decode and place one delivery. Raises RejectedError with the counted reason; a defect of ours is one, too."""
        try:
            return self._routed(delivery)
        except RejectedError:
            raise
        except Exception as exc:  # noqa: BLE001 - a message that nobody thought of must not stop the daemon
            kind = type(exc).__name__
        raise RejectedError("route_failed", kind)  # outside of the handler: what was caught may carry content

    def _routed(self, delivery: Delivery) -> Reading:
        if delivery.copy:
            raise RejectedError(SAMPLED + "overlap")
        route = self._routes.find(delivery.topic)
        if route is None:
            raise RejectedError("no_route")
        if delivery.oversize_bytes or len(delivery.payload) > self._intake.largest_payload_bytes:
            raise RejectedError("too_large")
        if len(delivery.topic) > _LONGEST_TOPIC or _SURROGATE.search(delivery.topic):
            raise RejectedError("bad_topic")
        data = self._decode(delivery.payload)
        levels = delivery.topic.split("/")
        robot, task_id, traffic_class, timestamp = self._place(route, levels, data, delivery)
        run_id = _identifier(route.run_id(levels, data), "run_id")
        if robot is None and task_id == _OWN_TASK:
            raise RejectedError("bad_task_id", "the device's own records bear this name")
        robot_id = self._robot_id(robot)
        run = (robot_id, task_id, run_id)
        now_ns = delivery.received.monotonic_ns
        last = self._last_run.get(robot_id)
        if last is not None and last != run:
            self._runs.end(last, now_ns)
        if self._runs.admit((*run, traffic_class), now_ns):
            self._last_run[robot_id] = run
        else:
            task_id, run_id = OVERFLOW, OVERFLOW
            self.overflowed += 1
            if not self._overflow.admit((robot_id, OVERFLOW, OVERFLOW, traffic_class), now_ns):
                robot_id = None
        return Reading(
            robot_id=robot_id,
            task_id=task_id,
            run_id=run_id,
            timestamp=utc(timestamp) or iso(delivery.received.wall_ns),
            topic=delivery.topic,
            data=data,
            route=route.name,
            mask_profile=route.mask_profile,
            traffic_class=traffic_class,
            received=delivery.received,
            packet_id=delivery.packet_id,
            duplicate=delivery.duplicate,
            retained=delivery.retained,
        )

    def describe(self, topic: str) -> tuple[str, str]:
        """Name (route, traffic class) of what came under a topic and was refused."""
        return self._routes.describe(topic)

    def header_ids(self) -> dict[str, int]:
        """Return the numbers that senders counted last, for the same commit as their messages."""
        return self._vda.header_ids()

    def restore_header_ids(self, header_ids: Mapping[str, int]) -> None:
        """Go on where an earlier run's last commit was."""
        self._vda.restore(header_ids)

    def new_identities(self) -> dict[str, str]:
        """Hand over the robots named since the last call."""
        new, self._new = self._new, {}
        return new

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over what the ledger must know: the gaps that senders' own numbers show."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for route, missing in self._vda.take_gaps().items():
            counts["sender_gap", str(TrafficClass.NORMAL), route] += missing
        return counts

    def _decode(self, payload: bytes) -> dict[str, Any]:
        stripped = payload.lstrip(b" \t\r\n")
        if stripped[:1] in {b"{", b"["}:
            value = parse_json(payload, max_depth=self._intake.max_depth)
            return value if isinstance(value, dict) else {"value": value}
        if stripped and stripped[0] in _JSON_START:
            try:
                return {"value": parse_json(payload, max_depth=self._intake.max_depth)}
            except RejectedError as refusal:
                if refusal.reason not in {"not_json", "not_utf8", "too_deep"}:  # a log line may be full of brackets
                    raise
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if _NOT_TEXT.search(text):
            return {"bytes": len(payload), "digest": self._digest(payload)}
        return {"text": text}

    def _place(
        self, route: Route, levels: list[str], data: dict[str, Any], delivery: Delivery
    ) -> tuple[str | None, str, TrafficClass, Any]:
        """Return (robot's own identity, task_id, class, timestamp as found)."""
        robot = _identifier(route.robot_id(levels, data), "robot_id")
        task_id = _identifier(route.task_id(levels, data), "task_id") or "idle"
        traffic_class, timestamp = route.traffic_class, route.timestamp(levels, data)
        if route.profile:
            placed = self._vda.place(levels, data)
            robot = robot or placed.robot
            task_id = _identifier(placed.task_id, "task_id") or task_id
            traffic_class = placed.traffic_class or traffic_class
            timestamp = placed.timestamp if timestamp is None else timestamp
            self._vda.count_gap(levels, data, duplicate=delivery.duplicate, retained=delivery.retained, route=route.name)
        return robot, task_id, traffic_class, timestamp

    def _robot_id(self, robot: str | None) -> str | None:
        """Return the id that stands for a robot: the operator's, or one drawn at random once."""
        if robot is None:
            return None
        if chosen := self._named.get(robot) or self._named.get(robot.rpartition("/")[2]):
            return chosen
        digest = self._digest(robot.encode())
        known = self._identities.get(digest)
        if known is None:
            if len(self._identities) >= _MOST_ROBOTS:
                raise RejectedError("too_many_robots")
            known = self._identities[digest] = self._new[digest] = f"r-{secrets.token_hex(8)}"
        return known

    def _digest(self, data: bytes) -> str:
        return hashlib.blake2b(data, key=self._key, digest_size=32).hexdigest()


def _identifier(value: Any, name: str) -> str | None:
    """Return an id as text; numbers become text, an empty one is none. Raises RejectedError("bad_<name>")."""
    if value is None or value == "":
        return None
    if isinstance(value, int | str) and not isinstance(value, bool) and len(str(value)) <= _LONGEST_ID:
        return str(value)
    raise RejectedError(f"bad_{name}", f"an id is text of at most {_LONGEST_ID} characters, or a whole number")
