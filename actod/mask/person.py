"""Names of people, by the shape of names in free text."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from actod.mask.finding import Finding
from actod.mask.keys import fold
from actod.mask.nameword import (
    CUE_BEFORE,
    LONG_CASES,
    bare,
    given_like,
    is_given,
    is_initial,
    is_known,
    is_word_of_ours,
    name_like,
)
from actod.mask.uncased import caseless_names, cjk_names
from actod.mask.vocabulary import PETS, THINGS, is_thing
from actod.mask.words import GIVEN_NAMES, PARTICLES, TITLES

NAME_SIGN = r"[A-Z](?:[a-z?]|[A-Z.]? {1,2}[A-Z])|\?"  # or in another script
_TOKEN = re.compile(r"[^\W0-9_]+(?:['’\-][^\W0-9_]+)*\.?")
_CAPITAL = re.compile(r"[A-Z](?<![A-Za-z].)(?<![A-Za-z]['-].)")
_ANY_CAPITAL = re.compile(r"[^\W0-9_a-z](?<![^\W0-9_].)(?<![^\W0-9_]['’-].)")
_GAP = re.compile(r" {1,2}|, ")
_BETWEEN_WORDS = " \t\n\r\f\v\x1c\x1d\x1e\x1f:=,(\"'."
_LAST_WORD = re.compile(r"([^\W0-9_]+)[\s:=,(\"'.]*\Z")
_CUE_FOR_FULL_NAMES_ONLY = frozenset("to from is de da an on with".split())
# Words for people at work: a capitalised word behind one is a name, unless we know it as something else.
_ROLES = frozenset(
    "operator technician engineer mechanic supervisor foreman worker colleague employee bediener techniker mitarbeiter mitarbeiterin kollege "
    "kollegin schichtleiter monteur operateur technicien operario operador tecnico operatore operaio pracownik operatorka technikerin".split()
)


_INITIAL, _LONGEST_NAME = 2, 48


def names(text: str) -> Iterator[Finding]:
    """Find runs of capitalised words that are no vocabulary of ours, and names in scripts without capitals."""
    if not text.isascii():
        yield from cjk_names(text)
        yield from caseless_names(text)
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
        token = _TOKEN.match(text, gap.end()) if gap else _TOKEN.match(text, end) if is_initial(token[0]) else None
        if token is None:
            break
        word = token[0]
        if gap and gap[0] == ", " and (len(run) > 1 or not is_given(word) or is_known(run[0][0], fold(run[0][0]))):
            break  # no "Kowalska, Marta"
        if not (word[0].isupper() or word in PARTICLES or word.rstrip(".") in PARTICLES):
            break
    return run


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
        and (is_known(word, folded) or is_thing(folded))
    )


def _is_nobodys(word: str, before: str) -> bool:
    """Whether a capitalised word alone is no name: it is ours, or no given name and no word stands before it."""
    if _is_ours(word):
        return True
    last = before.rstrip(_BETWEEN_WORDS)[-1:]
    return not (last.isalpha() or last.isspace() or _holds_given_name(word))


@lru_cache(maxsize=4096)
def _holds_given_name(word: str) -> bool:
    folded = bare(fold(word.rstrip(".")))
    return not GIVEN_NAMES.isdisjoint(folded.split("-")) or given_like(word, LONG_CASES)


def _judge(run: list[re.Match[str]], before: str) -> Iterator[Finding]:
    """Decide about one run of capitalised words."""
    if len(run) == 1 and (len(run[0][0]) == 1 or (len(run[0][0]) <= _LONGEST_NAME and _is_nobodys(run[0][0], before))):
        return
    words, titled, cued, cue = _core(run, before)
    if not words or run[0].string[run[-1].end() : run[-1].end() + 1] == "=":  # "Data Source=" is a key
        return
    folded = [bare(fold(m[0].rstrip("."))) for m in words]
    solid = [
        w
        for m, w in zip(words, folded, strict=True)
        if (w not in PARTICLES or is_initial(m[0])) and (len(w) > 1 or m[0].endswith("."))
    ]
    long = [w for w in solid if len(w) > 1]
    if not long:
        return
    if len(solid) == 2 and is_initial(words[0][0]) and not cued and before.strip() and _is_capital_before(before):
        return
    shouting = all(m[0].isupper() and len(m[0]) > 1 for m in words)
    vocabulary = any(is_word_of_ours(w) and w not in GIVEN_NAMES for w in long[:-1] or long)
    if vocabulary or shouting:
        shouted = len(long) >= 2 and all(m[0].isupper() for m in words) and any(w in GIVEN_NAMES for w in long)
        if not titled and not shouted:
            return
    given = any(part in GIVEN_NAMES for w in long for part in w.split("-")) or (
        folded[0].endswith(LONG_CASES) and given_like(words[0][0], LONG_CASES)
    )
    end = words[-1].end() - (1 if words[-1][0].endswith(".") and len(words[-1][0]) > 2 else 0)
    if len(solid) >= 2:
        if not (given or cued or titled or is_initial(words[0][0])) and _thing_after(words[-1]):
            return
        if len(solid) <= 5 and (titled or not _names_a_thing(run, words, before)):
            yield Finding(words[0].start(), end, "person", "name_capitals", 0.85 if given or cued or titled else 0.6)
    elif titled or (
        ((given and len(long[0]) > 2) or (cued and name_like(words[0][0]) and cue not in _CUE_FOR_FULL_NAMES_ONLY))
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
        and fold(earlier[1]) in CUE_BEFORE
    ):
        cue = fold(earlier[1])  # "signed by van der Meer"
    titled, cued = False, cue in CUE_BEFORE
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
            or not (is_known(token, word) or is_thing(word))
            or (len(token) == _INITIAL and _begins_initialled(run[first : first + 4]))
        ):
            break
        first += 1
    while (
        kept > first
        and run[kept - 1].start() not in families
        and is_known(run[kept - 1][0], word := fold(run[kept - 1][0].rstrip(".")))
        and word not in GIVEN_NAMES
    ):
        kept -= 1
    if (titled or cued) and kept == first + 1 < len(run) and is_given(run[first][0]) and name_like(run[first + 1][0]):
        kept = first + 2  # "Operator Philippe Meister": a word of ours may be a family's name, too
    return _Run(run[first:kept], titled, cued, cue)


_NEXT_WORD = re.compile(r"\s([^\W\d_]+)")


def _thing_after(last: re.Match[str]) -> bool:
    """Whether a thing's word follows: `Weidmann Klippert relay` is a make."""
    m = _NEXT_WORD.match(last.string, last.end())
    return m is not None and is_thing(fold(m[1]))


