"""What the words around a value say about it. A weak form becomes a finding when a telling word stands near."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from actod.mask import national, network
from actod.mask.finding import MARKER, SECRETS, Cover, Finding
from actod.mask.keys import fold, kind_of_word
from actod.mask.secrets import classes, looks_random
from actod.mask.vocabulary import CUES

_HAN = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # no space stands between these and what follows
_WORD = re.compile(rf"[{_HAN}]+|(?:(?![{_HAN}])[^\W_])+(?:['’][^\W_]+)?")
_HAN_FROM = "\u3040"
_AFTER_HAN = re.compile(rf"[{_HAN}]\Z")
_ASCII_RUN = re.compile(r"[!-~]+")
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)?")
_MOST_READ = 20_000  # characters
_LONGEST_PHRASE = 4  # words
_REACH = 44  # characters after a telling word in which its value begins
_REACH_BACK = 28  # and before it: "... is his SSN"

_DATE = re.compile(
    r"(?<![\w.-])(?:[0-9]{4}[-./年년]\s?[0-9]{1,2}[-./月월]\s?[0-9]{1,2}[日일]?|[0-9]{1,2}[-./]\s?[0-9]{1,2}[-./]\s?(?:[0-9]{4}|[0-9]{2})"
    r"|[0-9]{1,2}(?:st|nd|rd|th|\.|er|º|°)?\s?(?:de |of |\.|-)?\s?[^\W0-9_]{3,12}\.?,?\s?(?:de |of |-)?\s?[0-9]{4}"
    r"|[^\W0-9_]{3,12}\.?\s[0-9]{1,2}(?:st|nd|rd|th)?,?\s[0-9]{4}|(?:19|20)[0-9]{6})(?!(?!T[0-9][0-9]:)[\w-])"
)
_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Z]{0,8}[0-9])[A-Z0-9]{6,12}(?![A-Za-z0-9])|(?<![A-Za-z0-9])[B-DF-HJ-NP-TV-Z]{8,9}(?![A-Za-z0-9])|(?<!\w)[A-Z]{1,2}[ -]?[0-9]{2,3}[ -]?[0-9]{3,5}(?!\w)"
)
_PLATE = re.compile(
    r"(?<![\w-])(?=[A-ZÄÖÜ0-9 ·.-]{0,12}[0-9])(?![0-9]+(?:[ .]|\Z))[A-ZÄÖÜ0-9]{1,4}(?:[ ·.-]{1,2}[A-ZÄÖÜ0-9]{1,5}){0,3}(?![\w])|(?<![\w-])[0-9]{4} ?[A-Z]{3}(?!\w)"
    r"|(?<![\w-])[0-9]{1,3}[ -]?[A-ZÄÖÜ]{1,3}[ -]?[0-9]{1,5}(?!\w)|(?<![\w-])[A-Z]{2,3}[ -]?[0-9]{1,4}[ -]?[A-Z]{0,3}(?!\w)|(?<![\w-])[A-Z0-9]{5,8}(?!\w)"
)
_PHONE = re.compile(r"(?<![\w])[+(]?[0-9](?:[ ./()-]{0,3}[0-9]){5,14}(?!\w)")
_CARD = re.compile(r"(?<![0-9])[0-9](?:[ .-]?[0-9]){11,18}(?![0-9])")
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){8,30}(?![A-Za-z0-9])|(?<![0-9])[0-9](?:[ .-]?[0-9]){7,25}(?![0-9])"
)
_VIN = re.compile(r"(?<![A-Za-z0-9])[A-HJ-NPR-Z0-9]{17}(?![A-Za-z0-9])")
_BADGE = re.compile(r"(?<![\w])(?=[\w:-]{0,24}[0-9])[A-Za-z0-9](?:[:-]?[A-Za-z0-9]){3,31}(?!\w)")
_AT_ONCE = 2
_SIGNS = frozenset("#!$%&*@_^~+")
_NAMED_VALUE = re.compile(r"[A-Za-z_][\w-]{1,32}[=:](?=[^=]{6})")
_SECRET_WORD = re.compile(r"[^\s\"'`,;<>()\[\]{}]{4,512}")
_LINKING = re.compile(
    r"(?:[\s:=#\"'(\[>-]|\b(?:is|was|are|no|nr|num|number|numero|numéro|número|numer|nummer|n[°ºo.]|id|the|my|his|her|their|on|of|le|el|il|am|den|w|dnia|op|em|"
    r"at|es|ist|lautet|jest|est|è|é|code|value|of|for|de|del|da|nº|no\.|nr\.|with|key|new|to|plate|ending|set|as|är|er|on|je|to|n|jest|já|é|nu|now|jetzt|read|seen|lu|leída|letta|gelesen|č|čís|číslo|szám|száma|numara|numarası|auf|på|card|"
    r"token|с|это|番号|는|은)\b\.?)*"
)
_WHOSE = re.compile(r"(?:\s[^\W0-9_]{1,16}){1,4}\s?[:=]\s?(?=\S)")
_ABBREVIATED = re.compile(r"(?<![^\W_])[^\W_]{1,4}\Z")
_SENTENCE = re.compile(r"[.!?]\s|[;|\n{}]|\"\s?,|,\s?\"|&\w+=")


_DIGIT = re.compile("[0-9]")
_MAY_BE_LETTERS = frozenset(("passport", "vin", "it_cf"))  # all others have a digit
_IN_A_NUMBER = re.compile(r"[0-9][.:]\Z")
_LONGEST_MARK = 40
_MOST_BETWEEN = 3  # words from a value to the word that tells of it


def _plain_check(pattern: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    def spans(text: str) -> Iterator[tuple[int, int]]:
        for m in pattern.finditer(text):
            yield m.start(), m.end()

    return spans


# Behind a word that means a plate: up to four short groups, in any order and script.
_PLATE_GROUPS = re.compile(
    r"(?<![\w.-])(?=[^\W_a-z]{0,6}[ ·:.-]{0,2}[^\W_a-z]{0,6}[ ·:.-]{0,2}[0-9])[^\W_a-z]{1,7}(?:[ ·:.-]{1,2}[^\W_a-z]{1,6}){0,3}(?![\w])"
)


_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}")


def _is_plate_in_groups(text: str) -> bool:
    if _CLOCK.search(text):
        return False
    return 4 <= sum(map(str.isalnum, text)) <= 11 and any(map(str.isalpha, text))


def _is_plate(text: str) -> bool:
    return 4 <= sum(map(str.isalnum, text)) <= 9 and any(map(str.isdigit, text)) and any(map(str.isalpha, text))


def _plates(text: str) -> Iterator[tuple[int, int]]:
    wide = next(filter(None, (_PLATE_GROUPS.match(text, start) for start in range(_AT_ONCE + 1))), None)
    if wide and _is_plate_in_groups(wide[0]):
        yield wide.span()
    for m in _PLATE.finditer(text):
        if _is_plate(m[0]):
            yield m.span()


_PATTERNS: dict[str, re.Pattern[str]] = {
    **national.LOOSE,
    "dob": _DATE,
    "passport": _PASSPORT,
    "phone": _PHONE,
    "card": _CARD,
    "iban": _IBAN,
    "vin": _VIN,
    "badge": _BADGE,
}
SHAPES: dict[str, Callable[[str], Iterator[tuple[int, int]]]] = {
    **{kind: _plain_check(pattern) for kind, pattern in _PATTERNS.items()},
    "plate": _plates,
}
_FORMS: dict[str, tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]] = {
    **{kind: ((pattern, bool),) for kind, pattern in _PATTERNS.items()},
    "plate": ((_PLATE_GROUPS, _is_plate_in_groups), (_PLATE, _is_plate)),
}
_ANCHORED = frozenset(SHAPES) - {"phone", "badge"}
# Everyday words that tell only where the value follows at once.
_COMMON = frozenset(
    "call dial via who ne nee geb pas pass pan ni cf cc sid card portable mobil mobile cell tin handy nato nata konto compte tel carta cell ring bel ara llame ligue mobil contact kontakt reg registered nar ur lat".split()
)
_SHORTEST_WITH_ENDING, _LONGEST_WORD, _MOST_WORDS = 6, 64, 8192
# Behind these, twelve hex digits are as often a serial number.
_DEVICES = frozenset(
    "device gerat station ap zarizeni apparaat dispositivo appareil urzadzenie enhet laite cihaz eszkoz bluetooth".split()
)
_BEGINNINGS = frozenset(word[:size] for word in CUES for size in range(1, len(word) + 1))


class _Words(dict[str, str | None]):
    """What a word tells; empty if only a longer phrase may; None if nothing that begins with it does. Bounded."""

    def __missing__(self, word: str) -> str | None:
        if len(word) > _LONGEST_WORD:
            return None
        if len(self) >= _MOST_WORDS:
            self.clear()
        self[word] = kind = _alone(word)
        return kind


def _alone(word: str) -> str | None:
    kind = CUES.get(word)
    if kind is None and word not in _BEGINNINGS:
        return (kind_of_word(word) if len(word) >= _SHORTEST_WITH_ENDING or word[:1] >= _HAN_FROM else "") or None
    return kind or ""


_WORDS = _Words()


def telling(text: str) -> Iterator[Finding]:
    """Find values that stand beside a word which names their kind."""
    pattern = _ASCII_WORD if text.isascii() else _WORD
    words = (
        pattern.findall(text.lower(), 0, _MOST_READ)
        if pattern is _ASCII_WORD
        else [fold(word) for word in pattern.findall(text, 0, _MOST_READ)]
    )
    told = list(map(_WORDS.__getitem__, words))
    if told.count(None) == len(told):
        return
    spans: list[tuple[int, int]] = []
    marks = Cover(m.span() for m in MARKER.finditer(text)) if "<" in text else None
    index = 0
    while index < len(words):
        if told[index] is None or (not told[index] and "".join(words[index : index + 2]) not in _BEGINNINGS):
            index += 1
            continue
        kind, size = _kind_at(words, index)
        if kind:
            spans = spans or [m.span() for m in pattern.finditer(text, 0, _MOST_READ)]
            if marks and marks.holds(*spans[index]):
                index += size
                continue  # a mark names a kind, too
            weak = size == 1 and words[index] in _COMMON
            yield from _told(
                text, spans[index][0], spans[index + size - 1][1], kind, weak=weak, any_form=words[index] not in _DEVICES
            )
        index += size


def _told(text: str, start: int, end: int, kind: str, *, weak: bool, any_form: bool) -> Iterator[Finding]:
    if "<" in text[end : end + _REACH] and (mark := MARKER.search(text, end, end + _REACH + _LONGEST_MARK)):
        masked = mark[0].strip("<>").partition(":")[0].lower()
        if masked == kind or (kind in _SECRET_TYPE and masked in SECRETS):
            return  # what it tells of is masked already
    if kind in SHAPES:
        yield from _beside(text, start, end, kind, weak=weak)
    elif kind in ("ip", "mac"):
        yield from _machine_address(text, end, kind, any_form=any_form)
    elif kind in ("password", "token", "key", "wifi_key"):
        yield from _secret_after(text, end, kind)


def _kind_at(words: list[str], index: int) -> tuple[str, int]:
    """Read the longest telling phrase that starts at a word."""
    gram = ""
    best, best_size = "", 1
    for size, word in enumerate(words[index : index + _LONGEST_PHRASE], 1):
        gram += word
        kind = CUES.get(gram)
        if size == 1:
            kind = _WORDS[gram]
        elif not kind and gram not in _BEGINNINGS:
            break
        if kind:
            best, best_size = kind, size
    return best, best_size


def _linked(text: str, end: int) -> int:
    """Return where the value may begin: behind an abbreviation's full stop ("no.", "tel.") and what links word and value."""
    if _ABBREVIATED.search(text, max(0, end - 6), end) and text[end : end + 1] == ".":
        end += 1
    link = _LINKING.match(text, end)
    return link.end() if link else end


