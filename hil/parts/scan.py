"""A raw byte scan for planted values, plain and in the usual disguises.

Files of any size are read in overlapping pieces. A scan that finds nothing proves something only if it also finds a
control value that was planted for it: callers plant one.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PIECE_BYTES = 8 * 1024 * 1024
_SHORTEST = 5


@dataclass(frozen=True)
class Hit:
    """Where a value was found; `form` says how it was written."""

    file: Path
    offset: int
    canary: str
    form: str


def scan(places: Iterable[Path], canaries: Sequence[str]) -> list[Hit]:
    """Search files and folders. Raises ValueError for a value too short to mean anything."""
    needles = _needles(canaries)
    longest = max((len(needle) for needle in needles), default=1)
    hits: list[Hit] = []
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file():
                hits += list(_scan_file(file, needles, longest))
    return hits


def scan_bytes(data: bytes, canaries: Sequence[str], *, name: Path) -> list[Hit]:
    """Search one piece of memory, such as the uncompressed content of a store."""
    return [Hit(name, data.find(needle), *found) for needle, found in _needles(canaries).items() if needle in data]


def _scan_file(file: Path, needles: dict[bytes, tuple[str, str]], longest: int) -> Iterator[Hit]:
    with file.open("rb") as source:
        base, tail = 0, b""
        while piece := source.read(_PIECE_BYTES):
            data = tail + piece
            for needle, (canary, form) in needles.items():
                at = data.find(needle)
                if at >= 0:
                    yield Hit(file, base - len(tail) + at, canary, form)
            base += len(piece)
            tail = data[-longest:]


def _needles(canaries: Sequence[str]) -> dict[bytes, tuple[str, str]]:
    """Return bytes -> (canary, form) for all forms of all values."""
    result: dict[bytes, tuple[str, str]] = {}
    for canary in filter(None, canaries):
        if len(canary) < _SHORTEST:
            raise ValueError("a canary of less than 5 characters would be found anywhere")
        raw = canary.encode()
        forms = {
            "plain": raw,
            "utf-16": canary.encode("utf-16-le"),
            "json": json.dumps(canary)[1:-1].encode(),
            "percent": urllib.parse.quote(canary, safe="").encode(),
            "hex": raw.hex().encode(),
            "zlib": zlib.compress(raw),
        }
        for shift in range(3):  # base64 of the value inside something longer, at each of three alignments
            middle = base64.b64encode(b"\0" * shift + raw)[(0, 2, 3)[shift] :].rstrip(b"=")[:-1]
            forms[f"base64+{shift}"] = middle
        for form, needle in forms.items():
            if len(needle) >= _SHORTEST:
                result.setdefault(needle, (canary, form))
    return result
