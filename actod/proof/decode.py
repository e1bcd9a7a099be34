"""Strict decoding of a wire payload: what this returns lies inside the canonical domain, or a reason was raised.

orjson silently keeps the last of two equal keys. The exact check is a count: a text without a backslash has two
quotation marks for each string, the dump of what was parsed likewise, and a dropped key is a dropped string. Texts with a
backslash go through the standard library's parser, which hands over the pairs.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from actod.errors import RejectedError
from actod.proof.canonical import FLOAT_LIMIT, INTEGER_MAX, INTEGER_MIN, MAX_DEPTH, check, deeper_than

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def parse_json(payload: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return the JSON value of a payload. Raises RejectedError: not_utf8, not_json, duplicate_key or a canonical reason."""
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        _say_why(payload, max_depth)
    try:
        body = orjson.dumps(value)
    except TypeError:  # it reads deeper than it writes
        raise RejectedError("too_deep") from None
    if deeper_than(body, max_depth):
        check(value, max_depth=max_depth)
    if b"\\" in payload:
        _exact(payload)
    elif payload.count(b'"') != body.count(b'"'):
        raise RejectedError("duplicate_key")
    # A number that became null or has a large exponent: find out which it was. Big integers are parsed as floats.
    if b"e+" in body or body.count(b"null") != payload.count(b"null"):
        _exact(payload)
        check(value, max_depth=max_depth)
    return value


def _say_why(payload: bytes, max_depth: int) -> NoReturn:
    """Name the reason for which orjson refused."""
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        raise RejectedError("not_utf8") from None
    if deeper_than(_STRINGS.sub(b"", payload), max_depth) and _depth(payload) > max_depth:
        raise RejectedError("too_deep", f"nested deeper than {max_depth}")
    _exact(payload)
    raise RejectedError("not_json")


def _depth(payload: bytes) -> int:
    """Return how deep brackets outside of strings open, in linear time; the text may be no JSON."""
    deepest = depth = 0
    for byte in _STRINGS.sub(b"", payload):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _exact(payload: bytes) -> None:
    """Hold a text against the domain with the standard library's parser: slow, and sees pairs, constants and digits."""
    try:
        value = json.loads(
            payload, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except (ValueError, RecursionError):
        raise RejectedError("not_json") from None
    check(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise RejectedError("duplicate_key")
    return result


def _constant(_name: str) -> NoReturn:
    raise RejectedError("nan", "NaN and Infinity are no JSON")


def _integer(digits: str) -> int:
    if len(digits) > len(str(INTEGER_MIN)) or not INTEGER_MIN <= int(digits) <= INTEGER_MAX:
        raise RejectedError("integer_range", "outside [-2^63, 2^64-1]")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise RejectedError("nan", "a number that is not finite")
    if abs(value) >= FLOAT_LIMIT:
        raise RejectedError("float_too_large", "abs >= 1e16: verifiers print it differently")
    return value
