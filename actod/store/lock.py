"""One process on one state folder: an flock(2) that dies with its holder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from actod.errors import LockedError

LOCK_NAME = "spool.lock"


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

    def release(self) -> None:
        """Give the folder up. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
