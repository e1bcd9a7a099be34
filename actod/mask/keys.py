"""What a key tells about its value. Asked for every member of every message, so answers are kept (bounded)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from actod.mask.finding import MARKER
from actod.mask.vocabulary import BENIGN, DESCRIPTORS, DISARMING, SLOTS, VERSION, WORDS

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_LONGEST_KEY = 96
_LONGEST_NGRAM = 4
_MOST_KEYS = 4096
_MOST_CLEAN = 4096
# Where the disarming word itself completes a telling one (session_id, badge_id), the whole n-gram is in WORDS and wins.
_WEAK_ALONE = frozenset(
    "call dial via who ne nee geb pas pass pan ni cf cc sid via cim sin rfc call gateway peer dns auth long portable ble "
    "beacon rue calle birth lease holder speaker geo coordinates".split()
)


@dataclass(slots=True, eq=False)
class Hint:
    """What is known about a value before looking at it. One object for each distinct meaning.

    `kind` is a kind of `vocabulary.KINDS` or empty; `benign` and `version` weaken what looks like a number;
    `clean` remembers short strings that were looked at under this meaning and found clean.
    """

    kind: str = ""
    benign: bool = False
    version: bool = False
    slot: bool = False
    descriptor: bool = False
    clean: set[str] = field(default_factory=set, repr=False)

    def remember(self, text: str) -> None:
        """Note that `text` holds nothing. Bounded: the set starts anew when it is full."""
        if len(self.clean) >= _MOST_CLEAN:
            self.clean.clear()
        self.clean.add(text)


def fold(text: str) -> str:
    """Lower case without accents."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ł", "l").replace("ø", "o"))
    return "".join(ch for ch in text.lower() if not unicodedata.combining(ch))


class KeyBook:
    """Classifies keys and remembers the answers."""

    def __init__(self) -> None:
        self.known: dict[str, Hint] = {}  # keys that were looked at and hold nothing themselves
        self._hints: dict[str, Hint] = {}
        self._interned: dict[tuple[object, ...], Hint] = {}
        self.neutral = self._intern(kind="", benign=False, version=False, slot=False, descriptor=False)

    def hint(self, key: str) -> Hint:
        """Classify one key, or a word that may be one."""
        hint = self._hints.get(key)
        if hint is None:
            hint = self._classify(key)
            if len(self._hints) >= _MOST_KEYS:
                self._hints.clear()
            self._hints[key] = hint
        return hint

    def learn(self, key: str) -> Hint:
        """Classify a key that was found clean, and know it from now on."""
        hint = self.hint(key)
        if len(self.known) >= _MOST_KEYS:
            self.known.clear()
        if len(key) <= _LONGEST_KEY:
            self.known[key] = hint
        return hint

    def of_kind(self, kind: str) -> Hint:
        """Return the hint for a value of this kind."""
        return self._intern(kind=kind, benign=False, version=False, slot=False, descriptor=False)

    def _intern(self, *, kind: str, benign: bool, version: bool, slot: bool, descriptor: bool) -> Hint:
        meaning = (kind, benign, version, slot, descriptor)
        hint = self._interned.get(meaning)
        if hint is None:
            hint = self._interned[meaning] = Hint(
                kind=kind, benign=benign, version=version, slot=slot, descriptor=descriptor
            )
        return hint

    def _classify(self, key: str) -> Hint:
        if len(key) > _LONGEST_KEY:
            return self.neutral
        if "<" in key:
            key = MARKER.sub(" ", key)  # a mark tells what the key held, not what its value is
        tokens = _PARTS.findall(key) if key.isascii() else _PARTS.findall(fold(key))
        tokens = [token.lower() for token in tokens]
        kind = kind_of(tokens)
        words = set(tokens)
        joined = "".join(tokens)
        benign = not kind and (not words.isdisjoint(BENIGN) or joined in BENIGN)
        return self._intern(
            kind=kind,
            benign=benign,
            version=not kind and not words.isdisjoint(VERSION),
            slot=joined in SLOTS,
            descriptor=joined in DESCRIPTORS,
        )


def kind_of(tokens: list[str]) -> str:
    """Find the longest telling n-gram; what remains beside it may take its meaning away."""
    count = len(tokens)
    for size in range(min(_LONGEST_NGRAM, count), 0, -1):
        for start in range(count - size, -1, -1):  # the last word of a key is its head
            gram = "".join(tokens[start : start + size])
            kind = WORDS.get(gram) or (WORDS.get(gram[:-1]) if gram.endswith("s") else None)
            if kind is None or (gram in _WEAK_ALONE and count > size):
                continue
            rest = tokens[start + size :]
            if any(token in DISARMING for token in rest) or (tokens[0] in _NOT_PEOPLE and kind in _PEOPLE):
                return ""
            if kind == "person" and rest and rest[0] in _NUMBERED:
                return "phone" if gram == "contact" else "badge"
            return kind
    return _open_ended(tokens)


_NUMBERED = frozenset("number no nr num".split())
_PEOPLE = frozenset(("person", "agent"))
_NOT_PEOPLE = frozenset(
    "robot node file map joint frame topic service host device sensor zone site station map model".split()
)
_KEY_OWNERS_NOT = frozenset(
    "primary foreign sort partition reference public pub map hot row object cache index lookup routing group message dedup idempotency "
    "composite natural surrogate unique hash arrow function enter return pressed".split()
)
_PASSES_NOT = frozenset(
    "first second third last final high low band all test single multi one two by over under bus day guest visitor".split()
)


def _open_ended(tokens: list[str]) -> str:
    """Meanings that are built, not listed: something_key, something_token, something_secret."""
    if len(tokens) > 1:
        if tokens[-1] in ("pass", "pw", "pswd") and tokens[-2] not in _PASSES_NOT:
            return "password"
        if tokens[-1] == "key" and tokens[-2] not in _KEY_OWNERS_NOT:
            return "key"
        if tokens[-1] == "name" and tokens[-2] in WORDS and WORDS[tokens[-2]] in _PEOPLE:
            return "person"
    return ""
