"""A wait that can be cut short: when credentials or pins change, there is no reason to sit out an old backoff."""

from __future__ import annotations

import asyncio


class Pause:
    """Real time. Any number may wait."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until `wake`."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def wake(self) -> None:
        """End all waits that are going on."""
        self._woken.set()
        self._woken = asyncio.Event()
