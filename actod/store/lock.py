"""One process on one state folder: an flock(2) that dies with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

import orjson

from actod.errors import LockedError

LOCK_NAME = "spool.lock"
_NOTE_BYTES = 512


class FolderLock:
    """Holds `spool.lock` in `folder` from construction to `release()`. Raises LockedError if another holds it."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            os.close(self._descriptor)
            raise LockedError(
                "locked", f"another actod works on {folder}. Fix: stop it, or give this one its own state_directory"
            ) from exc

    def noted(self) -> tuple[str, int]:
        """Return the device and epoch that were noted last, ("", 0) where there is nothing that can be read."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = orjson.loads(os.pread(self._descriptor, _NOTE_BYTES, 0))
            return str(note["device"]), int(note["epoch"])
        return "", 0

    def note(self, device: str, epoch: int) -> None:
        """Keep device and epoch here, too: what is left where both the store's file and the audit log are gone."""
        if self.noted() != (device, epoch):
            text = orjson.dumps({"device": device, "epoch": epoch}).ljust(_NOTE_BYTES)
            os.pwrite(self._descriptor, text, 0)  # a sector: it is the old one or the new one, or is not read
            os.fsync(self._descriptor)

    def release(self) -> None:
        """Give the folder up. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
