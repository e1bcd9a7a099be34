"""When to kill: what another process does to its files and sockets, seen as it happens.

inotify(7) tells of each write; a tap on the signer's socket tells of each bundle that is to be signed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hil.parts.background import serving

COMMIT, SEAL, SUBMIT, ROTATION, CHECKPOINT, START, ANY = (
    *("commit", "seal", "submit", "rotation", "checkpoint"),
    *("start", "any"),
)
_MODIFY, _CREATE = 0x2, 0x100
_HEAD = struct.Struct("iIII")


class Moments:
    """Watches a state folder (that exists) and the collector's file of requests. `wait` returns when one comes."""

    def __init__(self, *, state: Path, requests: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders = {
            self._watch(state, _MODIFY): {b"spool.db-wal": COMMIT, b"spool.db": CHECKPOINT},
            self._watch(state / "audit", _CREATE): {b"*": ROTATION},
            self._watch(requests.parent, _MODIFY): {requests.name.encode(): SUBMIT},
        }
        self.sealing = threading.Event()

    def close(self) -> None:
        """Watch no more."""
        os.close(self._descriptor)

    def wait(self, wanted: str, *, seconds: float) -> bool:
        """Wait for a moment; False if it did not come in time."""
        if wanted == SEAL:
            self.sealing.clear()
            return self.sealing.wait(seconds)
        self._read()  # what happened before
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            select.select([self._descriptor], [], [], left)
            if wanted in self._read():
                return True
        return False

    def _watch(self, folder: Path, mask: int) -> int:
        watch = int(self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), mask))
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        return watch

    def _read(self) -> set[str]:
        found = set()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, 65536):
                while data:
                    watch, _mask, _cookie, length = _HEAD.unpack_from(data)
                    name = data[_HEAD.size : _HEAD.size + length].rstrip(b"\0")
                    data = data[_HEAD.size + length :]
                    names = self._folders.get(watch, {})
                    found.add(names.get(name) or names.get(b"*") or "")
        return found


@dataclass
class SignerTap:
    """Listens at `socket`, forwards to the signer at `signer`, and sets `asked` when it is asked for something."""

    socket: Path
    signer: Path
    asked: list[threading.Event] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[SignerTap]:
        """Forward in a thread until the block ends."""
        with serving(lambda: asyncio.start_unix_server(self._accept, self.socket), name="signer tap"):
            yield self

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            signer_reader, signer_writer = await asyncio.open_unix_connection(self.signer)
            pumps = [
                asyncio.ensure_future(self._pump(reader, signer_writer, asks=True)),
                asyncio.ensure_future(self._pump(signer_reader, writer, asks=False)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            signer_writer.transport.abort()
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for event in self.asked if asks else ():
                    event.set()
                writer.write(data)
                await writer.drain()
