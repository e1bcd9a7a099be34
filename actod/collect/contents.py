r"""Contents whose place in the signed record a salted commitment took: kept here, masked, to be opened later.

commitment = sha256("actod:content:v1\n" || salt || event), with 32 random bytes of salt and the canonical masked event
{"data", "topic", "ts"}. Without the salt nobody can try contents out; with it anyone can check that the content is the
one that was signed. One JSON line each, on disk before the message is acknowledged; the oldest file makes room.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from actod.durable import sync_folder
from actod.errors import TransientError
from actod.model import MaskedReading
from actod.proof.canonical import canonical

FOLDER = "contents"
_PURPOSE = b"actod:content:v1\n"
_SALT_BYTES = 32
_FILES = 8  # that the share is divided into: so much of it goes at once when it is full


class Contents:
    """Takes contents out of readings, and keeps them in `folder`, in at most `max_bytes`."""

    def __init__(self, folder: Path, *, max_bytes: int, on_event: Callable[..., None]) -> None:
        self._folder, self._max_bytes, self._on_event = folder, max_bytes, on_event
        self._waiting: list[bytes] = []
        self._whole = False

    def replace(self, reading: MaskedReading) -> MaskedReading:
        """Return the reading with the commitment in place of its content, which the next `secure` brings to disk."""
        event, salt = reading.event, secrets.token_bytes(_SALT_BYTES)
        digest = commitment(salt, event)
        self._waiting.append(b'{"commitment":"%b","salt":"%b","event":%b}\n' % (digest.encode(), salt.hex().encode(), event))
        whole = orjson.loads(event)
        return dataclasses.replace(reading, event=canonical(whole | {"data": {"commitment": f"sha256:{digest}"}}))

    @property
    def waits(self) -> bool:
        """Whether something is to be brought to disk."""
        return bool(self._waiting)

    def secure(self) -> None:
        """Bring what waits to disk; blocks. Raises TransientError: nothing is forgotten then."""
        try:
            while self._waiting:
                self._append(b"".join(self._waiting[: (count := self._fitting())]))
                del self._waiting[:count]
        except OSError as exc:
            raise TransientError("contents_refused", exc.strerror or "") from exc

    def _fitting(self) -> int:
        """Return how many lines go into one file: at least one."""
        size = 0
        for count, line in enumerate(self._waiting):
            size += len(line)
            if count and size > self._max_bytes // _FILES:
                return count
        return len(self._waiting)

    def _append(self, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        files = _files(self._folder)
        if files and not self._whole:
            _cut_half_a_line(files[-1])
        self._whole = False  # until this is done
        newest = files[-1] if files else None
        if newest is None or newest.stat().st_size + len(data) > self._max_bytes // _FILES:
            number = int(newest.stem) + 1 if newest else 1
            newest = self._folder / f"{number:08}.jsonl"
            self._make_room(files, len(data))
        descriptor = os.open(newest, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if newest not in files:
            sync_folder(self._folder)
        self._whole = True

    def _make_room(self, files: list[Path], needed: int) -> None:
        size = sum(file.stat().st_size for file in files)
        for file in files:
            if size + needed <= self._max_bytes:
                return
            size -= file.stat().st_size
            self._on_event("contents.dropped", file=file.name, contents=file.read_bytes().count(b"\n"))
            file.unlink()


def commitment(salt: bytes, event: bytes) -> str:
    """Return the commitment to a canonical event, as 64 hex characters."""
    return hashlib.sha256(_PURPOSE + salt + event).hexdigest()


def find(folder: Path, wanted: str) -> dict[str, object] | None:
    """Return the kept line of a commitment (64 hex characters), checked against it; None if it is not here."""
    for line in _lines(folder):
        if line.startswith(b'{"commitment":"%b"' % wanted.encode()):
            kept: dict[str, object] = orjson.loads(line)
            event = line[line.index(b',"event":') + 9 : -1]
            if commitment(bytes.fromhex(str(kept["salt"])), event) == wanted:
                return kept
    return None


def _lines(folder: Path) -> Iterator[bytes]:
    for file in reversed(_files(folder)):
        yield from file.read_bytes().splitlines()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.jsonl") if file.stem.isdigit())


def _cut_half_a_line(file: Path) -> None:
    """Take away what a kill or a full disk left of a write; nothing of it was acknowledged."""
    data = file.read_bytes()
    os.truncate(file, data.rfind(b"\n") + 1)
