"""How far a run is: a line as each step begins and ends, with its number, the time so far and what is left to expect.

On a terminal the step under way has a bar, and the line of its end is drawn over it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from statistics import mean
from typing import TextIO

_BAR = 30
_ERASE = "\r\x1b[K"


class Progress:
    """Takes moments in seconds since the run's start. `kinds`: that of each step to come; one kind takes about one time."""

    def __init__(self, kinds: Sequence[str], *, out: TextIO, bar: bool) -> None:
        self._kinds, self._out, self._bar, self._done, self._began = list(kinds), out, bar, 0, 0.0
        self._took: dict[str, list[float]] = {}

    def begins(self, name: str, *, at: float) -> None:
        """Say that the next step begins."""
        self._began = at
        line = f"[{self._done + 1}/{len(self._kinds)}] {name} begins; {self._outlook(at)}"
        if self._bar:
            filled = _BAR * self._done // len(self._kinds)
            drawn = f"{'#' * filled}{'.' * (_BAR - filled)} {line}"
            self._out.write(_ERASE + drawn[: shutil.get_terminal_size().columns - 1])  # a second row could not be erased
        else:
            self._out.write(f"{line}\n")
        self._out.flush()

    def ends(self, name: str, said: str, *, at: float, again: float | None) -> None:
        """Say what came of it. `again`: the seconds that the next of its kind may take; None says nothing of that."""
        if again is not None:
            self._took.setdefault(self._kinds[self._done], []).append(again)
        self._done += 1
        took = f"{at - self._began:.0f} s"
        line = f"[{self._done}/{len(self._kinds)}] {name}: {said} ({took}); {self._outlook(at)}"
        self._out.write(f"{_ERASE if self._bar else ''}{line}\n")
        self._out.flush()

    def _outlook(self, at: float) -> str:
        so_far = f"{_clock(at)} so far"
        left = self._kinds[self._done :]
        if not left:
            return so_far
        if not self._took:
            return f"{so_far}, nothing to estimate the rest by yet"
        any_kind = mean(seconds for kind in self._took.values() for seconds in kind)
        ahead = sum(mean(self._took[kind]) if kind in self._took else any_kind for kind in left)
        return f"{so_far}, about {_clock(ahead)} to go"


def _clock(seconds: float) -> str:
    """Write a time as 3:07 (minutes and seconds), or 1:03:07."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
