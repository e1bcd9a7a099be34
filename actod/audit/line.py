"""One line of the audit log: what it is hashed over, and what it may hold. Pure."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Any

from actod.proof.canonical import FLOAT_LIMIT, INTEGER_MAX, INTEGER_MIN, canonical

ZERO = "0" * 64
LONGEST_TEXT = 256
OWN_FIELDS = frozenset({"n", "at", "boot", "mono_ms", "event", "prev", "hash"})
_DEEPEST = 4
_EVENT = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")


def line_hash(line: Mapping[str, Any]) -> str:
    """Return the hash that a line must carry. Raises RejectedError for what cannot be a line."""
    return hashlib.sha256(canonical({name: value for name, value in line.items() if name != "hash"})).hexdigest()


def allowed_event(event: str) -> str:
    """Return the event if it is a fixed dotted word. Raises ValueError, without quoting it."""
    if not _EVENT.match(event):
        raise ValueError("an event is a short lower-case dotted word")
    return event


def allowed_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields that hold codes, counts and ids only: the audit log leaves the robot as often as any log.

    Long text is refused: its length stands in its place. Raises ValueError for types that are none of these.
    """
    taken = OWN_FIELDS & fields.keys()
    if taken:
        raise ValueError(f"{min(taken)} is the log's own field")
    return {_text(name): _allowed(value, 1) for name, value in fields.items()}


def _allowed(value: Any, level: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if INTEGER_MIN <= value <= INTEGER_MAX else "(integer out of range)"
    if isinstance(value, float):
        return float(value) if math.isfinite(value) and abs(value) < FLOAT_LIMIT else "(float out of range)"
    if level < _DEEPEST and isinstance(value, Mapping):
        return {_text(name): _allowed(item, level + 1) for name, item in value.items()}
    if level < _DEEPEST and isinstance(value, list | tuple):
        return [_allowed(item, level + 1) for item in value]
    raise ValueError(f"{type(value).__name__} does not belong into the audit log")


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        return f"({len(text)} characters)"
    return str.__str__(text) if text.isascii() else text.encode(errors="replace").decode()
