"""Keeps the token open on the one thread that may touch it: opens late, heals, and never repeats a refused PIN."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from actod.errors import TransientError
from actod.keys.token import PinRefusedError, Token, open_token, read_pin
from actod.keys.uri import TokenUri

T = TypeVar("T")
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_LATENCIES = 512


class TokenKeeper:
    """Every method must be called on the token's thread, `busy_seconds` and `stats` excepted."""

    def __init__(self, uri: TokenUri, *, pin_file: Path, allow_software: bool = True) -> None:
        self._uri, self._pin_file, self._allow_software = uri, pin_file, allow_software
        self._token: Token | None = None
        self._salt = os.urandom(32)
        self._refused_pin = b""
        self._refused_because = ""
        self._failures = 0
        self._not_before = 0.0
        self._last_reason = "token_away"
        self._since = 0.0
        self._calls = 0
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._counts: Counter[str] = Counter()

    def call(self, use: Callable[[Token], T]) -> T:
        """Use the open token, opening it first if need be. Raises TransientError with what is wrong."""
        self._since = time.monotonic()
        try:
            token = self._open()
            try:
                result = use(token)
            except TransientError as exc:
                self._fail(exc)
                raise
            self._failures = 0
            self._calls += 1
            self._latencies.append(time.monotonic() - self._since)
            return result
        finally:
            self._since = 0.0

    def busy_seconds(self) -> float:
        """Return how long the present call has been running; 0 when there is none. Any thread may ask."""
        since = self._since
        return time.monotonic() - since if since else 0.0

    def stats(self) -> dict[str, float | dict[str, int]]:
        """Return the calls that went well, the newest 512's latencies in seconds, and failures by reason.

        Any thread may ask. A refused PIN counts once, however often it would have been asked for.
        """
        ordered = sorted(self._latencies)
        middle = ordered[len(ordered) // 2] if ordered else 0.0
        high = ordered[int(len(ordered) * 0.99)] if ordered else 0.0
        return {"calls": self._calls, "p50_seconds": middle, "p99_seconds": high, "errors": dict(self._counts)}

    def _open(self) -> Token:
        if self._token is not None:
            return self._token
        if time.monotonic() < self._not_before:
            raise TransientError(self._last_reason)
        try:
            pin = read_pin(self._pin_file)
            mark = hashlib.blake2b(pin.encode(), key=self._salt).digest()
            self._hold_back(mark)
            self._token = open_token(self._uri, pin=pin, allow_software=self._allow_software)
        except PinRefusedError as exc:
            if mark != self._refused_pin:  # kept by what it is, not by its file: a PIN written anew is the same PIN
                self._counts[exc.reason] += 1
                self._refused_pin, self._refused_because = mark, exc.reason
            raise
        except TransientError as exc:
            self._fail(exc)
            raise
        self._refused_pin = b""
        return self._token

    def _hold_back(self, mark: bytes) -> None:
        if mark == self._refused_pin:
            raise PinRefusedError(self._refused_because, "this PIN was refused before and is not sent again")

    def _fail(self, exc: TransientError) -> None:
        """Forget token and session: the next call, not before a while, builds everything anew."""
        self._counts[exc.reason] += 1
        if self._token is not None:
            self._token.close()
            self._token = None
        pause = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._last_reason, self._not_before = exc.reason, time.monotonic() + pause
