"""Canonical bytes: orjson with sorted keys, kept to the domain in which all its versions agree byte for byte.

The domain: finite floats with abs < 1e16, integers in [-2^63, 2^64-1], valid Unicode, string keys, depth <= 128. What
lies outside raises RejectedError with one of REASONS. The walk that finds out which is slow, so it runs only where the
bytes look as if it were needed: a NaN was written as `null`, a large float has `e+`, depth shows in the brackets.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import orjson

from actod.errors import RejectedError

MAX_DEPTH = 128
FLOAT_LIMIT = 1e16
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1

REASONS = (
    "nan",
    "float_too_large",
    "integer_range",
    "lone_surrogate",
    "key_not_string",
    "too_deep",
    "not_json",
)

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def canonical(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value. Raises RejectedError outside the domain."""
    try:
        body = orjson.dumps(value, option=_OPTIONS)
    except (TypeError, orjson.JSONEncodeError):
        check(value)
        raise RejectedError("not_json") from None  # the message of the encoder may quote content
    if b"null" in body or b"e+" in body or deeper_than(body, MAX_DEPTH):
        check(value)
    return body


def digest(body: bytes, hash_alg: str) -> str:
    """Return the hex digest under "sha256" or "blake3"."""
    if hash_alg == "sha256":
        return hashlib.sha256(body).hexdigest()
    if hash_alg == "blake3":
        from blake3 import blake3  # noqa: PLC0415 - loaded only where it is configured or verified

        return str(blake3(body).hexdigest())
    raise RejectedError("hash_alg", "expected sha256 or blake3")


def deeper_than(body: bytes, limit: int) -> bool:
    """Whether JSON text may be nested deeper than `limit`; brackets in strings can make it err on the safe side."""
    brackets = body.translate(None, _NOT_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        shorter = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(brackets):
            return True  # brackets in strings: only a walk can tell
        brackets = shorter
    return bool(brackets)


def check(value: Any, *, max_depth: int = MAX_DEPTH) -> None:
    """Walk a value and raise RejectedError with the first reason for which it lies outside the domain."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        kind = type(item)
        if kind is dict or kind is list or kind is tuple:
            if depth >= max_depth:
                raise RejectedError("too_deep", f"nested deeper than {max_depth}")
            if kind is dict:
                for key in item:
                    _check_text(key, "key_not_string")
                stack.extend((member, depth + 1) for member in item.values())
            else:
                stack.extend((member, depth + 1) for member in item)
        else:
            _check_scalar(item, kind)


def _check_scalar(item: Any, kind: type) -> None:
    if kind is str:
        _check_text(item, "not_json")
    elif kind is float:
        if not math.isfinite(item):
            raise RejectedError("nan", "a number that is not finite")
        if abs(item) >= FLOAT_LIMIT:
            raise RejectedError("float_too_large", "abs >= 1e16: verifiers print it differently")
    elif kind is int:
        if not INTEGER_MIN <= item <= INTEGER_MAX:
            raise RejectedError("integer_range", "outside [-2^63, 2^64-1]")
    elif item is not None and kind is not bool:
        raise RejectedError("not_json", f"no JSON type: {kind.__name__}")


def _check_text(text: Any, reason: str) -> None:
    if type(text) is not str:
        raise RejectedError(reason)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RejectedError("lone_surrogate") from None  # the exception would carry the text
