"""A payload's own time, where it is strict; anything else is the moment of reception."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from actod.proof.envelope import iso

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})\Z", re.ASCII)
_SCALES = ((1e17, -3), (1e14, 0), (1e11, 3), (1e8, 6))  # from which value on: ns, us, ms, s; the power of ten to us


def utc(value: Any) -> str | None:
    """Return a time as UTC ISO 8601 with microseconds; None if the value is not strictly one.

    Text must be ISO 8601 with a zone; a number is seconds, milliseconds, microseconds or nanoseconds since 1970 by size.
    """
    if isinstance(value, str) and len(value) <= 40 and _ISO.match(value):  # noqa: PLR2004 - the longest form is 35
        try:
            return datetime.fromisoformat(_microseconds(value)).astimezone(UTC).isoformat(timespec="microseconds")
        except (ValueError, OverflowError):
            return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        for smallest, power in _SCALES:
            if smallest <= value < smallest * 1e3:
                # in nanoseconds a float of our time would be off by hundreds of them
                microseconds = round(value * 10**power) if power >= 0 else int(value) // 10**-power
                return iso(microseconds * 1000)
    return None


def _microseconds(text: str) -> str:
    """Cut a fraction to the six digits that Python keeps."""
    head, point, rest = text.partition(".")
    if not point:
        return text
    digits = re.match(r"\d+", rest)
    length = digits.end() if digits else 0
    return f"{head}.{rest[:length][:6].ljust(6, '0')}{rest[length:]}"
