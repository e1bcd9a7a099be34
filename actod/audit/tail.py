"""The open file at the end of the audit log: whole lines are appended to it, and brought to disk.

What a failed write left of a line is cut off before the next. What a failed sync left is written anew before the next: the
kernel says once that pages are lost, then takes them for clean.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from actod.audit.files import file_name
from actod.durable import sync_folder

_MOST_UNSYNCED = 4096  # lines kept in memory while the disk refuses to sync


class Tail:
    """One file, open for appending. Every method but `sync` is called under the log's lock; all raise OSError."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self.file, self.size = file, os.fstat(descriptor).st_size
        self._descriptor, self._torn, self._sync_failed = descriptor, False, False
        self._unsynced: list[bytes] = []  # lines that no fdatasync covers: what comes between two calls of flush

    @classmethod
    def create(cls, folder: Path, n: int) -> Tail:
        """Begin the file whose first line is `n`; its name is on disk."""
        file = folder / file_name(n)
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            sync_folder(folder)
        except OSError:
            os.close(descriptor)
            file.unlink()
            raise
        return cls(file, descriptor)

    @classmethod
    def continued(cls, file: Path) -> Tail:
        """Go on with a file; what a killed process left in the kernel is on disk."""
        tail = cls(file, os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC))
        os.fdatasync(tail._descriptor)
        return tail

    @property
    def closed(self) -> bool:
        """Whether it takes no more lines."""
        return self._descriptor < 0

    @property
    def unsynced(self) -> int:
        """How many lines no sync covers; none once it is closed."""
        return 0 if self.closed else len(self._unsynced)

    def require_writable(self) -> None:
        """Refuse a line where it would only be lost, or kept in memory for ever."""
        if self.closed:
            raise OSError("the audit log is closed")
        if self._sync_failed and len(self._unsynced) >= _MOST_UNSYNCED:
            raise OSError("the disk does not sync")

    def append(self, line: bytes) -> None:
        """Write a line by one write(2), or nothing of it."""
        self._cut_torn()
        self._torn = True
        try:
            whole = os.write(self._descriptor, line) == len(line)
        except OSError:
            with contextlib.suppress(OSError):
                self._cut_torn()
            raise
        if not whole:
            self._cut_torn()
            raise OSError("the disk took a part of the line")
        self._torn = False
        self.size += len(line)
        self._unsynced.append(line)

    def write_again(self) -> None:
        """Write anew what a failed sync left."""
        if not self._sync_failed:
            return
        lost = b"".join(self._unsynced)
        os.ftruncate(self._descriptor, self.size - len(lost))
        rest = memoryview(lost)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._sync_failed = False

    def sync(self) -> None:
        """Bring what was written to disk. Another thread may append meanwhile."""
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self._sync_failed = True
            raise

    def synced(self, lines: int) -> None:
        """Take note that so many lines are on disk."""
        del self._unsynced[:lines]

    def close(self) -> None:
        """Close it; it takes no more lines."""
        if not self.closed:
            os.close(self._descriptor)
            self._descriptor = -1

    def _cut_torn(self) -> None:
        """Cut the file back to its last whole line, so that the chain goes on behind it."""
        if self._torn:
            os.ftruncate(self._descriptor, self.size)
            self._torn = False
