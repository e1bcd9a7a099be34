"""Keeps the token open on the one thread that may touch it: opens late, heals, and never repeats a refused PIN.

What is done about each failure stands in `healing.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from actod.keys.healing import PinRefusedError, RebuildError, TokenError
from actod.keys.meter import Meter
from actod.keys.provision import make_generation
from actod.keys.refused import RefusedPin
from actod.keys.token import Token, is_tpm, load_library, open_token, read_pin
from actod.keys.uri import TokenUri
from actod.model import EnrolledKey

T = TypeVar("T")
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_IN_VAIN = 24  # 104 s of pauses: each new process is two lines in the audit log, and costs a second of CPU
_OF_THE_LIBRARY = {"token_away", "token_absent"}  # what a new process may mend

_log = structlog.get_logger(__name__)


class TokenKeeper:
    """Every method must be called on the token's thread, `busy_seconds`, `stats` and `in_vain` excepted."""

    def __init__(
        self,
        uri: TokenUri,
        *,
        pin_file: Path,
        allow_software: bool = True,
        lockout_seconds: float = 600.0,
        pauses_seconds: tuple[float, ...] = _PAUSES_SECONDS,
    ) -> None:
        self._uri, self._pin_file, self._allow_software = uri, pin_file, allow_software
        self._pauses_seconds = pauses_seconds
        self._library: Any = None
        self._token: Token | None = None
        self._refused = RefusedPin(lockout_seconds=lockout_seconds)
        self._failures = 0
        self._not_before = 0.0
        self._last: TokenError | None = None
        self._meter = Meter()

    def call(self, use: Callable[[Token], T]) -> T:
        """Use the open token, opening it first if need be. Raises TransientError with what is wrong."""
        with self._meter.timed():
            held = self._token is not None
            try:
                return self._use(use)
            except RebuildError:
                if not held:
                    raise
            self._not_before = 0.0  # what was held may merely have gone stale: the table says at once
            return self._use(use)

    def make(self, generation: int) -> EnrolledKey:
        """Return this generation's key, made if it is not there. Never repeated by itself. Raises TransientError."""
        with self._meter.timed():
            keys = self._use(lambda token: token.keys)
            if all(key.generation != generation for key in keys):
                self.close()
                self._watched(self._make, self._admit(), generation)
                keys = self._use(lambda token: token.keys)
            for key in keys:
                if key.generation == generation:
                    return key
            raise TokenError("key_count", f"generation {generation} is there in part, and cannot be finished")

    def busy_seconds(self) -> float:
        """Return how long the present call has been running; 0 when there is none. Any thread may ask."""
        return self._meter.busy_seconds()

    def in_vain(self) -> bool:
        """Whether so many attempts failed that only a new process may mend it. Any thread may ask."""
        return self._failures >= _IN_VAIN and self._last is not None and self._last.reason in _OF_THE_LIBRARY

    def stats(self) -> dict[str, Any]:
        """Return the calls that went well, the newest latencies in seconds, failures by reason, and how the token is.

        "reason" says what is wrong now, or is null; "lockout_seconds" how long a TPM stays locked at most, or is null.
        "memory_locked" is null while no token is open. A refused PIN counts once, however often it would have been sent.
        """
        token, last = self._token, self._last
        return self._meter.stats() | {
            "reason": last.reason if last is not None else None,
            "lockout_seconds": self._refused.seconds_left(),
            "memory_locked": token.memory_locked if token is not None else None,
        }

    def close(self) -> None:
        """Log out and let go of the library: a TPM forgets what it had loaded. The next call opens anew."""
        token, self._token = self._token, None
        if token is not None:
            token.close()

    def _use(self, use: Callable[[Token], T]) -> T:
        token = self._token
        if token is None:
            token = self._watched(self._open, self._admit())
        result = self._watched(use, token)
        if self._last is not None:
            _log.info("The token signs again.", after=self._last.reason)
        self._failures, self._last = 0, None
        return result

    def _open(self, pin: str) -> Token:
        self._library = load_library(self._uri)
        token = open_token(self._library, self._uri, pin=pin, allow_software=self._allow_software)
        self._token = token
        self._refused.forget()
        return token

    def _make(self, pin: str, generation: int) -> None:
        self._library = load_library(self._uri)
        make_generation(self._library, self._uri, pin=pin, generation=generation)

    def _admit(self) -> str:
        """Return the PIN, unless nothing must be tried now: after a failure for a while, or with a refused PIN."""
        if self._last is not None and time.monotonic() < self._not_before:
            raise TokenError(self._last.reason, _sentence(self._last))
        pin = self._watched(read_pin, self._pin_file)
        self._refused.hold_back(pin)
        return pin

    def _watched(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do it; after a failure forget token and session: a later call, not before a while, builds everything anew."""
        try:
            return work(*arguments)
        except TokenError as exc:
            if self._last is None or self._last.reason != exc.reason:
                _log.warning("The token does not sign.", reason=exc.reason, detail=_sentence(exc))
            self._last = exc
            refused = isinstance(exc, PinRefusedError)
            tpm = self._library is not None and is_tpm(self._library)
            self.close()
            if not refused:
                self._meter.errors[exc.reason] += 1
                pause = self._pauses_seconds[min(self._failures, len(self._pauses_seconds) - 1)]
                self._failures += 1
                self._not_before = time.monotonic() + pause
            else:
                if self._refused.refuse(exc.reason, ends_by_itself=tpm):
                    self._meter.errors[exc.reason] += 1
                if sentence := self._refused.sentence():
                    raise PinRefusedError(exc.reason, sentence) from exc
            raise


def _sentence(exc: TokenError) -> str:
    return str(exc).partition(": ")[2]
