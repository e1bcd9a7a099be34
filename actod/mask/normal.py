"""Unicode look-alikes brought back to plain characters, with the positions of the original.

A view is (text, positions): positions[i] is where view character i came from, with one more entry for the end; None
means that the view has the original's positions.
"""

from __future__ import annotations

import re
import unicodedata

Positions = list[int] | None

_INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061"
_INVISIBLE += "\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\u3164\ufe00\ufe01\ufe0e\ufe0f\ufeff\uffa0"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\u2043\u058a"
_SPACES = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000\u2028\u2029\u0085"
)
_LOOK_ALIKE = str.maketrans(
    "аеорсхуіјѕԁһԛԝӏгкмтнвАВЕКМНОРСТХІЈЅҮԌԚԜЗαορνικυχτγηΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϳօոսցհեԁɑɡıꞵ",
    "aeopcxyijsdhqwlrkmthbABEKMHOPCTXIJSYGQW3aopvikuxtynABEZHIKMNOPTYXCjonughedagiB",
)
_LOOK_ALIKE_LETTERS = frozenset(map(chr, _LOOK_ALIKE))
_FOREIGN = re.compile(r"[\u0370-\u058f]")
_COMBINING = re.compile(r"[\u0300-\u036f\u1161-\u11ff\u3099\u309a]")
_WORD = re.compile(r"\w+")
_MOST_KNOWN = 8192


class _Table(dict[int, str]):
    """Character to plain text, worked out when it is first seen. Bounded."""

    def __missing__(self, code: int) -> str:
        if len(self) >= _MOST_KNOWN:
            self.clear()
        char = chr(code)
        plain = _plain(char)
        self[code] = plain
        return plain


def _plain(char: str) -> str:
    if char.isascii():
        return char
    if char in _INVISIBLE or "\U000e0000" <= char <= "\U000e0fff":
        return ""
    if char in _DASHES:
        return "-"
    if char in _SPACES:
        return " "
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    return unicodedata.normalize("NFKC", char)


_TABLE = _Table()


def normalise(text: str) -> tuple[str, Positions]:
    """Return a view in plain characters. ASCII text is its own view."""
    if text.isascii():
        return text, None
    if _COMBINING.search(text) and (composed := unicodedata.normalize("NFC", text)) != text:
        view, inner = normalise(composed)
        return view, compose(_composed_at(text), inner)
    plain = text.translate(_TABLE)
    positions: Positions = None
    if len(plain) != len(text) or any(len(_TABLE[code]) != 1 for code in set(map(ord, text))):
        positions = []
        for index, char in enumerate(text):
            positions.extend([index] * len(_TABLE[ord(char)]))
        positions.append(len(text))
    return _without_look_alikes(plain), positions


def _composed_at(text: str) -> list[int]:
    """Where each character of the composed text begins in the text."""
    positions: list[int] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not (unicodedata.combining(text[end]) or "\u1161" <= text[end] <= "\u11ff"):
            positions.extend([start] * len(unicodedata.normalize("NFC", text[start:end])))
            start = end
    positions.append(len(text))
    return positions


def _without_look_alikes(text: str) -> str:
    """Turn Cyrillic, Greek and Armenian look-alikes to Latin, but leave words that are truly foreign as they are."""
    if text.isascii() or not _FOREIGN.search(text):
        return text
    genuine = any("\u0370" <= ch <= "\u058f" and ch not in _LOOK_ALIKE_LETTERS for ch in text)
    if not genuine:
        return text.translate(_LOOK_ALIKE)
    return _WORD.sub(lambda m: m[0].translate(_LOOK_ALIKE) if _mixed(m[0]) else m[0], text)


def _mixed(word: str) -> bool:
    return any(ch.isascii() and ch.isalnum() for ch in word)


def compose(outer: Positions, inner: Positions) -> Positions:
    """Positions of a view of a view: `inner` leads into the text that `outer` leads out of."""
    if outer is None:
        return inner
    if inner is None:
        return outer
    return [outer[position] for position in inner]
