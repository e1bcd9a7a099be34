"""Keys inside text: `key=value`, `key: value`, query strings, logfmt, YAML, INI, XML, CSV. Each value meets its key's hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from actod.mask.finding import Cover, Finding
from actod.mask.keys import Hint, KeyBook

# From its first letter: nothing of a word before it, or the one or two hyphens of an option.
_KEY = re.compile(
    r"([^\W\d_](?:(?<![\w.-].)|(?<=-.)(?<![\w.-]-.)|(?<=--.)(?<![\w.-]--.))[\w.-]{0,47})"
    r"(?:\[[\w-]{0,16}\])?[\"']?[ \t]{0,2}(?::=|=>|->|=|:)[ \t]{0,2}"
)
_VALUE = re.compile(r"\"([^\"\n]{1,4096})\"|'([^'\n]{1,4096})'|([^\s,;&<>\"'|\]})]{1,4096})")
# The same for ASCII, where it is the faster one.
_ASCII_KEY = re.compile(_KEY.pattern.replace(r"[^\W\d_]", "[A-Za-z]").replace(r"\w", "A-Za-z0-9_"))
_IN_HEX = re.compile(r"[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}|\b)")
_LINE = re.compile(r"(?m)^[ \t#*-]{0,8}[\"']?([^\W\d_][\w. -]{0,47})[\"']?[ \t]{0,2}[:=][ \t]{1,8}([^\n]{2,400})$")
_PHRASE = re.compile(
    r"(?<!\w)(?:--?)?([^\W\d_][\w.-]{0,47})[ \t]{0,2}[:=][ \t]{0,2}([^\s,;&<>\"'|\[\]{}()=:][^\n,;&<>\"|\[\]{}()=:]{1,80})"
)
_ELEMENT = re.compile(r"<([^\W\d_][\w:.-]{0,47})(?:\s[^<>]{0,200})?>([^<>]{1,4096})</")
_HEADER_CELL = re.compile(r"[\"']?[^\W\d][\w .\-/()]{0,47}[\"']?\Z")
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


Wanted = Callable[[Hint], bool]


def _tells(hint: Hint) -> bool:
    return bool(hint.kind)


def _clears(hint: Hint) -> bool:
    return not hint.kind and bool(hint.thing or hint.version or hint.benign)


def assigned(text: str, book: KeyBook, wanted: Wanted = _tells) -> Iterator[Assigned]:
    """Find values whose key says something about them."""
    yield from _pairs(text, book, wanted)
    if "\n" in text or text[:1] in "-#":
        yield from _keyed(_LINE, text, book, wanted)
    if "</" in text:
        yield from _keyed(_ELEMENT, text, book, wanted)
    if "\n" in text:
        yield from _table(text, book, wanted)


_NAMES = frozenset(("person", "address"))
_NUMBERS = frozenset(
    "phone card us_ssn uk_nino de_steuerid fr_nir nl_bsn pl_pesel br_cpf in_aadhaar plate passport badge iban gps address".split()
)
_STRONG = 0.9


def cleared(text: str, found: list[Finding], book: KeyBook) -> list[Finding]:
    """Leave out what a key inside the text says is a thing, a version, a count: `tool=Robertson R2`."""
    for f in found:
        if f.type in _NAMES or f.type == "ipv4" or (f.confidence < _STRONG and f.type in _NUMBERS):
            break
    else:
        return found
    if "=" not in text and ":" not in text and "\n" not in text and "</" not in text:
        return found
    spans = list(assigned(text, book, _clears))
    if not spans:
        return found
    of_things = Cover((s.start, s.end) for s in spans if s.hint.thing)
    of_versions = Cover((s.start, s.end) for s in spans if s.hint.version)
    of_any = Cover((s.start, s.end) for s in spans)

    def is_cleared(f: Finding) -> bool:
        weak = f.type in _NUMBERS and f.confidence < _STRONG and not f.rule.startswith("word_")
        return (
            (weak and of_any.holds(f.start, f.end))
            or (f.type in _NAMES and of_things.holds(f.start, f.end))
            or (f.type == "ipv4" and of_versions.holds(f.start, f.end))
        )

    return [f for f in found if not is_cleared(f)]


def _pairs(text: str, book: KeyBook, wanted: Wanted) -> Iterator[Assigned]:
    covered, nested = 0, 0
    for m in (_ASCII_KEY if text.isascii() else _KEY).finditer(text):
        hint = book.hint(m[1])
        if hint.kind == "passport" and m[1].lower() == "pass":
            hint = book.of_kind("password")  # a passport's number follows the word, a password the sign
        if not wanted(hint) or (len(m[1]) == 2 and _IN_HEX.match(text, m.start(1))):
            continue
        # A telling key inside a value is one, too (`owner: https://host/?token=...`), but only so often: what is
        # nested in itself without end would be read without end.
        nested = nested + 1 if m.start() < covered else 0
        value = _VALUE.match(text, m.end()) if nested <= _MOST_NESTED else None
        if value is None:
            continue
        group = value.lastindex or 3
        end = value.end(group)
        if group == 3 and (hint.kind in _SPACED_KINDS or hint.thing):
            end = _phrase_end(text, m.start(), m.end(), end)
            if hint.kind not in _WORDY_KINDS and not hint.thing:
                end = m.end() + len(_WORDS_AFTER.sub("", text[m.end() : end]))
        covered = max(covered, end)
        yield Assigned(value.start(group), end, hint)


def _keyed(pattern: re.Pattern[str], text: str, book: KeyBook, wanted: Wanted) -> Iterator[Assigned]:
    for m in pattern.finditer(text):
        hint = book.hint(m[1])
        if wanted(hint):
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


def _table(text: str, book: KeyBook, wanted: Wanted) -> Iterator[Assigned]:
    """Read CSV (also with ; tab |): a line of column names, then lines with as many cells."""
    lines = text.split("\n", _MOST_LINES)
    separator = next((s for s in (",", ";", "\t", "|") if s in lines[0]), "")
    if len(lines) < 2:
        return
    separator = separator or "\0"  # a table of one column
    header = [cell.strip() for cell in lines[0].rstrip("\r").split(separator)]
    if not all(_HEADER_CELL.match(cell) for cell in header if cell):
        return
    hints = [book.hint(cell.strip("\"' ")) for cell in header]
    if not any(map(wanted, hints)):
        return
    position = len(lines[0]) + 1
    for line in lines[1:]:
        yield from _row(line.rstrip("\r"), position, separator, hints, wanted)
        position += len(line) + 1


def _row(line: str, position: int, separator: str, hints: list[Hint], wanted: Wanted) -> Iterator[Assigned]:
    cells = _cells(line, separator)
    spare = len(cells) - len(hints)
    for index, (start, end) in enumerate(cells):
        if index >= len(hints) and spare <= 0:
            break
        hint = hints[min(index, len(hints) - 1)]
        if spare > 0:  # an unquoted separator inside a cell: every cell may be any column
            for candidate in hints[max(0, index - spare) : index + 1]:
                if wanted(candidate):
                    yield Assigned(position + start, position + end, candidate)
        elif wanted(hint) and end > start:
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
