"""Names where a key or a system says that they stand: in a name's own field, and in what is written at a login."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actod.mask.finding import Finding
from actod.mask.keys import fold
from actod.mask.words import GIVEN_NAMES, NOT_NAMES, PARTICLES

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


def logins(text: str) -> Iterator[Finding]:
    """Find the login in what systems write when somebody comes and goes."""
    for m in _LOGIN.finditer(text):
        group = m.lastindex or 1
        if m[group].lower() not in _FIELD_VOCABULARY:
            yield Finding(m.start(group), m.end(group), "person", "name_login", 0.7)
