"""How much CPU time one message may take: 50 ms up to 4 KiB, in proportion beyond.

A machine that is slower, or code that is watched by a fuzzer, gets as much more as an ordinary text takes more there. A
unit is called slow only if it was each time that it was looked at: no test fails because the machine is busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from tests.mask.parts import masker

FREE_SECONDS, FREE_BYTES = 0.050, 4096
_TIMES_AN_ORDINARY_TEXT = 50  # which takes 1 ms on the machine on which this was written
_LOOKS = 4
_ORDINARY = "12:03:07 lidar 3 sees an obstacle 1.25 m ahead of node-17, order 4711 waits in hall B; retry 2 of 5\n"

Result = TypeVar("Result")


class SlowUnitError(AssertionError):
    """A message took more time than any may."""


def within_limit(work: Callable[[], Result], again: Callable[[], object], *, size_bytes: int) -> Result:
    """Do the work; where it took too long, do it again from the beginning, and raise if it always does."""
    limit = _allowed_seconds() * max(1.0, size_bytes / FREE_BYTES)
    start = time.thread_time()
    result = work()
    spent = time.thread_time() - start
    for _ in range(_LOOKS):
        if spent <= limit:
            return result
        spent = min(spent, seconds_of(again))
    raise SlowUnitError(f"{spent * 1000:.0f} ms for {size_bytes} bytes, at most {limit * 1000:.0f} ms are allowed")


def seconds_of(work: Callable[[], object]) -> float:
    """Return the CPU time of some work on this thread."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


@cache
def _allowed_seconds() -> float:
    text = (_ORDINARY * (FREE_BYTES // len(_ORDINARY) + 1))[:FREE_BYTES]
    ordinary = min(seconds_of(lambda: masker().mask_value({"note": text})) for _ in range(10))
    return max(FREE_SECONDS, _TIMES_AN_ORDINARY_TEXT * ordinary)
