"""Numbers, arrays of numbers, and values cut in pieces: what is measured is left alone, what names somebody is not."""

from __future__ import annotations

from typing import Any

from actod.mask.fields import NUMERIC, in_field
from actod.mask.financial import is_card
from actod.mask.finding import Finding
from actod.mask.keys import Hint
from actod.mask.leaf import LeafReader
from actod.mask.operators import DROPPED
from actod.mask.verdicts import Verdicts

CARD_FLOOR, _CARD_CEILING = 10**13, 10**16
MOST_PIECES = 40
_SHORT, _LONGEST_BYTES = 4, 4096
_SMALLEST_IDENTITY = 10_000
_MANY_DECIMALS = 5
_SMALLEST = {"password": 1000, "wifi_key": 1000, "dob": 1900, "dob_part": 1, "card": 10**7}  # a PIN has four digits
_NUMERIC_TYPES = {int, float}
_DEGREES, _E7 = 180.0, 1_000_000


class Numbers:
    """Masks what is a number or made of pieces."""

    def __init__(self, *, verdicts: Verdicts, reader: LeafReader) -> None:
        self._verdicts = verdicts
        self._reader = reader

    def one(self, value: float, hint: Hint) -> Any:
        """Mask one number; it stays a number."""
        kind = hint.kind
        if not kind:
            if CARD_FLOOR <= value < _CARD_CEILING and not hint.benign and value == int(value) and is_card(str(int(value))):
                return self._verdicts.number(value, "card", "card_number", 0.7)
            return value
        if kind in ("gps_lat", "gps_lon", "gps"):
            if (type(value) is float and abs(value) <= _DEGREES) or abs(value) >= _E7:
                return self._verdicts.number(value, "gps", "field_degrees", 0.95)
        elif kind == "gps_weak":
            if type(value) is float and abs(value) <= _DEGREES and len(repr(value).partition(".")[2]) >= _MANY_DECIMALS:
                return self._verdicts.number(value, "gps", "field_degrees", 0.8)
        elif kind == "biometric" or (kind in NUMERIC and abs(value) >= _SMALLEST.get(kind, _SMALLEST_IDENTITY)):
            return self._verdicts.number(value, "dob" if kind == "dob_part" else kind, "field_" + kind, 0.9)
        return value

    def array(self, items: list[Any], hint: Hint, kinds: set[type]) -> Any:
        """Arrays of numbers: measured values, unless the key says otherwise."""
        if hint.kind:
            return self._told(items, hint, kinds)
        if kinds == {int} and 8 <= len(items) <= _LONGEST_BYTES and min(items) >= 9 and max(items) < 256:
            text = _text_of_bytes(items)
            found = self._reader.find(text, hint, 0) if text.isprintable() else []
            if found:
                return self._verdicts.pieces(items, found[0].type, "byte_array")
        if int in kinds and kinds <= _NUMERIC_TYPES and max(items) >= CARD_FLOOR:
            return self._each_number(items, hint)
        return items

    def _told(self, items: list[Any], hint: Hint, kinds: set[type]) -> list[Any]:
        octets = hint.kind in ("mac", "ip") and len(items) in (4, 6, 8, 16)
        if octets and all(type(x) is int and 0 <= x <= 255 for x in items):
            return self._verdicts.pieces(items, "mac" if hint.kind == "mac" else "ipv4", "pieces")
        if kinds == {int} and len(items) <= MOST_PIECES and hint.kind in NUMERIC:
            found = in_field(hint.kind, "".join(map(str, items)))
            if found:
                return self._verdicts.pieces(items, found[0].type, "pieces")
        return self._each_number(items, hint)

    def _each_number(self, items: list[Any], hint: Hint) -> list[Any]:
        masked = [self.one(x, hint) if type(x) in (int, float) else x for x in items]
        if all(a is b for a, b in zip(masked, items, strict=True)):
            return items
        return [x for x in masked if x is not DROPPED]

    def pieces(self, items: list[Any], hint: Hint) -> list[Any] | None:
        """Blank a value cut in pieces: ["4111", "1111", ...], ["a4", "c3", ...], [192, "168", ...]."""
        if any(len(x) > _SHORT if type(x) is str else type(x) is not int or abs(x) >= 10**_SHORT for x in items):
            return None
        texts = [str(x) for x in items]
        joined = "".join(texts)
        found: list[Finding] = []
        if hint.kind:
            for candidate in (joined, ".".join(texts), ":".join(texts)):
                found = found or in_field(hint.kind, candidate)
        if not found and len(texts) == 6 and all(len(x) == 2 for x in texts):
            found = self._reader.find(":".join(texts), hint, 0)
        if not found:
            found = [f for f in self._reader.find(joined, hint, 0) if f.end - f.start >= 0.7 * len(joined)]
        if not found and len(texts) == 4 and not hint.benign and all(type(x) is str for x in items):
            found = self._reader.find(".".join(texts), hint, 0)
        return self._verdicts.pieces(items, found[0].type, "pieces") if found else None


def _text_of_bytes(items: list[int]) -> str:
    try:
        return bytes(items).decode()
    except UnicodeDecodeError:
        return ""
