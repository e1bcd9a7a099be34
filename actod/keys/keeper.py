"""Keeps the token open on the one thread that may touch it: opens late, heals, and never repeats a refused PIN."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from actod.errors import TransientError
from actod.keys.token import PinError, Token, open_token, pin_fingerprint, read_pin
from actod.keys.uri import TokenUri

T = TypeVar("T")
_BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_LATENCIES = 512


class TokenKeeper:
    """Every method must be called on the token's thread, `busy_seconds` and `stats` excepted."""

    def __init__(self, uri: TokenUri, *, pin_file: Path) -> None:
        self._uri, self._pin_file = uri, pin_file
        self._token: Token | None = None
        self._refused_pin = ""
        self._refusal: PinError | None = None
        self._failures = 0
        self._not_before = 0.0
        self._last_reason = "token_away"
        self._since = 0.0
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
            self._latencies.append(time.monotonic() - self._since)
            return result
        finally:
            self._since = 0.0

    def busy_seconds(self) -> float:
        """Return how long the present call has been running; 0 when there is none. Any thread may ask."""
        since = self._since
        return time.monotonic() - since if since else 0.0

    def stats(self) -> dict[str, float | dict[str, int]]:
        """Return latencies in seconds and counts of failures by reason. Any thread may ask."""
        ordered = sorted(self._latencies)
        middle = ordered[len(ordered) // 2] if ordered else 0.0
        high = ordered[int(len(ordered) * 0.99)] if ordered else 0.0
        return {"calls": float(len(ordered)), "p50": middle, "p99": high, "errors": dict(self._counts)}

    def _open(self) -> Token:
        if self._token is not None:
            return self._token
        fingerprint = pin_fingerprint(self._pin_file)
        if self._refusal is not None and fingerprint == self._refused_pin:
            raise self._refusal
        if time.monotonic() < self._not_before:
            raise TransientError(self._last_reason)
        try:
            self._token = open_token(self._uri, pin=read_pin(self._pin_file))
        except PinError as exc:
            self._counts[exc.reason] += 1
            self._refusal, self._refused_pin = exc, fingerprint
            raise
        except TransientError as exc:
            self._fail(exc)
            raise
        self._refusal = None
        return self._token

    def _fail(self, exc: TransientError) -> None:
        """Forget token and session: the next call, not before a while, builds everything anew."""
        self._counts[exc.reason] += 1
        if self._token is not None:
            self._token.close()
            self._token = None
        pause = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._last_reason, self._not_before = exc.reason, time.monotonic() + pause
