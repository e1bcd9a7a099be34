"""The watchdog: systemd hears that we live only when every worker has just shown that it gets on.

A timer that merely ticks would keep a daemon alive whose store hangs. So each look makes a round trip through each worker
(`rounds`), and asks each task whether it is stuck (`stuck`); one that does not answer keeps the sign of life back, and when
WatchdogSec= is over, systemd ends us and starts us anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from actod.errors import TransientError
from actod.service.notify import Notifier

_LOOKS = 4  # in a WatchdogSec=: a worker may be held up by a slow card for half of it

_log = structlog.get_logger(__name__)


class Watchdog:
    """Looks after the workers. `run` is a task; it ends at once where systemd has no watchdog for us."""

    def __init__(
        self,
        *,
        notifier: Notifier,
        rounds: Mapping[str, Callable[[], Awaitable[object]]] | None = None,
        stuck: Mapping[str, Callable[[], bool]] | None = None,
    ) -> None:
        self._notifier, self._rounds, self._stuck = notifier, rounds or {}, stuck or {}
        self._under_way: dict[str, asyncio.Future[Any]] = {}

    async def run(self) -> None:
        """Tell systemd that we live, as often as it wants to hear it, as long as it is true."""
        seconds = self._notifier.watchdog_seconds / _LOOKS
        said: list[str] = []
        try:
            while seconds:
                late = await self._late(seconds)
                if late != said:
                    _tell(late)
                    said = late
                if not late:
                    self._notifier.send(WATCHDOG="1")
                await asyncio.sleep(seconds)
        finally:
            for trip in self._under_way.values():
                trip.cancel()

    async def _late(self, seconds: float) -> list[str]:
        """Return the names of those who do not get on. A trip that hangs is waited for, never begun twice."""
        for name, trip in self._rounds.items():
            if name not in self._under_way:
                self._under_way[name] = asyncio.ensure_future(trip())
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=seconds)
        for name, under_way in list(self._under_way.items()):
            if under_way.done():
                del self._under_way[name]
                with suppress(TransientError):  # the worker answered; that the disk refuses is no reason to be killed
                    under_way.result()
        return [*self._under_way, *(name for name, is_stuck in self._stuck.items() if is_stuck())]


def _tell(late: list[str]) -> None:
    if late:
        _log.error("A part makes no progress; systemd is not told that we live.", parts=late)
    else:
        _log.info("Every part gets on again.")


class Pulse:
    """Implements the Pulse port: a task rests, or has beaten within `limit_seconds`, or is stuck."""

    def __init__(self, *, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._beaten: float | None = None

    def beat(self) -> None:
        """Show progress."""
        self._beaten = time.monotonic()

    def rest(self) -> None:
        """Show that there is nothing to do."""
        self._beaten = None

    def stuck(self) -> bool:
        """Whether the last beat was too long ago."""
        return self._beaten is not None and time.monotonic() - self._beaten > self._limit_seconds