def _begins_initialled(run: list[re.Match[str]]) -> bool:
    """Whether initials and a surname begin here: `A. Lindholm`."""
    names = [m[0] for m in run if not is_initial(m[0])]
    return is_initial(run[0][0]) and bool(names) and name_like(names[0]) and not is_known(names[0], fold(names[0]))


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
        and not any(map(is_word_of_ours, shouted))
    ):
        return {m.start() for m in run}
    for m, beside in [*itertools.pairwise(run), *((b, a) for a, b in itertools.pairwise(run))]:
        word, other = m[0], beside[0]
        folded = fold(word)
        if (
            not (word.isupper() and len(word) >= _SHORTEST_FAMILY and _VOWEL.search(folded))
            or is_word_of_ours(folded)
            or folded in THINGS
        ):
            continue
        if not name_like(other) or (is_word_of_ours(fold(other)) and not given_like(other)):
            continue
        after = m.string[run[-1].end() : run[-1].end() + 2]
        if given_like(other) or (
            len(run) == 2 and cued and len(word) > _SHORTEST_FAMILY and after[:1] == " " and after[1:].islower()
        ):
            found.add(m.start())
    return found


_BEFORE_NAME = re.compile(r"([^\W0-9_]+)[\s\"'„“»#:>→-]{1,4}(?:[^\W0-9_]{1,2}\s)?(?:[0-9]{1,3}\s)?\Z")


def _names_a_thing(run: list[re.Match[str]], words: list[re.Match[str]], before: str) -> bool:
    """Whether the word before says that a machine, a tool or a place is called so: `dock Martin`, `Robot Rosie`."""
    if any("-" in m[0] and fold(m[0]).rsplit("-", 1)[1] in PETS for m in words):
        return True
    stripped = [m for m in run if m.start() < words[0].start()]
    last = _BEFORE_NAME.search(before)
    thing = fold(stripped[-1][0]) if stripped else fold(last[1]) if last else ""
    if not thing or thing in CUE_BEFORE or thing in _ROLES or not is_thing(thing):
        return False
    pair = len(words) > 1 and given_like(words[0][0]) and name_like(words[1][0])
    return not pair
