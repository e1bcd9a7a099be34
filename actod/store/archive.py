"""What is asked of a delivered bundle before it is let go: a copy that the disk gives back."""

from __future__ import annotations

import os
from pathlib import Path

from actod.model import TrafficClass

READ_BACK = frozenset({TrafficClass.INTERVENTION, TrafficClass.SAFETY})  # leave the queue only once they were


class ColdReads:
    """Has the kernel forget what it keeps of the store's files, so that the next read comes from the disk.

    The descriptors stay open as long as the store does: closing one would give up SQLite's locks on the file (fcntl(2)).
    """

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._files, self._descriptors = files, list[int]()

    def forget_cached(self) -> None:
        """Let go of the cached pages; what was not written yet stays."""
        if not self._descriptors:
            self._descriptors = [os.open(file, os.O_RDONLY | os.O_CLOEXEC) for file in self._files]
        for descriptor in self._descriptors:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the descriptors, after SQLite has closed its own."""
        while self._descriptors:
            os.close(self._descriptors.pop())
