"""The PIN that a token refused: it is not sent again, save after the end of a TPM's lockout.

It is known by a keyed digest, and by what it is, not by its file: a PIN written anew is the same PIN.
"""

from __future__ import annotations

import hashlib
import math
import os
import time

import structlog

from actod.keys import lockout
from actod.keys.healing import PinRefusedError

_LOCKED = "pin_locked"
_SHORTEST_SECONDS = 1.0  # where the TPM says that it is not locked, and yet refuses the PIN as locked
_LOOK_SECONDS = 5.0  # between two looks at a lockout that an operator may have ended

_log = structlog.get_logger(__name__)


class RefusedPin:
    """Remembers one refused PIN and, of a TPM, when its lockout ends. For the token's thread, `seconds_left` excepted."""

    def __init__(self, *, lockout_seconds: float) -> None:
        self._lockout_seconds = lockout_seconds  # where the TPM cannot be asked
        self._salt = os.urandom(32)
        self._sent = self._mark = b""
        self._because = ""
        self._ends: float | None = None
        self._look_at = 0.0

    def hold_back(self, pin: str) -> None:
        """Note the PIN that is about to be sent. Raises PinRefusedError if it must not be sent now."""
        self._sent = self._digest(pin)
        if self._sent != self._mark:
            return
        if self._ends is None:
            raise PinRefusedError(self._because, "this PIN was refused before and is not sent again")
        now = time.monotonic()
        if self._look_at <= now < self._ends:
            self._look(now)
        if self._ends > now:
            raise PinRefusedError(self._because, self.sentence())

    def refuse(self, reason: str, *, ends_by_itself: bool) -> bool:
        """Remember that the PIN sent last was refused; False if that was known. A locked TPM unlocks itself."""
        known = self._sent == self._mark and reason == self._because
        self._mark, self._because, self._ends = self._sent, reason, None
        if reason == _LOCKED and ends_by_itself:
            now = time.monotonic()
            self._look(now)
            known_end = now + self._lockout_seconds if self._ends is None else self._ends
            self._ends = max(known_end, now + _SHORTEST_SECONDS)
            _log.error(
                "The TPM has locked itself after failed PINs or unclean stops; the PIN is tried again when that has ended.",
                at_most_seconds=round(self._ends - now),
            )
        return not known

    def forget(self) -> None:
        """Forget it: the token took a PIN."""
        if self._ends is not None:
            _log.info("The TPM's lockout has ended.")
        self._mark, self._because, self._ends = b"", "", None

    def sentence(self) -> str:
        """Say how long the lockout lasts, or nothing where none is known."""
        left = self.seconds_left()
        return "" if left is None else f"the TPM is locked for at most {left:.0f} s more"

    def seconds_left(self) -> float | None:
        """Return how long the lockout lasts at most, or None where there is none. Any thread may ask."""
        ends = self._ends
        return None if ends is None else max(0.0, ends - time.monotonic())

    def _look(self, now: float) -> None:
        protection = lockout.ask_tpm()
        if protection is not None:  # it tells the length of an interval, not how much of it is over
            self._ends = min(self._ends or math.inf, now + protection.seconds_left)
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def _digest(self, pin: str) -> bytes:
        return hashlib.blake2b(pin.encode(), key=self._salt).digest()
