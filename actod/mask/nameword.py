"""What one word says about being somebody's name."""

from __future__ import annotations

import re

from actod.mask.keys import fold
from actod.mask.words import GIVEN_NAMES, NOT_NAMES

CUE_BEFORE = frozenset(
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


_POSSESSIVE = re.compile(r"([^\W\d_]{3,})['’][^\W\d_]{1,4}\Z")


def bare(folded: str) -> str:
    """Without what an apostrophe sets apart: `priya's`, `elif'in`."""
    m = _POSSESSIVE.match(folded) if "'" in folded or "’" in folded else None
    return m[1] if m else folded


def is_initial(word: str) -> bool:
    """Whether it is one letter and a full stop."""
    return len(word) == 2 and word[1] == "." and word[0].isupper()


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


LONG_CASES = tuple(case for case in _CASES if len(case) > 2)


def given_like(word: str, cases: tuple[str, ...] = _CASES) -> bool:
    """Whether it is a given name, also with the ending of a case."""
    folded = fold(word)
    if folded in GIVEN_NAMES:
        return True
    return folded.endswith(cases) and any(
        folded.endswith(case) and len(folded) - len(case) > 3 and folded[: -len(case)] in GIVEN_NAMES for case in cases
    )


def is_word_of_ours(folded: str) -> bool:
    """Whether it is a word of the trade or of a sentence, or ends as such words do."""
    return folded in NOT_NAMES or (len(folded) > 6 and folded.endswith(_ENDINGS_OF_WORDS))


def is_given(word: str) -> bool:
    """Whether it is a given name and nothing else."""
    folded = fold(word)
    return folded in GIVEN_NAMES and folded not in NOT_NAMES


def is_known(word: str, folded: str) -> bool:
    """Whether this is a word of ours or an abbreviation."""
    return (
        is_word_of_ours(folded)
        or folded in CUE_BEFORE
        or (word.isupper() and len(word) > 1 and not is_initial(word))
        or ("-" in folded and all(part in NOT_NAMES or len(part) < 3 for part in folded.split("-")))
    )


def name_like(word: str) -> bool:
    """Whether it is written as a name: a capital, then small letters."""
    return len(word) > 2 and word[1:].islower()
