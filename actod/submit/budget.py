"""How many requests and bytes may leave, by the monotonic clock: pace by the second, windows by the minute, hour and day.

The pace follows the server: halved when it says "slow down", raised gently as it accepts. A window is strict: over any
span of its length no more leaves than it allows. All times are monotonic nanoseconds. Pure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from actod.config import CollectorConfig

_BURST_REQUESTS = 4.0  # at once; the server allows 20
_BURST_SECONDS = 2.0  # of bytes, at once
_SLOTS = 60  # of a window: what it counts is forgotten in steps
_BACK_OFF, _BACK_OFF_GENTLY = 0.5, 0.8  # with the second a link that cuts a quarter of all requests costs little pace
_SPEED_UP = 0.2  # of the pace, with each receipt: relative, so that a fleet of any size finds its level
_STEADY = 0.1  # of the limit, at most
_START = 1 / 512  # of the limit: what a long outage leaves; it takes ten minutes to be at full speed again
_AHEAD = 100  # a hundredth of a window may be used before the file must say so


class Bucket:
    """`rate_per_second` in the long run, `burst` at once. What is larger than the burst is let through whole, as a debt."""

    def __init__(self, *, rate_per_second: float, burst: float, now_ns: int) -> None:
        if rate_per_second <= 0 or burst <= 0:
            raise ValueError("a bucket needs a rate and a burst above 0")
        self.rate_per_second, self._burst, self._most = rate_per_second, burst, burst
        self._tokens, self._at_ns = burst, now_ns

    def wait_seconds(self, amount: float, now_ns: int) -> float:
        """Return how long it is until so much may leave (0.0: now)."""
        self._fill(now_ns)
        return max(0.0, (min(amount, self._burst) - self._tokens) / self.rate_per_second)

    def take(self, amount: float, now_ns: int) -> None:
        """Note that so much leaves now."""
        self._fill(now_ns)
        self._tokens -= amount

    def change(self, rate_per_second: float) -> None:
        """Take another rate, with a burst in proportion: at half the rate no more than half comes at once, but one may."""
        self._burst = max(1.0, min(self._most, self._burst * rate_per_second / self.rate_per_second))
        self.rate_per_second = rate_per_second
        self._tokens = min(self._tokens, self._burst)

    def _fill(self, now_ns: int) -> None:
        elapsed_seconds = max(now_ns - self._at_ns, 0) / 1e9
        self._at_ns = max(now_ns, self._at_ns)
        self._tokens = min(self._burst, self._tokens + elapsed_seconds * self.rate_per_second)


class Window:
    """At most `most` over any span of `seconds`. `key` is the configuration key that sets it."""

    def __init__(self, *, key: str, seconds: int, most: int) -> None:
        self.key, self.seconds, self.most = key, seconds, most
        self.slot_ns = seconds * 1_000_000_000 // _SLOTS
        self._slots: deque[tuple[int, int]] = deque()  # slot number, amount
        self._used = 0
        self._free = 0  # what may still be used before the file must be written
        self._free_until_ns = 0

    def wait_seconds(self, amount: int, now_ns: int) -> float:
        """Return how long it is until so much may leave; what the window never allows waits until it is empty."""
        self._forget(now_ns)
        left = min(amount, self.most) + self._used - self.most
        for number, used in self._slots:
            if left <= 0:
                break
            left -= used
            end_ns = (number + _SLOTS + 1) * self.slot_ns
            if left <= 0:
                return max(0.0, (end_ns - now_ns) / 1e9)
        return 0.0

    def take(self, amount: int, now_ns: int) -> None:
        """Note that so much leaves now."""
        self._free -= amount
        self._count(amount, now_ns // self.slot_ns)

    def covers(self, amount: int, now_ns: int) -> bool:
        """Tell whether the file already says that so much may have left."""
        return amount <= self._free and now_ns < self._free_until_ns

    def reserve(self, amount: int, now_ns: int) -> list[tuple[int, int]]:
        """Return what the file must say so that at least `amount` may leave: (age in ns, amount), some not used yet."""
        self._forget(now_ns)
        self._free = max(amount, self.most // _AHEAD)
        self._free_until_ns = now_ns + self.slot_ns
        return [*self.used(now_ns), (-self.slot_ns, self._free)]

    def used(self, now_ns: int) -> list[tuple[int, int]]:
        """Return what was used, as (age in ns, amount); what was reserved in an earlier life may lie ahead."""
        return [(now_ns - number * self.slot_ns, amount) for number, amount in self._slots]

    def restore(self, used: Iterable[tuple[int, int]], now_ns: int) -> None:
        """Count what an earlier life used."""
        for age_ns, amount in sorted(used, reverse=True):
            self._count(amount, (now_ns - age_ns) // self.slot_ns)

    def _count(self, amount: int, number: int) -> None:
        self._used += amount
        if self._slots and self._slots[-1][0] >= number:
            number, before = self._slots.pop()
            amount += before
        self._slots.append((number, amount))

    def _forget(self, now_ns: int) -> None:
        while self._slots and self._slots[0][0] + _SLOTS < now_ns // self.slot_ns:
            self._used -= self._slots.popleft()[1]


@dataclass(frozen=True, slots=True)
class Wait:
    """How long nothing may leave, and the configuration key that says so ("" for the pace)."""

    seconds: float
    key: str


class Budget:
    """All limits of one robot, each multiplied by its share of the fleet's."""

    def __init__(self, collector: CollectorConfig, *, now_ns: int) -> None:
        share = collector.fleet_share
        self._limit = collector.requests_per_second * share
        self._slowest = min(self._limit, 2 / collector.backoff_max_seconds)
        self._requests: Bucket | None = None
        self._bytes: Bucket | None = None
        self.request_windows: list[Window] = []
        self.byte_windows: list[Window] = []
        if collector.budgets:
            burst = max(1.0, min(_BURST_REQUESTS, self._limit))
            self._requests = Bucket(rate_per_second=self._limit, burst=burst, now_ns=now_ns)
            self._add_windows(collector)
        if collector.budgets and collector.bytes_per_second:
            rate = collector.bytes_per_second * share
            self._bytes = Bucket(rate_per_second=rate, burst=rate * _BURST_SECONDS, now_ns=now_ns)

    def _add_windows(self, collector: CollectorConfig) -> None:
        for name, seconds, windows in (
            ("requests_per_minute", 60, self.request_windows),
            ("requests_per_hour", 3600, self.request_windows),
            ("requests_per_day", 86_400, self.request_windows),
            ("bytes_per_day", 86_400, self.byte_windows),
        ):
            most = getattr(collector, name)
            if most:
                most = max(1, math.floor(most * collector.fleet_share))
                windows.append(Window(key=f"collector.{name}", seconds=seconds, most=most))

    @property
    def windows(self) -> list[Window]:
        """Return all windows."""
        return self.request_windows + self.byte_windows

    @property
    def pace(self) -> float:
        """Return how many requests a second the server is asked at most, at this time; 0: no limit."""
        return self._requests.rate_per_second if self._requests else 0.0

    def wait(self, size_bytes: int, now_ns: int) -> Wait:
        """Return how long it is until a request of so many bytes may leave, and for which limit."""
        waits = [Wait(window.wait_seconds(1, now_ns), window.key) for window in self.request_windows]
        waits += [Wait(window.wait_seconds(size_bytes, now_ns), window.key) for window in self.byte_windows]
        if self._requests:
            waits.append(Wait(self._requests.wait_seconds(1, now_ns), ""))
        if self._bytes:
            waits.append(Wait(self._bytes.wait_seconds(size_bytes, now_ns), ""))
        return max(waits, key=lambda wait: wait.seconds, default=Wait(0.0, ""))

    def take(self, size_bytes: int, now_ns: int) -> None:
        """Note that a request leaves now."""
        for window in self.request_windows:
            window.take(1, now_ns)
        for window in self.byte_windows:
            window.take(size_bytes, now_ns)
        if self._requests:
            self._requests.take(1, now_ns)
        if self._bytes:
            self._bytes.take(size_bytes, now_ns)

    def slow_down(self, *, gently: bool = False) -> None:
        """Halve the pace: the server said that it is too much. Gently where it may have been the link."""
        self._hold_to(max(self._slowest, self.pace * (_BACK_OFF_GENTLY if gently else _BACK_OFF)))

    def start_slowly(self) -> None:
        """Halve the pace, within bounds: a fleet that lost its server must not come back at full speed."""
        self._hold_to(min(self.pace, max(self._limit * _START, self.pace * _BACK_OFF)))

    def speed_up(self) -> None:
        """Raise the pace a little: the server took a request."""
        self._hold_to(min(self._limit, self.pace + min(self.pace * _SPEED_UP, self._limit * _STEADY)))

    def _hold_to(self, pace: float) -> None:
        if self._requests:
            self._requests.change(pace)
