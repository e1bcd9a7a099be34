"""Strict decoding of a wire payload: what this returns lies inside the canonical domain, or a reason was raised.

orjson silently keeps the last of two equal keys. The exact check is a count: every string has two quotation marks that are
not escaped, in the payload as in what is written from the parsed value, and a dropped member is a dropped key at least.
Keys that are equal only after unescaping are dropped like any other. orjson also reads big integers as floats: these show
as large floats, and the standard library's parser, slow but with a hook for every token, then names the reason.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from actod.errors import RejectedError
from actod.proof.canonical import (
    DATA_MAX_DEPTH,
    FLOAT_LIMIT,
    INTEGER_MAX,
    INTEGER_MIN,
    check,
    deeper_than,
    unescaped_quotes,
)

REASONS = (
    "not_utf8",
    "not_json",
    "duplicate_key",
    "nan",
    "float_too_large",
    "integer_range",
    "lone_surrogate",
    "too_deep",
)
_LONGEST_INTEGER = len(str(INTEGER_MIN))


def parse_json(payload: bytes, *, max_depth: int = DATA_MAX_DEPTH) -> Any:
    """Return the JSON value of a payload. Raises RejectedError with one of REASONS.

    `max_depth` counts containers, 1 for `{}`; a greater one than DATA_MAX_DEPTH is cut to it. Time and memory are linear
    in the size of the payload, which the caller bounds.
    """
    max_depth = min(max_depth, DATA_MAX_DEPTH)
    try:
        value, read = orjson.loads(payload), True
    except orjson.JSONDecodeError:
        value, read = None, False  # the reason is raised outside of this block: what was caught carries the payload
    if not read:
        _say_why(payload, max_depth)
    if deeper_than(payload, max_depth):
        raise RejectedError("too_deep", f"nested deeper than {max_depth}")
    body = orjson.dumps(value)
    if b"\\" in payload:
        same = unescaped_quotes(payload).count(b'"') == unescaped_quotes(body).count(b'"')
    else:
        same = payload.count(b'"') == body.count(b'"')
    if not same:
        raise RejectedError("duplicate_key")
    if b"e+" in body:
        _check_numbers(value, payload)
    return value


def _check_numbers(value: Any, payload: bytes) -> None:
    """Look at a value that seems to hold a large float, and tell one from an integer that was read as one."""
    try:
        check(value)
    except RejectedError as exc:
        refusal = exc
    else:
        return
    _exact(payload)
    raise refusal


def _say_why(payload: bytes, max_depth: int) -> NoReturn:
    """Name the reason for which orjson refused."""
    if _text(payload) is None:
        raise RejectedError("not_utf8")
    if deeper_than(payload, max_depth):
        raise RejectedError("too_deep", f"nested deeper than {max_depth}")
    _exact(payload)
    raise RejectedError("not_json")


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _exact(payload: bytes) -> None:
    """Hold a text against the domain with the standard library's parser, which sees pairs, constants and digits."""
    text, reason = _text(payload) or "", ""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except ValueError:
        reason = "not_json"
    except RecursionError:  # brackets in what only looked like strings
        reason = "too_deep"
    if reason:
        raise RejectedError(reason)
    check(value)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise RejectedError("duplicate_key")
    return result


def _constant(_name: str) -> NoReturn:
    raise RejectedError("nan", "NaN and Infinity are no JSON")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER or not INTEGER_MIN <= int(digits) <= INTEGER_MAX:
        raise RejectedError("integer_range", "outside [-2^63, 2^64-1]")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise RejectedError("nan", "a number that is not finite")
    if abs(value) >= FLOAT_LIMIT:
        raise RejectedError("float_too_large", "abs >= 1e16: verifiers print it differently")
    return value
