"""Keys inside text: `key=value`, `key: value`, query strings, logfmt, YAML, INI, XML, CSV. Each value meets its key's hint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from actod.mask.keys import Hint, KeyBook

_KEY = re.compile(
    r"(?<![A-Za-z0-9_.-])(?:--?)?([A-Za-z][A-Za-z0-9_.-]{0,47})(?:\[[\w-]{0,16}\])?[\"']?[ \t]{0,2}(?::=|=>|->|=|:)[ \t]{0,2}"
)
_VALUE = re.compile(r"\"([^\"\n]{1,4096})\"|'([^'\n]{1,4096})'|([^\s,;&<>\"'|\]})]{1,4096})")
_LINE = re.compile(r"(?m)^[ \t#*-]{0,8}[\"']?([A-Za-z][A-Za-z0-9_. -]{0,47})[\"']?[ \t]{0,2}[:=][ \t]{1,8}([^\n]{2,400})$")
_PHRASE = re.compile(
    r"(?<![A-Za-z0-9_])(?:--?)?([A-Za-z][A-Za-z0-9_.-]{0,47})[ \t]{0,2}[:=][ \t]{0,2}([^\s,;&<>\"'|\[\]{}()=:][^\n,;&<>\"|\[\]{}()=:]{1,80})"
)
_ELEMENT = re.compile(r"<([A-Za-z][\w:.-]{0,47})(?:\s[^<>]{0,200})?>([^<>]{1,4096})</")
_ATTRIBUTE_WORD = re.compile(r"\s([\w-]{1,32})\s?[=:]\s*\Z|\s([\w-]{1,32})\Z")
_HEADER_CELL = re.compile(r"[\"']?[A-Za-z_][\w .\-/()]{0,47}[\"']?\Z")
_SPACED_KINDS = frozenset(("person", "agent", "address", "phone", "card", "iban", "plate", "dob", "passport"))
_WORDY_KINDS = frozenset(("person", "agent", "address"))
_WORDS_AFTER = re.compile(r"(?<=\S)(?:[ \t]+[^\W\d_A-Z]{3,40}){1,16}\Z")
_MOST_LINES = 400
_MOST_NESTED = 4


class Assigned(NamedTuple):
    """A value inside text: text[start:end], with what its key says."""

    start: int
    end: int
    hint: Hint


def assigned(text: str, book: KeyBook) -> Iterator[Assigned]:
    """Find values whose key says something about them."""
    yield from _pairs(text, book)
    if "\n" in text or text[:1] in "-#":
        yield from _keyed(_LINE, text, book)
    if "</" in text:
        yield from _keyed(_ELEMENT, text, book)
    if "\n" in text:
        yield from _table(text, book)


def _pairs(text: str, book: KeyBook) -> Iterator[Assigned]:
    covered, nested = 0, 0
    for m in _KEY.finditer(text):
        hint = book.hint(m[1])
        if not hint.kind:
            continue
        # A telling key inside a value is one, too (`owner: https://host/?token=...`), but only so often: what is
        # nested in itself without end would be read without end.
        nested = nested + 1 if m.start() < covered else 0
        value = _VALUE.match(text, m.end()) if nested <= _MOST_NESTED else None
        if value is None:
            continue
        group = value.lastindex or 3
        end = value.end(group)
        if group == 3 and hint.kind in _SPACED_KINDS:
            end = _phrase_end(text, m.start(), m.end(), end)
            if hint.kind not in _WORDY_KINDS:
                end = m.end() + len(_WORDS_AFTER.sub("", text[m.end() : end]))
        covered = max(covered, end)
        yield Assigned(value.start(group), end, hint)


def _keyed(pattern: re.Pattern[str], text: str, book: KeyBook) -> Iterator[Assigned]:
    for m in pattern.finditer(text):
        hint = book.hint(m[1])
        if hint.kind:
            yield Assigned(m.start(2), m.end(2), hint)


def _phrase_end(text: str, key_start: int, start: int, end: int) -> int:
    m = _PHRASE.match(text, key_start)
    if not m or m.start(2) != start:
        return end
    stop = m.end(2)
    if stop < len(text) and text[stop] in "=:":  # the last word is the next key
        word = re.search(r"[ \t]+[\w.-]*\s*\Z", text[start:stop])
        stop = start + word.start() if word else end
    return max(stop, end)


def _table(text: str, book: KeyBook) -> Iterator[Assigned]:
    """Read CSV (also with ; tab |): a line of column names, then lines with as many cells."""
    lines = text.split("\n", _MOST_LINES)
    separator = next((s for s in (",", ";", "\t", "|") if s in lines[0]), "")
    if not separator or len(lines) < 2:
        return
    header = [cell.strip() for cell in lines[0].rstrip("\r").split(separator)]
    if not all(_HEADER_CELL.match(cell) for cell in header if cell):
        return
    hints = [book.hint(cell.strip("\"' ")) for cell in header]
    if not any(hint.kind for hint in hints):
        return
    position = len(lines[0]) + 1
    for line in lines[1:]:
        yield from _row(line.rstrip("\r"), position, separator, hints)
        position += len(line) + 1


def _row(line: str, position: int, separator: str, hints: list[Hint]) -> Iterator[Assigned]:
    cells = _cells(line, separator)
    spare = len(cells) - len(hints)
    for index, (start, end) in enumerate(cells):
        if index >= len(hints) and spare <= 0:
            break
        hint = hints[min(index, len(hints) - 1)]
        if spare > 0:  # an unquoted separator inside a cell: every cell may be any column
            for candidate in hints[max(0, index - spare) : index + 1]:
                if candidate.kind:
                    yield Assigned(position + start, position + end, candidate)
        elif hint.kind and end > start:
            yield Assigned(position + start, position + end, hint)


def _cells(line: str, separator: str) -> list[tuple[int, int]]:
    cells = []
    start = 0
    quoted = False
    for index, char in enumerate(line):
        if char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            cells.append((start, index))
            start = index + 1
    cells.append((start, len(line)))
    return [(s + 1, e - 1) if e - s >= 2 and line[s] == line[e - 1] == '"' else (s, e) for s, e in cells]
