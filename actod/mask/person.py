"""Names of people: by the shape of names in free text, and the check of a name's own field."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from actod.mask.finding import MARKER, Finding
from actod.mask.keys import fold
from actod.mask.vocabulary import PETS, THINGS, WORDS, is_thing
from actod.mask.words import GIVEN_NAMES, NOT_NAMES, PARTICLES, SURNAME_ENDINGS_CJK, TITLES

NAME_SIGN = r"[A-Z](?:[a-z?]|[A-Z.]? {1,2}[A-Z])|\?"  # or in another script
_TOKEN = re.compile(r"[^\W0-9_]+(?:['’\-][^\W0-9_]+)*\.?")
_CAPITAL = re.compile(r"[A-Z](?<![A-Za-z].)(?<![A-Za-z]['-].)")
_ANY_CAPITAL = re.compile(r"[^\W0-9_a-z](?<![^\W0-9_].)(?<![^\W0-9_]['’-].)")
_GAP = re.compile(r" {1,2}|, ")
_CJK_RUN = re.compile(
    r"[\u3005\u4e00-\u9fff\u3040-\u30ff]+(?:[ \u3000・][\u3005\u4e00-\u9fff\u3040-\u30ff]+)*|[\uac00-\ud7af]{2,4}(?: [\uac00-\ud7af]{1,3})?"
)
_CJK = re.compile(r"[\u3005\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_CJK_HONORIFIC = re.compile(
    r"([\u3005\u4e00-\u9fff\u3040-\u30ff]{1,8}?(?:[ \u3000][\u3005\u4e00-\u9fff\u3040-\u30ff]{1,6})?)\s?(?:さん|様|氏|先生|くん|ちゃん|殿|先輩|部長|課長|係長)|([\uac00-\ud7af]{2,4})\s?(?:님|씨|과장|부장|대리|사원|기사)"
)
_CASELESS = re.compile(r"[\u0590-\u0eff]")
_CASELESS_RUN = re.compile(r"[\u0590-\u0eff]+(?:[ ’'-][\u0590-\u0eff]+){0,4}")
_KATAKANA_WORD = re.compile(r"[\u30a0-\u30ff]+\Z")
_CUE_BEFORE = frozenset(
    (
        "ack acked by with to from thanks thx cheers hi hello dear ask asked asking tell told call called contact ping notify notified named name is "
        "operator driver technician mechanic engineer supervisor foreman worker colleague employee customer client visitor guest patient "
        "mr mrs ms miss dr prof sir madam herr frau fr hr monsieur madame mme m mlle sr sra srta senor senora don dona sig signor signora "
        "pan pani heer mevrouw dhr mevr para con por com de von mit an bei an avec par chez pour voor met door od przez dla da per "
        "danke merci gracias grazie obrigado obrigada dzieki dziekuje bedankt dank user author regards signed attn cc "
        "operador operatore operateur operatrice fahrer bediener conductor autista kierowca chauffeur monteur bestuurder manager lead "
        "and"
    ).split()
)
_ENDINGS_OF_WORDS = ("tion", "tions", "sion", "ness", "able", "ible", "ware", "heit", "keit", "schaft", "ization")
_LAST_WORD = re.compile(r"([^\W0-9_]+)[\s:=,(\"'.]*\Z")
_CUE_FOR_FULL_NAMES_ONLY = frozenset("to from is de da an on with".split())
# Words for people at work: a capitalised word behind one is a name, unless we know it as something else.
_ROLES = frozenset(
    "operator technician engineer mechanic supervisor foreman worker colleague employee bediener techniker mitarbeiter mitarbeiterin kollege "
    "kollegin schichtleiter monteur operateur technicien operario operador tecnico operatore operaio pracownik operatorka technikerin".split()
)


_INITIAL, _LONGEST_NAME = 2, 48
_LABEL_AFTER = re.compile(r"[\s#]{0,2}(?:[0-9:=：]|<[A-Z])")


def _caseless_names(text: str) -> Iterator[Finding]:
    """In Latin text, a few words of a script without capitals (Hebrew, Arabic, Indic, Thai) are most likely a name."""
    runs = [m for m in _CASELESS_RUN.finditer(text) if not _LABEL_AFTER.match(text, m.end()) and fold(m[0]) not in WORDS]
    if sum(len(m[0]) for m in runs) < sum(ch.isascii() and ch.isalpha() for ch in text):
        for m in runs:
            if len(m[0]) > 2:
                yield Finding(m.start(), m.end(), "person", "name_caseless", 0.6)


def names(text: str) -> Iterator[Finding]:
    """Find runs of capitalised words that are no vocabulary of ours, and names in scripts without capitals."""
    if not text.isascii() and _CJK.search(text):
        yield from _cjk_names(text)
    if not text.isascii() and _CASELESS.search(text):
        yield from _caseless_names(text)
    end = 0
    for capital in (_CAPITAL if text.isascii() else _ANY_CAPITAL).finditer(text):
        if capital.start() >= end and capital[0].isupper():
            run = _run(text, capital.start())
            end = run[-1].end()
            yield from _judge(run, text[max(0, capital.start() - 24) : capital.start()])


def _run(text: str, start: int) -> list[re.Match[str]]:
    """Take the words that stand together from a capitalised one on: capitalised, or a name's particles."""
    token = _TOKEN.match(text, start)
    run: list[re.Match[str]] = []
    while token is not None:
        run.append(token)
        end = token.end()
        gap = _GAP.match(text, end)
        token = _TOKEN.match(text, gap.end()) if gap else _TOKEN.match(text, end) if _is_initial(token[0]) else None
        if token is None:
            break
        word = token[0]
        if gap and gap[0] == ", " and (len(run) > 1 or not _is_given(word) or _known(run[0][0], fold(run[0][0]))):
            break  # no "Kowalska, Marta"
        if not (word[0].isupper() or word in PARTICLES or word.rstrip(".") in PARTICLES):
            break
    return run


