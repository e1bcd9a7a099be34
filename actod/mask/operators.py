"""What is done with a finding: mask, redact, hash, coarsen, drop, keep (Presidio's names where it has one)."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from dataclasses import dataclass
from typing import Any

from actod.mask.finding import PSEUDONYM_CHARACTERS

_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_GRID_DECIMALS = 2  # 0.01 degree: 1.1 km north to south
_E7_CELL = 10**5
_SHORT_MASK = 8


class Dropped:
    """Stands for a member that is to be left out."""


DROPPED = Dropped()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Applies an operator to a value. `key` is the epoch's pseudonym key."""

    key: bytes
    mask_char: str
    preserve_length: bool

    def text(self, operator: str, type_: str, value: str) -> str:
        """Return what stands in the place of a sensitive run of text."""
        if operator == "keep":
            return value
        if operator == "mask":
            return self.mask_char * (len(value) if self.preserve_length else _SHORT_MASK)
        if operator == "hash":
            return f"<{type_.upper()}:{self.pseudonym(type_, value)}>"
        if operator == "coarsen":
            coarse = coarsened(type_, value)
            if coarse is not None:
                return coarse
        return f"<{type_.upper()}>"

    def number(self, operator: str, type_: str, value: float) -> Any:
        """Return what stands in the place of a sensitive number. It stays a number: 0, or coarser."""
        if operator == "keep":
            return value
        if operator == "hash":
            digest = self.pseudonym(type_, str(value))
            return int(digest, 16)
        if operator == "coarsen" and type_ == "gps":
            return coarse_degrees(value)
        return 0.0 if isinstance(value, float) else 0

    def pseudonym(self, type_: str, value: str) -> str:
        """Return 12 hex characters: HMAC-SHA256 under the epoch key, over type and normalised value."""
        plain = "".join(filter(str.isalnum, value)).lower() or value
        body = f"{type_}\n{plain}".encode("utf-8", "surrogatepass")
        digest = hmac.new(self.key, body, hashlib.sha256).hexdigest()[:PSEUDONYM_CHARACTERS]
        return "abcdef"[int(digest[0]) % 6] + digest[1:] if digest.isdigit() else digest  # never taken for a number


def coarse_degrees(value: float) -> Any:
    """Bring degrees, or degrees times 10^7, to a grid of a hundredth of a degree. Idempotent; never a larger number."""
    if isinstance(value, int):
        return value - int(math.copysign(abs(value) % _E7_CELL, value)) if abs(value) >= _E7_CELL else value  # towards 0
    if not math.isfinite(value):
        return 0.0
    return float(int(value / _E7_CELL) * _E7_CELL) if abs(value) > 360 else round(value, _GRID_DECIMALS)


def coarsened(type_: str, value: str) -> str | None:
    """Make text coarser: degrees to a grid, a date to its year. None where that cannot be done."""
    if type_ == "gps":
        numbers = _NUMBER.findall(value)
        if numbers and all("." in n or "," in n for n in numbers) and not set("°º'\"′″") & set(value):
            return _NUMBER.sub(lambda m: f"{float(m[0].replace(',', '.')):.{_GRID_DECIMALS}f}", value)
        return None
    if type_ == "dob":
        year = _YEAR.search(value)
        return year[0] if year else None
    return None
