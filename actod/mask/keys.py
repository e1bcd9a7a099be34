"""What a key tells about its value. Asked for every member of every message, so answers are kept (bounded)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from actod.mask.finding import MARKER
from actod.mask.folding import fold, plain_letters
from actod.mask.vocabulary import BENIGN, DESCRIPTORS, DISARMING, PETS, SLOTS, THINGS, UNITS, VERSION, WORDS

__all__ = ["Hint", "KeyBook", "fold", "kind_of", "kind_of_word"]

_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_LONGEST_KEY = LONGEST_REMEMBERED = 96
_LONGEST_NGRAM = 4
_MOST_KEYS = 4096
_MOST_CLEAN = 8192  # strings under all meanings together: 1.5 MB at most
# Where the disarming word itself completes a telling one (session_id, badge_id), the whole n-gram is in WORDS and wins.
_WEAK_ALONE = frozenset(
    "call dial via who ne nee geb pas pass pan ni cf cc sid via cim sin rfc call gateway peer dns auth long portable ble "
    "beacon rue calle birth lease holder speaker geo coordinates".split()
)


@dataclass(slots=True, eq=False)
class Hint:
    """What is known about a value before looking at it. One object for each distinct meaning.

    `kind` is a kind of `vocabulary.KINDS` or empty; `benign` and `version` weaken what looks like a number; `thing`
    (`thing`, or `pet` for what moves) says that the value names a machine, a tool, a place, a maker, and so nobody;
    `unsure` is a word such as `key`, which means a secret beside the name of a network, and `network` is such a name;
    `clean` remembers short strings that were looked at under this meaning and found clean.
    """

    kind: str = ""
    benign: bool = False
    version: bool = False
    slot: bool = False
    descriptor: bool = False
    thing: str = ""
    unsure: bool = False
    network: bool = False
    clean: set[str] = field(default_factory=set, repr=False)


class KeyBook:
    """Classifies keys and remembers the answers."""

    def __init__(self) -> None:
        self.known: dict[str, Hint] = {}  # keys that were looked at and hold nothing themselves
        self._hints: dict[str, Hint] = {}
        self._interned: dict[tuple[object, ...], Hint] = {}
        self._remembered = 0
        self.neutral = self._intern()

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

    def remember(self, text: str, hint: Hint) -> None:
        """Note that `text` holds nothing under a meaning. Bounded: all is forgotten when it is full."""
        if self._remembered >= _MOST_CLEAN:
            self._remembered = 0
            for each in self._interned.values():
                each.clean.clear()
        self._remembered += 1
        hint.clean.add(text)

    def of_kind(self, kind: str) -> Hint:
        """Return the hint for a value of this kind."""
        return self._intern(kind=kind)

    def _intern(self, **meaning: Any) -> Hint:
        known = tuple(sorted((name, value) for name, value in meaning.items() if value))
        hint = self._interned.get(known)
        if hint is None:
            hint = self._interned[known] = Hint(**meaning)
        return hint

    def _classify(self, key: str) -> Hint:
        if len(key) > _LONGEST_KEY:
            return self.neutral
        if "<" in key:
            key = MARKER.sub(" ", key)  # a mark tells what the key held, not what its value is
        tokens = _PARTS.findall(plain_letters(key))
        tokens = [token.lower() for token in tokens]
        told = tokens[:-1] if tokens[-1:] and tokens[-1] in _ANGLES else tokens
        kind = kind_of(told)
        if kind == "dob" and len(told) > 1 and told[-1] in DATE_PARTS:
            kind = "dob_part"
        elif kind and _measures(told):
            kind = ""
        words = set(tokens)
        joined = "".join(tokens)
        benign = (
            not kind
            and not _PROSE.issuperset(tokens[-1:])
            and (not words.isdisjoint(BENIGN) or joined in BENIGN or _measures(tokens))
        )
        return self._intern(
            kind=kind,
            benign=benign,
            version=not kind and not words.isdisjoint(VERSION),
            slot=joined in SLOTS,
            descriptor=joined in DESCRIPTORS,
            thing="" if kind else _thing(tokens),
            unsure=not kind and joined in _UNSURE,
            network=joined in _NETWORKS,
        )


def _measures(tokens: list[str]) -> bool:
    """Whether the key ends in a unit: `cell_mV`, `rotation_days`. Its value is a measure of the thing it names."""
    return len(tokens) > 1 and (tokens[-1] in UNITS or (len(tokens) > 2 and "".join(tokens[-2:]) in UNITS))


def _thing(tokens: list[str]) -> str:
    while len(tokens) > 1 and tokens[-1] in _OF_THINGS:
        tokens = tokens[:-1]
    for token in (tokens[-1], "".join(tokens)) if tokens else ():
        for word in (token, token[:-1] if token[-1:] == "s" else token):
            if word in THINGS:
                return "pet" if word in PETS else "thing"
    return ""


_PROSE = frozenset(
    "description desc message msg text note notes comment comments remark remarks reason detail details info log hint summary body".split()
)
_ANGLES = frozenset("deg degrees rad e7 dd wgs".split())
_OF_THINGS = frozenset(
    "id name label title type kind model no nr number current last next target 1 2 3 navn namn naam nom nome nombre nazwa nev adi nimi nazev".split()
)
# Endings that a word takes in a sentence or in the plural, and what stands behind a stem in a compound.
_ENDINGS = frozenset(
    "s es e n en er a i o u y em om ou ow ov ovi um us in un ini nin nun su si im am ar ak ek ok at et t nak nek val vel rol ben ban ra re ja je "
    "jat jet ssa lla lle sta ta te ten et den det ne na ni".split()
)
_TAILS = (
    "numarasi numara nummern nummer numeris numero numer number nomor nomero szama szam nro num nr no id liste lista list listy wert value valor valeur "
    "hodnota ertek deger arvo field feld champ campo text str string raw"
).split()
_CJK_TAILS = tuple(map(fold, "番号 号码 號碼 번호 号 码 値 リスト 목록 は が を の 是 은 는 이 가 을 를".split()))
_SHORTEST_STEM = 5
_SHORTEST_DECLINED = 7
_SHORTEST_HEAD = 6
_CJK_FROM = "\u1100"
# Heads of compounds; a role at work is none (`operator` also ends `cooperator`).
_NO_HEADS = frozenset(("person", "agent", "badge", "ip", "key", "token", "gps_weak"))


# First and last letters of what can be found at all: most words are told apart by them.
_BEGINNINGS = frozenset(word[:3] for word in WORDS)
_TAIL_ENDS = frozenset(tail[-2:] for tail in _TAILS)
_HEAD_ENDS = frozenset(word[-4:] for word, kind in WORDS.items() if len(word) >= _SHORTEST_HEAD and kind not in _NO_HEADS)


@lru_cache(maxsize=_MOST_KEYS)
def kind_of_word(word: str) -> str:
    """Tell what one folded word says: as it stands, without its ending, or as a compound by its head."""
    kind = WORDS.get(word)
    if kind is not None or not 2 <= len(word) <= _LONGEST_KEY:
        return kind or ""
    if word[0] >= _CJK_FROM:
        return _kind_of_run(word)
    return (word[:3] in _BEGINNINGS and _kind_of_stem(word)) or (word[-4:] in _HEAD_ENDS and _kind_of_head(word)) or ""


def _kind_of_run(word: str) -> str:
    """No spaces stand between words there: the longest known head, or what stands before a word for a number, a particle."""
    heads = (word[cut:] for cut in range(1, len(word) - 1))
    stems = (word[: -len(tail)] for tail in _CJK_TAILS if word.endswith(tail) and len(word) > len(tail))
    return next((WORDS[part] for part in (*heads, *stems) if part in WORDS), "")


def _kind_of_stem(word: str) -> str:
    stems = []
    if word[-2:] in _TAIL_ENDS:
        stems = [word[: -len(tail)] for tail in _TAILS if len(word) - len(tail) >= 3 and word.endswith(tail)]
    stems.extend(word[:-n] for n in (1, 2, 3) if len(word) - n >= _SHORTEST_STEM and word[-n:] in _ENDINGS)
    if len(word) >= _SHORTEST_DECLINED and word[-1] in "aeiouy":
        stems.extend(word[:-1] + vowel for vowel in "aeoy")
    return next((WORDS[stem] for stem in stems if stem in WORDS), "")


def _kind_of_head(word: str) -> str:
    for cut in range(2, len(word) - _SHORTEST_HEAD + 1):
        kind = WORDS.get(word[cut:])
        if kind and kind not in _NO_HEADS:
            return kind
    return ""


def kind_of(tokens: list[str]) -> str:
    """Find the longest telling n-gram; what remains beside it may take its meaning away."""
    while len(tokens) > 1 and tokens[-1] in _LISTED:
        tokens = tokens[:-1]
    kind = _kind_of(tokens)
    if kind in _PEOPLE and len(tokens) > 1 and _HOLDERS.isdisjoint(tokens):
        # `nif_conductor`, `telefon_kierowcy`: whose it is stands behind what it is.
        for token in tokens[:-1]:
            if (whose := WORDS.get(token)) in _OF_PEOPLE:
                return whose or kind
    return kind


_LISTED = frozenset("list lista liste array arr values vals raw str text txt 1 2 3".split())
_HOLDERS = frozenset("holder owner name contact user".split())
_OF_PEOPLE = frozenset(
    "us_ssn uk_nino de_steuerid fr_nir es_dni it_cf nl_bsn pl_pesel br_cpf in_aadhaar national_id passport plate dob phone address email badge".split()
)


def _kind_of(tokens: list[str]) -> str:
    count = len(tokens)
    for size in range(min(_LONGEST_NGRAM, count), 0, -1):
        for start in range(count - size, -1, -1):  # the last word of a key is its head
            gram = "".join(tokens[start : start + size])
            kind = (
                kind_of_word(gram) if size == 1 else WORDS.get(gram) or (WORDS.get(gram[:-1]) if gram[-1:] == "s" else None)
            )
            if not kind:
                continue
            if (
                gram in _WEAK_ALONE
                and count > size
                and not (kind == "dob" and DATE_PARTS.issuperset(tokens[start + size :]))
            ):
                continue
            rest = tokens[start + size :]
            if any(token in DISARMING for token in rest) or (tokens[0] in _NOT_PEOPLE and kind in _PEOPLE):
                return ""
            if kind in _SECRET_KINDS and not _NAMES_OF_SECRETS.isdisjoint(rest):
                return ""
            if kind == "person" and rest and rest[0] in _NUMBERED:
                return "phone" if gram == "contact" else "badge"
            return kind
    return _open_ended(tokens)


DATE_PARTS = frozenset(
    "d m y day month year dd mm yy yyyy tag monat jahr jour mois annee dia mes ano anno giorno mese dag maand jaar maned manad ar dzien "
    "miesiac rok den mesic gun ay yil nap honap ev paiva kuukausi vuosi zi luna an hari bulan tahun 年 月 日 일 월 년 день месяц год".split()
)
"""What a date is cut into."""
_UNSURE = frozenset(
    "key secretkey clef cle clave chave chiave klucz klic nyckel nokkel avain anahtar kulcs sleutel schlussel".split()
)
_NETWORKS = frozenset("ssid essid wifi wlan hotspot wpa wpa2 wpa3 accesspoint wireless".split())
_NUMBERED = frozenset("number no nr num".split())
_PEOPLE = frozenset(("person", "agent"))
_SECRET_KINDS = frozenset(("password", "token", "key", "wifi_key"))
_NAMES_OF_SECRETS = frozenset("name names alias label ref store manager provider source".split())
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
