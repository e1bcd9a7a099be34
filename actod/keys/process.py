"""The signer process: answers bounded requests over a Unix socket, and holds the token and the PIN, nothing else.

It may hang, crash and restart alone; its parent kills it when a call does not come back. What it signs stands in `desk.py`.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import structlog

from actod.errors import EXIT_FAILED, StopError
from actod.keys.desk import Desk
from actod.keys.keeper import TokenKeeper
from actod.unixsocket import listen

_FINISH_SECONDS = 1.5  # for the call in flight when we are told to end; the parent's patience is 2 s
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4

_log = structlog.get_logger(__name__)


def harden(*, parent: int | None) -> None:
    """No core files, no ptrace by our own user, and no life after the parent (where there is one).

    SIGTERM, not SIGKILL, when the parent dies: a call to the token must end first, see `serve`.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if parent is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            raise StopError("parent_gone")


async def serve(
    *,
    keeper: TokenKeeper,
    socket_path: Path,
    peers: frozenset[int],
    mode: int = 0o600,
    beside: Callable[[], Coroutine[None, None, None]] | None = None,
) -> None:
    """Serve until SIGTERM, or until only a new process may help. Only processes of the users in `peers` are answered.

    `beside` runs as long as we listen: it tells systemd how we fare. Raises ConfigError, LockedError.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="token")
    desk = Desk(keeper=keeper, executor=executor, peers=peers, give_up=stop.set)
    listener = listen(socket_path, key="signer.socket", who="signer", mode=mode)
    server = await asyncio.start_unix_server(desk.answer, sock=listener)
    _log.info("The signer listens.", socket=str(socket_path))
    companion = asyncio.ensure_future(beside()) if beside is not None else None
    await stop.wait()
    if companion is not None:
        companion.cancel()
    server.close()  # and no waiting for its connections: since Python 3.12 that is until the daemon lets go of them
    # SoftHSM empties its file in each login and writes it anew: an end in between would destroy the token and its key.
    with suppress(TimeoutError):
        async with asyncio.timeout(_FINISH_SECONDS):
            await loop.run_in_executor(executor, keeper.close)
            await asyncio.to_thread(executor.shutdown)
    # A call that hangs in the token's driver must not keep the process: the kernel takes it with it.
    os._exit(EXIT_FAILED if keeper.in_vain() else 0)