def logins(text: str) -> Iterator[Finding]:
    """Find the login in what systems write when somebody comes and goes."""
    for m in _LOGIN.finditer(text):
        group = m.lastindex or 1
        if m[group].lower() not in _FIELD_VOCABULARY:
            yield Finding(m.start(group), m.end(group), "person", "name_login", 0.7)


class _Run(NamedTuple):
    """Capitalised words without the vocabulary around them, and how strongly they are introduced."""

    words: list[re.Match[str]]
    titled: bool
    cued: bool
    cue: str


@lru_cache(maxsize=4096)
def _is_ours(word: str) -> bool:
    """Whether a capitalised word that stands alone is nobody's name: it is no title, and we know it as something else."""
    folded = fold(word.rstrip("."))
    return (
        len(word) != _INITIAL
        and folded not in TITLES
        and folded not in _ROLES
        and folded not in GIVEN_NAMES
        and (_known(word, folded) or is_thing(folded))
    )


def _judge(run: list[re.Match[str]], before: str) -> Iterator[Finding]:
    """Decide about one run of capitalised words."""
    if len(run) == 1 and (len(run[0][0]) == 1 or (len(run[0][0]) <= _LONGEST_NAME and _is_ours(run[0][0]))):
        return
    words, titled, cued, cue = _core(run, before)
    if not words or run[0].string[run[-1].end() : run[-1].end() + 1] == "=":  # "Data Source=" is a key
        return
    folded = [_bare(fold(m[0].rstrip("."))) for m in words]
    solid = [
        w
        for m, w in zip(words, folded, strict=True)
        if (w not in PARTICLES or _is_initial(m[0])) and (len(w) > 1 or m[0].endswith("."))
    ]
    long = [w for w in solid if len(w) > 1]
    if not long:
        return
    if len(solid) == 2 and _is_initial(words[0][0]) and not cued and before.strip() and _is_capital_before(before):
        return
    shouting = all(m[0].isupper() and len(m[0]) > 1 for m in words)
    vocabulary = any(_vocabulary(w) and w not in GIVEN_NAMES for w in long[:-1] or long)
    if vocabulary or shouting:
        shouted = len(long) >= 2 and all(m[0].isupper() for m in words) and any(w in GIVEN_NAMES for w in long)
        if not titled and not shouted:
            return
    given = any(part in GIVEN_NAMES for w in long for part in w.split("-")) or (
        folded[0].endswith(_LONG_CASES) and _given_like(words[0][0], _LONG_CASES)
    )
    end = words[-1].end() - (1 if words[-1][0].endswith(".") and len(words[-1][0]) > 2 else 0)
    if len(solid) >= 2:
        if not (given or cued or titled or _is_initial(words[0][0])) and _thing_after(words[-1]):
            return
        if len(solid) <= 5 and (titled or not _names_a_thing(run, words, before)):
            yield Finding(words[0].start(), end, "person", "name_capitals", 0.85 if given or cued or titled else 0.6)
    elif titled or (
        ((given and len(long[0]) > 2) or (cued and _name_like(words[0][0]) and cue not in _CUE_FOR_FULL_NAMES_ONLY))
        and not _names_a_thing(run, words, before)
    ):
        yield Finding(words[0].start(), end, "person", "name_single", 0.6)