def _beside(text: str, start: int, end: int, kind: str, *, weak: bool) -> Iterator[Finding]:
    begin = _linked(text, end)
    window = text[begin : begin + _REACH]
    stop = _SENTENCE.search(window)
    window = text[begin : begin + _REACH + 40]
    for s, e in SHAPES[kind](window) if kind in _MAY_BE_LETTERS or _DIGIT.search(window) else ():
        if s > (stop.start() if stop else _REACH) or (weak and s > 1):
            break
        if kind == "phone" and sum(map(str.isdigit, text[begin + s : begin + e])) < 7:
            continue
        yield Finding(begin + s, begin + e, kind, "word_before", 0.8)
        return
    if weak or kind not in _ANCHORED:
        return
    back = text[max(0, start - _REACH_BACK) : start]
    if kind not in _MAY_BE_LETTERS and not _DIGIT.search(back):
        return
    offset = start - len(back)
    for word in _WORD.finditer(back):  # from each word on: the one before the value may look like a part of it
        if _IN_A_NUMBER.search(back, 0, word.start()):
            continue
        for size in _beginning(back[word.start() :], kind):
            rest = back[word.start() + size :]
            if len(_WORD.findall(rest)) <= _MOST_BETWEEN and not _SENTENCE.search(rest):
                yield Finding(offset + word.start(), offset + word.start() + size, kind, "word_after", 0.6)
                return


