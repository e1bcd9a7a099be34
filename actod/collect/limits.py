"""Limits: token buckets for each route and each robot, and an emergency brake for each route. Pure: time is passed in.

What holds:
- A limit of n in a span lets in at most n at once, and n more for each further span: at most n * (1 + t / span) in any
  time t. Interventions and safety may draw a quarter more (at least one message), so they are limited last.
- Time is the boot's monotonic clock: the wall clock may step as it likes.
- A message and its debt are written in one commit, so neither a kill nor a restart gives a token back. Within one boot
  the time that passed meanwhile counts; after a reboot it does not, since no clock can be trusted to tell it.
- A flood beyond `brake_factor` times a route's limit of a second closes the route for `brake_seconds`, and no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from actod.config import IntakeConfig, LimitConfig, RouteConfig
from actod.errors import RejectedError
from actod.model import Reading, TrafficClass

URGENT = frozenset({TrafficClass.INTERVENTION, TrafficClass.SAFETY})
_SECOND_NS = 1_000_000_000
_SPANS_NS = (_SECOND_NS, 60 * _SECOND_NS, 3600 * _SECOND_NS, 86_400 * _SECOND_NS)
_SETTLE_NS = 10_000_000  # how long what is free is believed: a message then costs a comparison, not four divisions
_URGENT_SHARE = 4
_DEVICE = ""  # the key of what no robot sent


class Bucket:
    """One limit in its four spans. A debt is in nanoseconds times n, so that a message costs a span, in whole numbers.

    Until `until_ns` a message may pass while `used` is below `free` (`free_urgent`); whoever lets it pass counts it in
    `used` and notes the time in `last_ns`.
    """

    __slots__ = ("_counts", "_debts_ns", "_settled_ns", "free", "free_urgent", "last_ns", "until_ns", "used")

    def __init__(self, limit: LimitConfig) -> None:
        self._counts = (limit.per_second, limit.per_minute, limit.per_hour, limit.per_day)
        self._debts_ns = [0, 0, 0, 0]
        self._settled_ns = self.until_ns = self.last_ns = self.used = self.free = self.free_urgent = 0

    def settle(self, now_ns: int) -> None:
        """Charge what was used since, all of it at the moment of the last: that errs to the side of the limit."""
        last_ns = max(self._settled_ns, self.last_ns)
        before_ns, after_ns = last_ns - self._settled_ns, max(0, now_ns - last_ns)
        used, free, free_urgent = self.used, [], []
        for index, (count, span_ns) in enumerate(zip(self._counts, _SPANS_NS, strict=True)):
            debt = max(0, self._debts_ns[index] - before_ns * count) + used * span_ns
            self._debts_ns[index] = debt = max(0, debt - after_ns * count)
            free.append((span_ns * count - debt) // span_ns)
            free_urgent.append((span_ns * (count + max(1, count // _URGENT_SHARE)) - debt) // span_ns)
        self.free, self.free_urgent = max(0, min(free)), max(0, min(free_urgent))
        self._settled_ns, self.until_ns, self.used = last_ns + after_ns, now_ns + _SETTLE_NS, 0

    def saved(self, now_ns: int) -> list[int]:
        """Return the debts as microseconds of waiting, rounded up: [now, second, minute, hour, day]."""
        self.settle(now_ns)
        self.until_ns = 0
        waits = [-(-debt // (count * 1000)) for debt, count in zip(self._debts_ns, self._counts, strict=True)]
        return [now_ns // 1000, *waits]

    def restore(self, saved: Sequence[int], now_ns: int, *, same_boot: bool) -> None:
        """Take debts back."""
        at_us, *waits_us = saved
        self._settled_ns = min(at_us * 1000 + 999, now_ns) if same_boot else now_ns
        self._debts_ns = [wait * count * 1000 for wait, count in zip(waits_us, self._counts, strict=True)]
        self.until_ns = 0


class Brake:
    """Closes a route when more than `most` messages came within a second."""

    __slots__ = ("_began_ns", "_closed_ns", "_most", "_seen", "until_ns")

    def __init__(self, most: int, closed_ns: int) -> None:
        self._most, self._closed_ns = most, closed_ns
        self._began_ns = self._seen = self.until_ns = 0

    def closes(self, count: int, now_ns: int) -> bool:
        """Count messages that arrived; return whether they are too many, for the first time since it was open."""
        if now_ns - self._began_ns >= _SECOND_NS:
            self._began_ns, self._seen = now_ns, 0
        self._seen += count
        if self._seen <= self._most or now_ns < self.until_ns:
            return False
        self.until_ns, self._seen = now_ns + self._closed_ns, 0
        return True


class Limits:
    """Holds readings to the limits. What it must not forget is `saved` with each commit and given back at the start.

    Memory is bounded by the routes of the configuration, and by the number of robots that the router lets in.
    """

    def __init__(self, *, intake: IntakeConfig, routes: Sequence[RouteConfig], on_event: Callable[..., None]) -> None:
        self._on_event = on_event
        self._robot_limit = intake.robot_limit
        closed_ns = int(intake.brake_seconds * _SECOND_NS)
        self._routes = {route.name: Bucket(route.limit) for route in routes}
        self._brakes = {route.name: Brake(route.limit.per_second * intake.brake_factor, closed_ns) for route in routes}
        self._robots: dict[str, Bucket] = {}
        self._touched: set[tuple[str, str]] = set()
        self._saved: dict[str, list[int]] = {}

    def take(self, reading: Reading) -> None:
        """Let one reading in, or raise RejectedError: "flood_brake" or "rate_limited"."""
        now_ns, name, robot_id = reading.received.monotonic_ns, reading.route, reading.robot_id or _DEVICE
        route, robot = self._routes[name], self._robots.get(robot_id)
        if (
            robot is None
            or now_ns >= route.until_ns
            or now_ns >= robot.until_ns
            or route.used >= route.free
            or robot.used >= robot.free
        ):
            robot = self._look_closely(reading, route)
        route.used += 1
        robot.used += 1
        route.last_ns = robot.last_ns = now_ns

    def _look_closely(self, reading: Reading, route: Bucket) -> Bucket:
        """Settle, count for the brake, and return the robot's bucket if the reading may pass. Raises RejectedError."""
        now_ns, name, robot_id = reading.received.monotonic_ns, reading.route, reading.robot_id or _DEVICE
        urgent, brake, robot = reading.traffic_class in URGENT, self._brakes[name], self._bucket("robot", robot_id)
        self._touched.update((("route", name), ("robot", robot_id)))
        passed = route.used if now_ns - route.last_ns < _SECOND_NS else 0
        route.settle(now_ns)
        robot.settle(now_ns)
        free = min(route.free_urgent, robot.free_urgent) if urgent else min(route.free, robot.free)
        if brake.closes(passed + (free < 1), now_ns):
            self._on_event("intake.braked", route=name, seconds=(brake.until_ns - now_ns) // _SECOND_NS)
        if now_ns < brake.until_ns:
            route.until_ns = 0  # each of them is looked at
            if not urgent:
                raise RejectedError("flood_brake")
        if free < 1:
            raise RejectedError("rate_limited")
        return robot

    def saved(self, now_ns: int) -> dict[str, list[int]]:
        """Return the debts that are not zero, and what is left of closed brakes, as JSON."""
        for kind, name in self._touched:
            debts = self._bucket(kind, name).saved(now_ns)
            if any(debts[1:]):
                self._saved[f"{kind}:{name}"] = debts
            else:
                self._saved.pop(f"{kind}:{name}", None)
        self._touched.clear()
        closed = {
            f"brake:{name}": [now_ns, brake.until_ns - now_ns]
            for name, brake in self._brakes.items()
            if brake.until_ns > now_ns
        }
        return self._saved | closed

    def restore(self, saved: Mapping[str, Any], now_ns: int, *, same_boot: bool) -> None:
        """Take back what `saved` returned. A route that is gone, and what is not of this form, is left out."""
        for key, numbers in saved.items():
            kind, _, name = key.partition(":")
            if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
                continue
            if kind == "brake" and name in self._brakes and len(numbers) == 2:  # noqa: PLR2004 - see `saved`
                passed_ns = max(0, now_ns - numbers[0]) if same_boot else 0
                self._brakes[name].until_ns = now_ns + numbers[1] - passed_ns
            elif len(numbers) == 1 + len(_SPANS_NS) and (kind == "robot" or name in self._routes):
                self._bucket(kind, name).restore(numbers, now_ns, same_boot=same_boot)
                self._touched.add((kind, name))

    def _bucket(self, kind: str, name: str) -> Bucket:
        return self._routes[name] if kind == "route" else self._robots.setdefault(name, Bucket(self._robot_limit))
