"""A bound on runs: at most so many open at once and so many new a minute; the rest goes to the run `_overflow`.

A bundle holds one robot, so the runs `_overflow` are bounded likewise: the rest of them goes to the device's own.

A run that its robot has left still counts for half a minute, since its bundle is still open then. Robots whose messages
alternate between two tasks do not begin a new run with each of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from actod.config import IntakeConfig
from actod.model import TrafficClass

OVERFLOW = "_overflow"
_IDLE_NS = 600 * 1_000_000_000
_ENDING_NS = 30 * 1_000_000_000
_MINUTE_NS = 60 * 1_000_000_000

Run = tuple[str | None, str, str | None]
Key = tuple[str | None, str, str | None, TrafficClass]  # what one bundle may hold


class OpenRuns:
    """Which (robot, task, run, class) are open. Pure: time is passed in, and never goes back."""

    def __init__(self, intake: IntakeConfig) -> None:
        self._most, self._per_minute = intake.max_open_runs, intake.new_runs_per_minute
        self._open: OrderedDict[Key, int] = OrderedDict()  # by its last message, the oldest first
        self._ending: OrderedDict[Key, int] = OrderedDict()  # by the time at which its robot left it
        self._begun: deque[int] = deque()

    def admit(self, key: Key, now_ns: int) -> bool:
        """Whether a reading may go to this run; if not, it goes to the overflow."""
        if key in self._open:
            self._open[key] = now_ns
            self._open.move_to_end(key)
            return True
        self._forget(now_ns)
        if self._ending.pop(key, None) is None:
            if len(self._begun) >= self._per_minute or len(self) >= self._most:
                return False
            self._begun.append(now_ns)
        self._open[key] = now_ns
        return True

    def end(self, run: Run, now_ns: int) -> None:
        """Note that a robot went on to another run."""
        for traffic_class in TrafficClass:
            if self._open.pop((*run, traffic_class), None) is not None:
                self._ending[*run, traffic_class] = now_ns

    def __len__(self) -> int:
        """Return how many count as open."""
        return len(self._open) + len(self._ending)

    def _forget(self, now_ns: int) -> None:
        for runs, lifetime_ns in ((self._open, _IDLE_NS), (self._ending, _ENDING_NS)):
            while runs and now_ns - next(iter(runs.values())) > lifetime_ns:
                runs.popitem(last=False)
        while self._begun and now_ns - self._begun[0] > _MINUTE_NS:
            self._begun.popleft()
