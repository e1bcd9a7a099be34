"""The epoch of the pseudonym key: after so many days the key is overwritten, and with it goes what its pseudonyms link.

The key's own file says when its epoch began. The overwriting is one write of 32 bytes in place: a crash leaves the old
key or a new one. What a flash card keeps of the old cells, nobody above the card can know.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from actod.ports import Clock
from actod.service.keyfile import read_or_make

_DAY_NS = 86_400 * 1_000_000_000
_KEY_BYTES = 32


class PseudonymEpochs:
    """Holds the key file; `days` is how long a key lives. Only a wall clock that the kernel calls synchronised ends it."""

    def __init__(self, path: Path, *, clock: Clock, days: int) -> None:
        self._path, self._clock, self.days = path, clock, days
        self.key = read_or_make(path, size_bytes=_KEY_BYTES)

    def end_if_due(self) -> int | None:
        """Erase the key if its days are over, and take a new one; return how many days it was in use, else None.

        Raises OSError if the file cannot be written: the epoch goes on, and the next call tries again.
        """
        if not self._clock.synchronised():
            return None
        now = self._clock.now().wall_ns
        age_ns = now - self._path.stat().st_mtime_ns
        if age_ns < 0 or age_ns > self._most_ns():
            os.utime(self._path, ns=(now, now))  # made under a clock that lied: the days count from here
            return None
        if age_ns < self.days * _DAY_NS:
            return None
        new = secrets.token_bytes(_KEY_BYTES)
        with self._path.open("r+b", buffering=0) as file:
            file.write(new)
            os.fsync(file.fileno())
        os.utime(self._path, ns=(now, now))
        self.key = new
        return age_ns // _DAY_NS

    def _most_ns(self) -> int:
        """Return an age that no honest clock can show: a robot that was off for ten years is taken for one that lied."""
        return (self.days + 3650) * _DAY_NS
