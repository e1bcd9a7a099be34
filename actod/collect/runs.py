"""A bound on runs: at most so many open at once and so many new a minute; the rest goes to the run `_overflow`."""

from __future__ import annotations

from collections import OrderedDict, deque

from actod.config import IntakeConfig

OVERFLOW = "_overflow"
_IDLE_NS = 600 * 1_000_000_000
_MINUTE_NS = 60 * 1_000_000_000

Key = tuple[str | None, str, str | None]


class OpenRuns:
    """Which (robot, task, run) are open. Pure: time is passed in."""

    def __init__(self, intake: IntakeConfig) -> None:
        self._most, self._per_minute = intake.max_open_runs, intake.new_runs_per_minute
        self._open: OrderedDict[Key, int] = OrderedDict()
        self._begun: deque[int] = deque()

    def admit(self, key: Key, now_ns: int) -> bool:
        """Whether a reading may go to this run; if not, it goes to the overflow."""
        if key in self._open:
            self._open[key] = now_ns
            self._open.move_to_end(key)
            return True
        while self._open and now_ns - next(iter(self._open.values())) > _IDLE_NS:
            self._open.popitem(last=False)
        while self._begun and now_ns - self._begun[0] > _MINUTE_NS:
            self._begun.popleft()
        if len(self._begun) >= self._per_minute or len(self._open) >= self._most:
            return False
        self._begun.append(now_ns)
        self._open[key] = now_ns
        return True

    def end(self, key: Key) -> None:
        """Note that a run is over: its robot went on to another."""
        self._open.pop(key, None)