def _core(run: list[re.Match[str]], before: str) -> _Run:
    """Take our own vocabulary off both ends."""
    last = _LAST_WORD.search(before)
    cue = fold(last[1]) if last else ""
    if (
        cue in PARTICLES
        and last
        and (earlier := _LAST_WORD.search(before, 0, last.start()))
        and fold(earlier[1]) in _CUE_BEFORE
    ):
        cue = fold(earlier[1])  # "signed by van der Meer"
    titled, cued = False, cue in _CUE_BEFORE
    families = (
        _families(run, cued=cued or not before) if len(run) > 1 and (run[0][0].isupper() or run[-1][0].isupper()) else _NONE
    )
    first, kept = 0, len(run)
    while first < kept and run[first].start() not in families:
        token = run[first][0]
        word = fold(token.rstrip("."))
        if word in TITLES:
            titled = True
        elif word in _ROLES:
            cued, cue = True, word
        elif (
            word in GIVEN_NAMES
            or not (_known(token, word) or is_thing(word))
            or (len(token) == _INITIAL and _begins_initialled(run[first : first + 4]))
        ):
            break
        first += 1
    while (
        kept > first
        and run[kept - 1].start() not in families
        and _known(run[kept - 1][0], word := fold(run[kept - 1][0].rstrip(".")))
        and word not in GIVEN_NAMES
    ):
        kept -= 1
    if (titled or cued) and kept == first + 1 < len(run) and _is_given(run[first][0]) and _name_like(run[first + 1][0]):
        kept = first + 2  # "Operator Philippe Meister": a word of ours may be a family's name, too
    return _Run(run[first:kept], titled, cued, cue)


_POSSESSIVE = re.compile(r"([^\W\d_]{3,})['’][^\W\d_]{1,4}\Z")


def _bare(folded: str) -> str:
    """Without what an apostrophe sets apart: `priya's`, `elif'in`."""
    m = _POSSESSIVE.match(folded) if "'" in folded or "’" in folded else None
    return m[1] if m else folded


_NEXT_WORD = re.compile(r"\s([^\W\d_]+)")


def _thing_after(last: re.Match[str]) -> bool:
    """Whether a thing's word follows: `Weidmann Klippert relay` is a make."""
    m = _NEXT_WORD.match(last.string, last.end())
    return m is not None and is_thing(fold(m[1]))


def _is_initial(word: str) -> bool:
    return len(word) == 2 and word[1] == "." and word[0].isupper()


def _begins_initialled(run: list[re.Match[str]]) -> bool:
    """Whether initials and a surname begin here: `A. Lindholm`."""
    names = [m[0] for m in run if not _is_initial(m[0])]
    return _is_initial(run[0][0]) and bool(names) and _name_like(names[0]) and not _known(names[0], fold(names[0]))


def _is_capital_before(before: str) -> bool:
    last = _LAST_WORD.search(before)
    return last is not None and last[1][0].isupper()


_VOWEL = re.compile(r"[aeiouy]")
_SHORTEST_FAMILY = 3
_NONE: set[int] = set()


