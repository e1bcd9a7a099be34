"""What submission keeps over restarts: what was used of the budgets, and the largest bundle that the server takes.

The file says beforehand that a little more was used (`Window.reserve`), so that it is written seldom, and a kill never
makes a budget larger. What lies between two boots is known only where the clock was synchronised before and is now; else
no time has passed: a board that woke up in 1970 would take its budget of today for one of half a century ago.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import structlog

from actod.durable import write_whole
from actod.ports import Clock
from actod.submit.budget import Budget, Window

FILE = "submit.json"
_VERSION = 1
_SHORT_SECONDS = 60  # a window that short is not written: after a kill it counts as used up

_log = structlog.get_logger(__name__)


class Memory:
    """The file of one state folder, or none at all (`path` None: nothing is kept). Writes block."""

    def __init__(self, path: Path | None, *, budget: Budget, clock: Clock, configured_bytes: int) -> None:
        self._path, self._budget, self._clock, self._configured = path, budget, clock, configured_bytes
        self.largest_bytes = configured_bytes
        if path is not None:
            self._read(path)

    @property
    def is_lowered(self) -> bool:
        """Tell whether the server takes less than the configuration says."""
        return self.largest_bytes < self._configured

    def _read(self, path: Path) -> None:
        try:
            kept = orjson.loads(path.read_bytes())
            largest, windows = kept["largest"], kept["windows"]
            if largest["configured"] == self._configured:  # another value is the operator's word: it is tried anew
                self.largest_bytes = min(self._configured, int(largest["bytes"]))
            if windows:
                self._restore(windows, passed_ns=self._passed_ns(kept), clean=bool(kept["clean"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            _log.warning("What submission remembered cannot be read; it begins anew.", file=str(path))

    def _passed_ns(self, kept: dict[str, Any]) -> int:
        now = self._clock.now()
        if kept["boot_id"] == self._clock.boot_id():
            return max(0, now.monotonic_ns - int(kept["monotonic_ns"]))
        known = kept.get("synchronised") is True and self._clock.synchronised() is True
        return max(0, now.wall_ns - int(kept["wall_ns"])) if known else 0

    def _restore(self, windows: dict[str, list[list[int]]], *, passed_ns: int, clean: bool) -> None:
        now_ns = self._clock.now().monotonic_ns
        for window in self._budget.windows:
            used = [(int(age) + passed_ns, int(amount)) for age, amount in windows.get(window.key, [])]
            if window.seconds <= _SHORT_SECONDS and not clean:
                used = [(0, window.most)]
            window.restore(used, now_ns)

    def is_due(self, size_bytes: int) -> bool:
        """Tell whether the file must be written before a request of so many bytes leaves."""
        now_ns = self._clock.now().monotonic_ns
        return self._path is not None and not all(
            window.covers(amount, now_ns) for window, amount in self._written(size_bytes)
        )

    def save(self, size_bytes: int = 0) -> None:
        """Write the file, so that a request of so many bytes may leave. Raises OSError."""
        now_ns = self._clock.now().monotonic_ns
        self._write({window.key: window.reserve(amount, now_ns) for window, amount in self._written(size_bytes)})

    def close(self) -> None:
        """Write what was really used. A disk that refuses leaves what was reserved."""
        now_ns = self._clock.now().monotonic_ns
        try:
            self._write({window.key: window.used(now_ns) for window in self._budget.windows}, clean=True)
        except OSError:
            _log.warning("What submission used of its budgets cannot be written.", file=str(self._path))

    def _written(self, size_bytes: int) -> list[tuple[Window, int]]:
        windows = [(window, 1) for window in self._budget.request_windows if window.seconds > _SHORT_SECONDS]
        return windows + [(window, size_bytes) for window in self._budget.byte_windows]

    def _write(self, windows: dict[str, list[tuple[int, int]]], *, clean: bool = False) -> None:
        now = self._clock.now()
        if self._path is None or not (self._budget.windows or self.is_lowered):
            return
        kept = {
            "v": _VERSION,
            "boot_id": self._clock.boot_id(),
            "monotonic_ns": now.monotonic_ns,
            "wall_ns": now.wall_ns,
            "synchronised": self._clock.synchronised(),
            "clean": clean,
            "windows": windows,
            "largest": {"configured": self._configured, "bytes": self.largest_bytes},
        }
        write_whole(self._path, orjson.dumps(kept))
