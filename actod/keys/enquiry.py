"""Ask a signer once, for the keys or for more: the running daemon's, or one that is started for the question."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from actod.config import MAX_SOCKET_PATH_BYTES, Config
from actod.errors import TransientError
from actod.keys.client import SignerClient
from actod.keys.supervisor import SignerProcess
from actod.model import EnrolledKey

T = TypeVar("T")
_START_SECONDS = 20.0
_AGAIN_SECONDS = 0.1
_CRASHES = 3
_NAME_BYTES = 32  # what the folder's and the socket's names add


async def ask_keys(config: Config, *, config_file: Path) -> tuple[EnrolledKey, ...]:
    """Return the generations, oldest first. Raises TransientError with what is wrong with signer or token."""
    return await ask_signer(config, config_file=config_file, question=SignerClient.keys)


async def ask_signer(config: Config, *, config_file: Path, question: Callable[[SignerClient], Awaitable[T]]) -> T:
    """Return the answer of a signer whose token is open. Raises TransientError, also what the question raises."""
    client = SignerClient(config.signer_socket, timeout_seconds=config.signer.timeout_seconds)
    try:
        await client.keys()
        return await question(client)
    except TransientError as exc:
        if exc.reason != "signer_away":
            raise
    finally:
        client.close()
    place = tempfile.gettempdir()
    if len(place.encode()) + _NAME_BYTES > MAX_SOCKET_PATH_BYTES:
        place = "/tmp"  # noqa: S108 - the folder made in it is ours alone
    with tempfile.TemporaryDirectory(prefix="actod-", dir=place) as folder:
        return await _ask_own(config, config_file, Path(folder) / "signer.sock", question)


async def _ask_own(config: Config, config_file: Path, socket: Path, question: Callable[[SignerClient], Awaitable[T]]) -> T:
    timeout = config.signer.timeout_seconds
    ends: list[str] = []

    def note(event: str, **fields: Any) -> None:
        if event == "signer.ended":
            ends.append(fields["why"])

    child = SignerProcess(config_file=config_file, socket=socket, timeout_seconds=timeout, on_event=note)
    client = SignerClient(socket, timeout_seconds=timeout)
    task = asyncio.create_task(child.run())
    try:
        await _patiently(client, ends)
        return await question(client)
    finally:
        client.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _patiently(client: SignerClient, ends: list[str]) -> None:
    """Wait until the process answers; what it says of the token is the answer, and so is that it dies each time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_SECONDS
    while True:
        try:
            await client.keys()
        except TransientError as exc:
            if len(ends) >= _CRASHES:
                raise TransientError("signer_crashed", f"the process ends each time, the last with {ends[-1]}") from exc
            if exc.reason != "signer_away" or loop.time() > deadline:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return