def _families(run: list[re.Match[str]], *, cued: bool) -> set[int]:
    """Surnames in capitals beside a given name that is not: `DVORAK Josef`, `Anna BERG`. Return where they begin."""
    found: set[int] = set()
    shouted = [fold(m[0]) for m in run if m[0].isupper() and m[0].isalpha()]
    if (
        cued
        and 2 <= len(run) == len(shouted) <= 3
        and not GIVEN_NAMES.isdisjoint(shouted)
        and not any(map(_vocabulary, shouted))
    ):
        return {m.start() for m in run}
    for m, beside in [*itertools.pairwise(run), *((b, a) for a, b in itertools.pairwise(run))]:
        word, other = m[0], beside[0]
        folded = fold(word)
        if (
            not (word.isupper() and len(word) >= _SHORTEST_FAMILY and _VOWEL.search(folded))
            or _vocabulary(folded)
            or folded in THINGS
        ):
            continue
        if not _name_like(other) or (_vocabulary(fold(other)) and not _given_like(other)):
            continue
        after = m.string[run[-1].end() : run[-1].end() + 2]
        if _given_like(other) or (
            len(run) == 2 and cued and len(word) > _SHORTEST_FAMILY and after[:1] == " " and after[1:].islower()
        ):
            found.add(m.start())
    return found


_CASES = (
    "nak",
    "nek",
    "val",
    "vel",
    "nal",
    "nel",
    "tol",
    "lle",
    "lta",
    "lla",
    "ovi",
    "em",
    "ou",
    "s",
    "n",
    "a",
    "e",
    "u",
    "y",
    "i",
    "in",
    "un",
)


_LONG_CASES = tuple(case for case in _CASES if len(case) > 2)


def _given_like(word: str, cases: tuple[str, ...] = _CASES) -> bool:
    """Whether it is a given name, also with the ending of a case."""
    folded = fold(word)
    if folded in GIVEN_NAMES:
        return True
    return folded.endswith(cases) and any(
        folded.endswith(case) and len(folded) - len(case) > 3 and folded[: -len(case)] in GIVEN_NAMES for case in cases
    )


_BEFORE_NAME = re.compile(r"([^\W0-9_]+)[\s\"'„“»#:>→-]{1,4}(?:[^\W0-9_]{1,2}\s)?(?:[0-9]{1,3}\s)?\Z")


def _names_a_thing(run: list[re.Match[str]], words: list[re.Match[str]], before: str) -> bool:
    """Whether the word before says that a machine, a tool or a place is called so: `dock Martin`, `Robot Rosie`."""
    if any("-" in m[0] and fold(m[0]).rsplit("-", 1)[1] in PETS for m in words):
        return True
    stripped = [m for m in run if m.start() < words[0].start()]
    last = _BEFORE_NAME.search(before)
    thing = fold(stripped[-1][0]) if stripped else fold(last[1]) if last else ""
    if not thing or thing in _CUE_BEFORE or thing in _ROLES or not is_thing(thing):
        return False
    pair = len(words) > 1 and _given_like(words[0][0]) and _name_like(words[1][0])
    return not pair


def _vocabulary(folded: str) -> bool:
    return folded in NOT_NAMES or (len(folded) > 6 and folded.endswith(_ENDINGS_OF_WORDS))


def _is_given(word: str) -> bool:
    folded = fold(word)
    return folded in GIVEN_NAMES and folded not in NOT_NAMES


def _known(word: str, folded: str) -> bool:
    """Whether this is a word of ours or an abbreviation."""
    return (
        _vocabulary(folded)
        or folded in _CUE_BEFORE
        or (word.isupper() and len(word) > 1 and not _is_initial(word))
        or ("-" in folded and all(part in NOT_NAMES or len(part) < 3 for part in folded.split("-")))
    )


def _name_like(word: str) -> bool:
    return len(word) > 2 and word[1:].islower()


def _cjk_names(text: str) -> Iterator[Finding]:
    for m in _CJK_HONORIFIC.finditer(text):
        group = 1 if m[1] else 2
        yield Finding(m.start(group), m.end(group), "person", "name_honorific", 0.8)
    foreign = sum(1 for ch in text if _CJK.match(ch))
    latin = sum(1 for ch in (MARKER.sub("", text) if "<" in text else text) if ch.isascii() and ch.isalpha())
    for m in _CJK_RUN.finditer(text):
        run = m[0]
        if not 2 <= len(run) <= 12:
            continue
        if _cjk_like_name(run, foreign=latin > foreign or run == text):
            yield Finding(m.start(), m.end(), "person", "name_cjk", 0.7)


