"""The signer as the daemon's child: started, watched by its answers, killed when it makes no progress, started again."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from actod.errors import TransientError
from actod.keys.client import SignerClient

_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # each start is two lines in the audit log
_STEADY_SECONDS = 30.0  # a signer that lived this long starts the back-off anew
_WATCH_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class SignerProcess:
    """Runs `actod signer` as a child. `run` is a task of the daemon; cancelling it ends the child."""

    def __init__(
        self,
        *,
        config_file: Path,
        socket: Path,
        timeout_seconds: float,
        on_event: Callable[..., None],
        start_seconds: float = 15.0,  # until the first answer: a cold SD card takes its time to load Python
    ) -> None:
        # -P: what lies in the folder that the caller stands in is no module of ours.
        self._arguments = [
            sys.executable,
            "-P",
            "-m",
            "actod",
            "signer",
            "--config",
            str(config_file),
            "--socket",
            str(socket),
        ]
        self._socket, self._timeout_seconds, self._on_event = socket, timeout_seconds, on_event
        self._start_seconds = max(start_seconds, timeout_seconds)
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Keep a signer running for ever."""
        failures = 0
        loop = asyncio.get_running_loop()
        try:
            while True:
                started = loop.time()
                why = await self._live_once()
                if loop.time() - started > _STEADY_SECONDS:
                    failures = 0
                self._on_event("signer.ended", why=why, restarts=failures + 1)
                _log.warning("The signer ended and is started again.", why=why)
                await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
                failures += 1
        finally:
            await self._end()

    async def _live_once(self) -> str:
        """Start one signer and return why it ended."""
        # A session of its own: Ctrl-C at the daemon's terminal must not take the signer while the daemon still seals.
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments,
                *("--parent", str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as exc:  # no memory, no process, no descriptor left: that passes
            return f"not started: {exc.strerror or 'an error'}"
        self._on_event("signer.started", pid=self._process.pid)
        exited = asyncio.ensure_future(self._process.wait())
        hung = asyncio.ensure_future(self._until_hung())
        try:
            await asyncio.wait({exited, hung}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                self._process.kill()
                await exited
                return hung.result()
            return f"exit {exited.result()}"
        finally:
            hung.cancel()
            exited.cancel()

    async def _until_hung(self) -> str:
        """Return when a ping stays unanswered, or a call to the token runs longer than allowed."""
        client = SignerClient(self._socket, timeout_seconds=self._timeout_seconds)
        loop = asyncio.get_running_loop()
        answered, limit, denied = loop.time(), self._start_seconds, 0
        try:
            while True:
                await asyncio.sleep(_WATCH_SECONDS)
                try:
                    if await client.busy_seconds() > self._timeout_seconds:
                        return "token call does not come back"
                    answered, limit = loop.time(), self._timeout_seconds
                    denied = self._tell_denied(denied, int((await client.stats())["refused"]))
                except TransientError:
                    if loop.time() - answered >= limit:
                        return "no answer"
        finally:
            client.close()

    def _tell_denied(self, before: int, now: int) -> int:
        """Audit what the signer refused since: strangers at its socket, and requests that it does not serve."""
        if now > before:
            self._on_event("access.denied", where="signer", count=now - before)
        return now

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(2):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
