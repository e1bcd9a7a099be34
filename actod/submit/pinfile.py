"""The signed pin set on this robot: the operators' file, and what was taken from it.

Invariants:
1. A set is in force only after it, and so its version, is on disk: no power cut brings an older one back.
2. What is kept is verified again at each start, with the keys of the configuration: an operator's key that was taken out
   of it no longer counts. The version that was reached stays reached.
3. A file that is missing, unreadable or refused changes nothing: the set that was taken stays in force.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from actod.durable import write_whole
from actod.errors import RejectedError, TransientError
from actod.submit.pinset import LARGEST_BYTES, Operators, PinSet, Reached, authenticate, verify


class PinFile:
    """Reads `file`, keeps what was taken in `memory` (None: nothing is kept, for commands beside the daemon)."""

    def __init__(self, file: Path, *, operators: Operators, host: str, memory: Path | None, writes: bool) -> None:
        self._file, self._operators, self._host = file, operators, host
        self._memory, self._writes = memory, writes
        self.taken: PinSet | None = None
        self.reached = Reached()
        self.damaged = False
        self._recall()

    def take(self, now: datetime | None) -> bool:
        """Take what the file holds, if it is another set that may follow. Returns whether there is a new one.

        `now` is None while the clock cannot be trusted. Raises RejectedError with the reason why it is not taken, and
        TransientError("pins_unreadable" or "pins_unwritable").
        """
        document = self._read()
        if document is None:
            return False
        pin_set = verify(document, operators=self._operators, host=self._host, now=now, before=self.reached)
        if self.taken is not None and pin_set.digest == self.taken.digest:
            return False
        self._remember(document, pin_set)
        self.taken, self.reached = pin_set, Reached(pin_set.version, pin_set.digest)
        return True

    def _read(self) -> bytes | None:
        try:
            with self._file.open("rb") as file:
                return file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise TransientError("pins_unreadable", f"{self._file}: {exc.strerror}") from exc

    def _recall(self) -> None:
        """Read what was taken before. A memory that is damaged is none: nobody but root and we can write there."""
        try:
            kept: dict[str, Any] = orjson.loads(self._memory.read_bytes()) if self._memory is not None else {}
            if kept:
                self.reached = Reached(int(kept["version"]), str(kept["digest"]))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            self.damaged = True
            return
        try:
            document = kept.get("document", "").encode()
            taken = authenticate(document, operators=self._operators) if document else None
        except (RejectedError, AttributeError):
            return  # signed by keys that no longer count: the version stays, the pins do not
        self.taken = taken if taken is not None and taken.host == self._host else None

    def _remember(self, document: bytes, pin_set: PinSet) -> None:
        if self._memory is None or not self._writes:
            return
        kept = {"version": pin_set.version, "digest": pin_set.digest, "document": document.decode()}
        try:
            write_whole(self._memory, orjson.dumps(kept))
        except OSError as exc:
            raise TransientError("pins_unwritable", f"{self._memory}: {exc.strerror}") from exc
