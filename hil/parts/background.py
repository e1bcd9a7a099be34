"""An asyncio server in a thread of its own, for proxies that stand between the parts of a rig."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator


@contextlib.contextmanager
def serving(listen: Callable[[], Awaitable[asyncio.Server]], *, name: str) -> Iterator[None]:
    """Have `listen` make the server, and serve until the block ends; then every connection ends with it."""
    ready, loop, stop = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        server = await listen()
        ready.set()
        await stop.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed by the loop's next turn

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name=name)
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
