"""Canonical bytes: orjson with sorted keys, kept to the domain in which all its versions agree byte for byte.

The domain: finite floats with abs < 1e16, integers in [-2^63, 2^64-1], valid Unicode, string keys, depth <= 128, and no
type but None, bool, int, float, str, list (or tuple) and dict. What lies outside raises RejectedError with one of REASONS.

The walk that names the reason is slow, so it runs only where something fast, but never wrong, says that it must:
marshal refuses every foreign type and subclass, orjson refuses big integers, surrogates and keys, a large float is the only
number with `e+`, a NaN is a `null` that does not read back as what it was, and depth needs as many brackets.
"""

from __future__ import annotations

import hashlib
import marshal
import math
import re
from functools import partial
from itertools import accumulate
from operator import sub
from typing import Any

import orjson

from actod.errors import RejectedError

MAX_DEPTH = 128
DATA_MAX_DEPTH = MAX_DEPTH - 4  # payload > telemetry_normalized > events > event > data
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

# orjson before 3.11.7 prints 1e16 without the sign that the fast path looks for: then every value is walked.
_SIGN_SHOWS = b"e+" in orjson.dumps(FLOAT_LIMIT)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_ROUNDS = 16  # levels taken off in bulk before the rest is counted bracket by bracket
_CHUNK_BYTES = 1 << 20


def canonical(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value. Raises RejectedError outside the domain."""
    try:
        marshal.dumps(value)
        body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError, RecursionError):
        body = b""  # the reason is raised outside of this block: what was caught may quote content
    if not body:
        check(value)
        raise RejectedError("not_json")
    if b"e+" in body or not _SIGN_SHOWS or (b"null" in body and orjson.loads(body) != value) or deeper_than(body, MAX_DEPTH):
        check(value)
    return bytes(memoryview(body))  # orjson leaves its result in a buffer of up to 16 KiB, and a group holds a thousand


def digest(body: bytes, hash_alg: str) -> str:
    """Return the hex digest under "sha256" or "blake3". Raises RejectedError("hash_alg") for another."""
    if hash_alg == "sha256":
        return hashlib.sha256(body).hexdigest()
    if hash_alg == "blake3":
        from blake3 import blake3  # noqa: PLC0415 - loaded only where it is configured or verified

        return str(blake3(body).hexdigest())
    raise RejectedError("hash_alg", "expected sha256 or blake3")


def deeper_than(text: bytes, limit: int) -> bool:
    """Whether JSON text is nested deeper than `limit`. Exact; linear in time; cheap where few brackets are."""
    return text.count(b"[") + text.count(b"{") > limit and depth(text) > limit


def depth(text: bytes) -> int:
    """Return how deep JSON text is nested: 0 for a scalar. Of text that is no JSON, how deep its brackets open."""
    brackets = _brackets(text)
    levels = 0
    while levels < _ROUNDS:
        shorter = brackets.replace(b"[]", b"")  # takes off the innermost containers: exactly one level
        if len(shorter) == len(brackets):
            break
        brackets, levels = shorter, levels + 1
    if not brackets:
        return levels
    return levels + max(accumulate(map(partial(sub, 92), brackets)), default=0)  # "[" is 91, "]" is 93


def _brackets(text: bytes) -> bytes:
    """Return the brackets of JSON text that stand outside of strings, all written as "[" and "]"."""
    text = unescaped_quotes(text)
    found, inside = [], 0
    for start in range(0, len(text), _CHUNK_BYTES):  # in chunks: a split makes an object for each quotation mark
        pieces = text[start : start + _CHUNK_BYTES].split(b'"')
        found.append(b"".join(pieces[inside::2]).translate(_ONE_KIND, _NOT_BRACKETS))
        inside ^= (len(pieces) - 1) & 1
    return b"".join(found)


def unescaped_quotes(text: bytes) -> bytes:
    """Take escaped quotation marks out of JSON text, so that each one left begins or ends a string."""
    if b"\\" not in text:
        return text
    return text.replace(b"\\\\", b"").replace(b'\\"', b"")


def check(value: Any, *, max_depth: int = MAX_DEPTH) -> None:
    """Walk a value and raise RejectedError with the first reason for which it lies outside the domain."""
    stack: list[tuple[Any, int]] = [(value, 0)]
    while stack:
        item, level = stack.pop()
        kind = type(item)
        if kind is dict or kind is list or kind is tuple:
            if level >= max_depth:
                raise RejectedError("too_deep", f"nested deeper than {max_depth}")
            if kind is dict:
                for key in item:
                    _check_text(key, "key_not_string")
                stack.extend((member, level + 1) for member in item.values())
            else:
                stack.extend((member, level + 1) for member in item)
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
        raise RejectedError("not_json", "a value of a type that JSON does not have")


def _check_text(text: Any, reason: str) -> None:
    if type(text) is not str:
        raise RejectedError(reason)
    if not text.isascii() and _SURROGATE.search(text):
        raise RejectedError("lone_surrogate")
