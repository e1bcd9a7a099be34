r"""The signer process: answers bounded requests over a Unix socket, and holds the token and the PIN, nothing else.

It is no oracle: a bundle's request is exactly 64 hex characters, anything else that it signs begins with its purpose
(`actod:<purpose>:v1\n`). It may hang, crash and restart alone; its parent kills it when a call does not come back.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import resource
import signal
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import orjson
import structlog

from actod.errors import ActodError, StopError
from actod.keys import wire
from actod.keys.keeper import TokenKeeper
from actod.keys.token import Token
from actod.proof.thumbprint import base64url
from actod.unixsocket import listen, peer_uid

_PAYLOAD_HASH = re.compile(rb"[0-9a-f]{64}\Z")
_PURPOSE = re.compile(rb"actod:[a-z-]{1,32}:v1\n")
_LONGEST_PURPOSE_BYTES = 16 * 1024
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
    """Serve until SIGTERM. Only processes of the users in `peers` are answered. Raises ConfigError, LockedError.

    `beside` runs as long as we listen: it tells systemd how we fare.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="token")
    desk = Desk(keeper=keeper, executor=executor, peers=peers)
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
            await asyncio.to_thread(executor.shutdown)
    # A call that hangs in the token's driver must not keep the process: the kernel takes it with it.
    os._exit(0)


class Desk:
    """Answers one client after the other; the token's thread does one thing at a time."""

    def __init__(self, *, keeper: TokenKeeper, executor: ThreadPoolExecutor, peers: frozenset[int]) -> None:
        self._keeper, self._executor, self._peers = keeper, executor, peers
        self._refused = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        try:
            if peer_uid(writer.get_extra_info("socket")) not in self._peers:
                self._refused += 1
                _log.warning("A process of another user was refused.", refused=self._refused)
                writer.write(wire.pack(b"error", b"peer_refused"))
                await writer.drain()
                return
            while True:
                operation, body = await wire.receive(reader)
                writer.write(await self._reply(operation, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, wire.ProtocolError, ConnectionError):
            return
        finally:
            writer.close()

    async def _reply(self, operation: bytes, body: bytes) -> bytes:
        if operation == wire.PING:
            return wire.pack(b"ok", repr(self._keeper.busy_seconds()).encode())
        if operation == wire.STATS:
            return wire.pack(b"ok", orjson.dumps(self._keeper.stats() | {"refused": self._refused}))
        use = self._use(operation, body)
        if use is None:
            self._refused += 1
            return wire.pack(b"error", b"request_refused")
        loop = asyncio.get_running_loop()
        try:
            return wire.pack(b"ok", await loop.run_in_executor(self._executor, self._keeper.call, use))
        except ActodError as exc:
            return wire.pack(b"error", exc.reason.encode())

    @staticmethod
    def _use(operation: bytes, body: bytes) -> Callable[[Token], bytes] | None:
        """Return what to do with the token, or None for what this process does not do."""
        if operation == wire.KEYS and not body:
            return public_keys
        if operation == wire.SIGN_BUNDLE and _PAYLOAD_HASH.match(body):
            return lambda token: token.sign_ed25519(body)
        if operation == wire.SIGN_PURPOSE and _PURPOSE.match(body) and len(body) <= _LONGEST_PURPOSE_BYTES:
            return lambda token: token.sign_ed25519(body)
        return None


def public_keys(token: Token) -> bytes:
    """Describe the token's public keys as JSON."""
    keys = token.keys
    return orjson.dumps(
        {
            "ed25519": base64url(keys.ed25519),
            "ed25519_thumbprint": keys.ed25519_thumbprint,
            "p256_thumbprint": keys.p256_thumbprint,
            "kind": keys.kind,
        }
    )