def _beginning(text: str, kind: str) -> Iterator[int]:
    """Yield the sizes of values of a kind with which a text begins."""
    for pattern, holds in _FORMS[kind]:
        if (m := pattern.match(text)) and holds(m[0]):
            yield m.end()


def _machine_address(text: str, end: int, kind: str, *, any_form: bool) -> Iterator[Finding]:
    window = text[end : end + _REACH]
    found = network.ipv4s(window, telling=True) if kind == "ip" else network.spaced_macs(window, any_form=any_form)
    for f in found:
        yield f._replace(start=f.start + end, end=f.end + end)
        return  # a word tells of one value


def _drawn(value: str) -> bool:
    kinds = classes(value)
    return (kinds >= 2 and any(map(str.isdigit, value))) or (kinds >= 3 and not _SIGNS.isdisjoint(value))


_SECRET_TYPE = {"password": "password", "wifi_key": "wifi_key", "token": "secret", "key": "secret"}


def _secret_after(text: str, end: int, kind: str) -> Iterator[Finding]:
    m = _SECRET_WORD.match(text, _linked(text, end))
    if (
        kind in ("password", "wifi_key")
        and (far := _WHOSE.match(text, end))
        and _drawn(text[far.end() :].split(maxsplit=1)[0])
    ):
        m = _SECRET_WORD.match(text, far.end())  # "password for the panel: ..."
    if not m:
        return
    start, stop = m.span()
    if start == end:
        if not _AFTER_HAN.search(text, end - 1, end) or not (run := _ASCII_RUN.match(text, start)):
            return
        stop = run.end()
    if named := _NAMED_VALUE.match(m[0]):  # cookie session=...
        start += named.end()
    value = text[start:stop].rstrip(".!?:")
    strict = kind in ("token", "key")
    assigned = any(ch in "=:" for ch in text[end : m.start()])
    if value.startswith("<") or not value.isascii():
        return
    if looks_random(value) if strict else (assigned or _drawn(value)):
        yield Finding(start, start + len(value), _SECRET_TYPE[kind], "secret_after_word", 0.75)
