"""Names of people: by the shape of names in free text, and the check of a name's own field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from actod.mask.finding import MARKER, Finding
from actod.mask.keys import fold
from actod.mask.words import GIVEN_NAMES, NOT_NAMES, PARTICLES, SURNAME_ENDINGS_CJK, TITLES

_TOKEN = re.compile(r"[^\W0-9_]+(?:['’\-][^\W0-9_]+)*\.?")
# Of ASCII text only the tokens that may stand in a name: capitalised ones, and such as are as short as a particle.
_IN_NAME = re.compile(
    r"[A-Zabdeilostuvyz](?<![A-Za-z].)(?<![A-Za-z]['-].)"
    r"(?:(?<=[A-Z])[A-Za-z]*(?:['-][A-Za-z]+)*|(?<=[a-z])[a-z]{0,4}(?![A-Za-z]|['-][A-Za-z]))\.?"
)
_CJK_RUN = re.compile(
    r"[\u3005\u4e00-\u9fff\u3040-\u30ff]+(?:[ \u3000・][\u3005\u4e00-\u9fff\u3040-\u30ff]+)*|[\uac00-\ud7af]{2,4}(?: [\uac00-\ud7af]{1,3})?"
)
_CJK = re.compile(r"[\u3005\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_LATIN = re.compile(r"[A-Za-z]")
_CJK_HONORIFIC = re.compile(
    r"([\u3005\u4e00-\u9fff\u3040-\u30ff]{1,8}?(?:[ \u3000][\u3005\u4e00-\u9fff\u3040-\u30ff]{1,6})?)\s?(?:さん|様|氏|先生|くん|ちゃん|殿|先輩|部長|課長|係長)|([\uac00-\ud7af]{2,4})\s?(?:님|씨|과장|부장|대리|사원|기사)"
)
_CASELESS = re.compile(r"[\u0590-\u0eff]")
_CASELESS_RUN = re.compile(r"[\u0590-\u0eff]+(?:[ ’'-][\u0590-\u0eff]+){0,4}")
_KATAKANA_WORD = re.compile(r"[\u30a0-\u30ff]+\Z")
_CUE_BEFORE = frozenset(
    (
        "by with to from thanks thx cheers hi hello dear ask asked asking tell told call called contact ping notify notified named name is "
        "operator driver technician mechanic engineer supervisor foreman worker colleague employee customer client visitor guest patient "
        "mr mrs ms miss dr prof sir madam herr frau fr hr monsieur madame mme m mlle sr sra srta senor senora don dona sig signor signora "
        "pan pani heer mevrouw dhr mevr para con por com de von mit an bei an avec par chez pour voor met door od przez dla da per "
        "danke merci gracias grazie obrigado obrigada dzieki dziekuje bedankt dank user author regards signed attn cc "
        "operador operatore operateur operatrice fahrer bediener conductor autista kierowca chauffeur monteur bestuurder manager lead "
        "and"
    ).split()
)
_ENDINGS_OF_WORDS = ("tion", "tions", "sion", "ness", "able", "ible", "ware", "heit", "keit", "schaft", "ization")
_LAST_WORD = re.compile(r"[\s:,(\"'.]*([^\W0-9_]+)")  # of text read backwards
_CUE_FOR_FULL_NAMES_ONLY = frozenset("to from is de da an on with".split())
# Words for people at work: a capitalised word behind one is a name, unless we know it as something else.
_ROLES = frozenset(
    "operator technician engineer mechanic supervisor foreman worker colleague employee bediener techniker mitarbeiter mitarbeiterin kollege "
    "kollegin schichtleiter monteur operateur technicien operario operador tecnico operatore operaio pracownik operatorka technikerin".split()
)


def _caseless_names(text: str) -> Iterator[Finding]:
    """In Latin text, a few words of a script without capitals (Hebrew, Arabic, Indic, Thai) are most likely a name."""
    runs = list(_CASELESS_RUN.finditer(text))
    if sum(len(m[0]) for m in runs) < len(_LATIN.findall(text)):
        for m in runs:
            if len(m[0]) > 2:
                yield Finding(m.start(), m.end(), "person", "name_caseless", 0.6)


def names(text: str) -> Iterator[Finding]:
    """Find runs of capitalised words that are no vocabulary of ours, and names in scripts without capitals."""
    if not text.isascii() and _CJK.search(text):
        yield from _cjk_names(text)
    if not text.isascii() and _CASELESS.search(text):
        yield from _caseless_names(text)
    run: list[re.Match[str]] = []
    before = ""
    previous_end = -1
    for m in (_IN_NAME if text.isascii() else _TOKEN).finditer(text):
        word = m[0]
        capital = word[0].isupper()
        if run:
            if not (_joins(run, text[previous_end : m.start()], word) and (capital or _is_particle(word))):
                yield from _judge(run, before)
                run = []
            else:
                run.append(m)
        if capital and not run:
            before = text[max(0, m.start() - 24) : m.start()]
            run = [m]
        previous_end = m.end()
    if run:
        yield from _judge(run, before)


def _joins(run: list[re.Match[str]], gap: str, word: str) -> bool:
    """Whether a word goes on with a run: behind one or two spaces, or as in "Kowalska, Marta"."""
    if gap in (" ", "  "):
        return True
    return gap == ", " and len(run) == 1 and _is_given(word) and not _known(run[0][0], fold(run[0][0]))


def _is_particle(word: str) -> bool:
    return word in PARTICLES or word.rstrip(".") in PARTICLES


def logins(text: str) -> Iterator[Finding]:
    """Find the login in what systems write when somebody comes and goes."""
    if "user " not in text and " for " not in text:
        return
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


_NOBODY = _Run([], titled=False, cued=False, cue="")


def _judge(run: list[re.Match[str]], before: str) -> Iterator[Finding]:
    """Decide about one run of capitalised words."""
    if len(run) == 1 and _names_nobody(run[0][0], before):
        return
    words, titled, cued, cue = _core(run, before)
    if not words or run[0].string[run[-1].end() : run[-1].end() + 1] == "=":  # "Data Source=" is a key
        return
    folded = [fold(m[0].rstrip(".")) for m in words]
    solid = [w for m, w in zip(words, folded, strict=True) if w not in PARTICLES and (len(w) > 1 or m[0].endswith("."))]
    long = [w for w in solid if len(w) > 1]
    if not long:
        return
    shouting = all(m[0].isupper() and len(m[0]) > 1 for m in words)
    vocabulary = any(_vocabulary(w) and w not in GIVEN_NAMES for w in long[:-1] or long)
    if vocabulary or shouting:
        shouted = len(long) >= 2 and all(m[0].isupper() for m in words) and any(w in GIVEN_NAMES for w in long)
        if not titled and not shouted:
            return
    given = any(part in GIVEN_NAMES for w in long for part in w.split("-"))
    end = words[-1].end() - (1 if words[-1][0].endswith(".") and len(words[-1][0]) > 2 else 0)
    if len(solid) >= 2:
        if len(solid) <= 5:
            yield Finding(words[0].start(), end, "person", "name_capitals", 0.85 if given or cued or titled else 0.6)
    elif (
        titled or (given and len(long[0]) > 2) or (cued and _name_like(words[0][0]) and cue not in _CUE_FOR_FULL_NAMES_ONLY)
    ):
        yield Finding(words[0].start(), end, "person", "name_single", 0.6)


def _core(run: list[re.Match[str]], before: str) -> _Run:
    """Take our own vocabulary off both ends."""
    titled, role = False, ""
    while run:
        word = fold(run[0][0].rstrip("."))
        if word in TITLES:
            titled = True
        elif word in _ROLES:
            role = word
        elif word in GIVEN_NAMES or not _known(run[0][0], word):
            break
        run = run[1:]
    if not run:
        return _NOBODY
    cue = role or _cue(before)
    cued = bool(role) or cue in _CUE_BEFORE
    kept = len(run)
    while kept and _known(run[kept - 1][0], word := fold(run[kept - 1][0].rstrip("."))) and word not in GIVEN_NAMES:
        kept -= 1
    if (titled or cued) and kept == 1 < len(run) and _is_given(run[0][0]) and _name_like(run[1][0]):
        kept = 2  # "Operator Philippe Meister": a word of ours may be a family's name, too
    return _Run(run[:kept], titled, cued, cue)


def _cue(before: str) -> str:
    """Return the last word before a run."""
    last = _LAST_WORD.match(before[::-1])
    return fold(last[1][::-1]) if last else ""


def _vocabulary(folded: str) -> bool:
    return folded in NOT_NAMES or (len(folded) > 6 and folded.endswith(_ENDINGS_OF_WORDS))


def _names_nobody(word: str, before: str) -> bool:
    """Whether a word that stands alone can be passed over: a word of ours, or one that neither is a given name nor introduced."""
    folded = fold(word.rstrip("."))
    if folded in TITLES or folded in _ROLES:
        return True
    if folded not in GIVEN_NAMES and _known(word, folded):
        return True
    return GIVEN_NAMES.isdisjoint(folded.split("-")) and _cue(before) not in _CUE_BEFORE


def _is_given(word: str) -> bool:
    folded = fold(word)
    return folded in GIVEN_NAMES and folded not in NOT_NAMES


def _known(word: str, folded: str) -> bool:
    """Whether this is a word of ours or an abbreviation."""
    return (
        _vocabulary(folded)
        or folded in _CUE_BEFORE
        or (word.isupper() and len(word) > 1)
        or ("-" in folded and all(part in NOT_NAMES or len(part) < 3 for part in folded.split("-")))
    )


def _name_like(word: str) -> bool:
    return len(word) > 2 and word[1:].islower()


def _cjk_names(text: str) -> Iterator[Finding]:
    for m in _CJK_HONORIFIC.finditer(text):
        group = 1 if m[1] else 2
        yield Finding(m.start(group), m.end(group), "person", "name_honorific", 0.8)
    foreign = len(_CJK.findall(text))
    latin = len(_LATIN.findall(MARKER.sub("", text) if "<" in text else text))
    for m in _CJK_RUN.finditer(text):
        run = m[0]
        if not 2 <= len(run) <= 12:
            continue
        spaced = " " in run or "\u3000" in run
        family = run.startswith(SURNAME_ENDINGS_CJK)
        if (
            (latin > foreign and not _KATAKANA_WORD.match(run))
            or (spaced and len(run) <= 8)
            or (family and 3 <= len(run) <= 6)
        ):
            yield Finding(m.start(), m.end(), "person", "name_cjk", 0.7)


_FIELD_NAME = re.compile(r"[^\W0-9_][\w\u0300-\u036f\u0590-\u0eff .,'’\-・\u3000()&/]{0,94}\Z")
_LOGIN = re.compile(
    r"\b[Uu]ser ([A-Za-z][\w.-]{2,31}) (?:logged|signed|authenticated|disconnected|connected)\b"
    r"|\b(?:password|publickey) for (?:invalid user )?([A-Za-z][\w.-]{2,31}) from\b|\bsession (?:opened|closed) for user ([A-Za-z][\w.-]{2,31})"
)
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