_HANGUL_GIVEN = frozenset(
    "가강건경관광교구국권규균근기길나남다단담대덕도동두라란람래련령례록린림만명모묘무문미민범병보복봄봉빈상서석선설섭성세소솔송수숙순숭슬승시식신아안양애언여연열영예"
    "옥온완용우욱운웅원위유윤율은을의이익인일자장재정제조종주준중지진찬창채천철청초춘충치태택하학한해헌혁현형혜호홍화환회효훈휘희"
)
_KANJI_GIVEN_LONGEST = 3
_PLACE_ENDS = frozenset("駅市区町村県府都棟号線階室側機庫場店部課中済時分秒年月日数値率量型式番")


def _cjk_like_name(run: str, *, foreign: bool) -> bool:
    """Whether a run without an honorific reads as surname and given name; words of the language mostly do not."""
    if "\uac00" <= run[0] <= "\ud7af":
        return foreign and len(run) == 3 and run.startswith(SURNAME_ENDINGS_CJK) and set(run[1:]) <= _HANGUL_GIVEN
    head, _, given = run.replace("\u3000", " ").replace("・", " ").partition(" ")
    if _KATAKANA_WORD.match(head):
        return False
    if given:
        return head in SURNAME_ENDINGS_CJK and len(given) <= _KANJI_GIVEN_LONGEST + 1
    names = [
        name for name in SURNAME_ENDINGS_CJK if run.startswith(name) and 1 <= len(run) - len(name) <= _KANJI_GIVEN_LONGEST
    ]
    if not names or run[-1] in _PLACE_ENDS:
        return False
    return foreign or (3 <= len(run) <= 6 and max(map(len, names)) > 1)


_FIELD_NAME = re.compile(r"[^\W0-9_][\w\u0300-\u036f\u0590-\u0eff .,'’\-・\u3000()&/]{0,94}\Z")
_LOGIN = re.compile(
    r"\b[Uu]ser ([A-Za-z][\w.-]{2,31}) (?:logged|signed|authenticated|disconnected|connected)\b"
    r"|\b(?:password|publickey) for (?:invalid user )?([A-Za-z][\w.-]{2,31}) from\b|\bsession (?:opened|closed) for user ([A-Za-z][\w.-]{2,31})"
)
LOGIN_SIGN = "[Uu]ser [A-Za-z]|(?:password|publickey) for [A-Za-z]|session (?:opened|closed) for user "
_CODE_LIKE = re.compile(r"[A-Z0-9_]{2,}\Z|[a-z]+(?:_[a-z]+)+\Z|[A-Za-z_-]*[0-9]+[A-Za-z0-9_-]*\Z")
_FIELD_VOCABULARY = frozenset(
    "none null true false unknown auto automatic manual remote local system robot human anonymous admin root default n/a na any all yes no "
    "active inactive online offline idle busy present absent logged_in logged_out nobody service test guest user operator driver".split()
)


def is_name_field(text: str) -> bool:
    """Whether the value of a name's field holds a name (or a login), not a state or a code."""
    plain = text.strip()
    if len(plain) < 2 or not _FIELD_NAME.match(plain):
        return False
    folded = fold(plain)
    if folded in _FIELD_VOCABULARY or (folded in NOT_NAMES and folded not in GIVEN_NAMES):
        return False
    if _CODE_LIKE.match(plain):
        return any(part in GIVEN_NAMES for part in re.split(r"[_0-9-]+", folded)) or (
            plain.isupper() and len(plain) > 3 and plain.isalpha()
        )
    words = folded.split()
    if len(words) > 2 and any(map(str.isdigit, plain)) and not any(word[0].isupper() for word in plain.split()):
        return False  # a sentence
    small = sum(word[0].islower() and word not in PARTICLES for word in plain.split())
    if len(words) > 2 and small * 2 > len(words) and GIVEN_NAMES.isdisjoint(words):
        return False  # likewise
    return (
        not (len(words) > 1 and sum(w in NOT_NAMES and w not in GIVEN_NAMES for w in words) * 2 > len(words))
        and len(words) <= 7
    )
