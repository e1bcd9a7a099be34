"""Email addresses and phone numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actod.mask.finding import Finding
from actod.mask.gate import digits_in
from actod.mask.sieve import SPACE, Look, sign_of

_DOMAIN = re.compile(r"(?:\[[0-9A-Fa-f:.]{3,45}\]|[^\W_](?:[\w-]{0,62}[^\W_])?(?:\.[^\W_](?:[\w-]{0,62}[^\W_])?){0,8})")
_SPELLED_AT = (
    r"(?:[\[({<]\s?(?:at|ät|arroba|@|chiocciola|malpa|arobase)\s?[\])}>]|\b(?:at|AT|arroba|chiocciola|arobase)\b|@)"
)
_HAS_SPELLED_AT = re.compile(_SPELLED_AT, re.IGNORECASE)
_SPELLED = re.compile(
    r"(?<![\w.+-])([\w.+-]{1,64}(?:\s?[\[({<]?\s?\b(?:dot|punkt|point|punto|ponto|kropka)\b\s?[\])}>]?\s?[\w+-]{1,64}){0,4})"
    rf"\s?{_SPELLED_AT}\s?"
    r"([\w-]{1,63}(?:\s?(?:[\[({<]\s?(?:dot|punkt|point|punto|ponto|kropka|\.)\s?[\])}>]|\b(?:dot|DOT|punkt|point|punto|ponto)\b|\.)\s?[\w-]{2,63}){1,5})",
    re.IGNORECASE,
)
_SPELLED_SIGN = re.compile(
    r"[\[({<]\s?(?:at|dot|ät|punkt|point|arroba|\.|@)\s?[\])}>]|\b(?:dot|punkt|arroba|punto|ponto|chiocciola)\b",
    re.IGNORECASE,
)
_AFTER_SPELLED_TLD = re.compile(r"[a-z]{2,24}\Z", re.IGNORECASE)
EMAIL_SIGN = r"""[0-9A-Za-z_?.+%'&*!#$^~"-]@[0-9A-Za-z?\[]"""
SPELLED_SIGN = rf"(?i)\b(?:dot|punkt|point|punto|ponto|kropka)\b|[\[({{<]{SPACE}?(?:at|@|dot|\?t|arroba){SPACE}?[\])}}>]"


def emails(text: str) -> Iterator[Finding]:
    """Find addresses around each @; both sides are bounded, so hostile input stays linear."""
    at = text.find("@")
    while at >= 0:
        left = text[max(0, at - 65) : at]
        local = _local_part(left)
        domain = _DOMAIN.match(text, at + 1) if local else None
        if domain and (("." in domain[0] and not domain[0].replace(".", "").isdigit()) or domain[0][0] == "["):
            start = at - len(local)
            if not _is_url_password(text, start):
                yield Finding(start, domain.end(), "email", "email", 0.99)
        at = text.find("@", at + 1)


def _local_part(left: str) -> str:
    if left.endswith('"'):
        opening = left.rfind('"', 0, -1)
        return left[opening:] if opening >= 0 else ""
    size = len(left)
    index = size
    while index and (left[index - 1].isalnum() or left[index - 1] in "_.+-%'&*!#$?^~"):
        index -= 1
    return left[index:].lstrip("'.&?!#*-%")


def _is_url_password(text: str, start: int) -> bool:
    """Whether the run belongs to scheme://user:password@host, which the secrets family masks."""
    head = text[max(0, start - 80) : start]
    scheme = head.rfind("://")
    return scheme >= 0 and not set(head[scheme + 3 :]) & set(" /\"'<>") and ":" in head[scheme + 3 :]


def spelled_emails(text: str) -> Iterator[Finding]:
    """Find addresses such as `name [at] host [dot] org`."""
    if not _SPELLED_SIGN.search(text) or not _HAS_SPELLED_AT.search(text):
        return
    for m in _SPELLED.finditer(text):
        if _SPELLED_SIGN.search(m[0]) and _AFTER_SPELLED_TLD.search(m[0]):
            yield Finding(m.start(), m.end(), "email", "email_spelled", 0.9)


_TEN_DIGITS = r"(?=(?:[ ./()-]{0,2}[0-9]){10})"
_PHONE_FORMS = (
    # + and country code, groups with one separator
    (r"(?<![\w+])(?:\+|\(\+)\s?[1-9](?:[ ./()-]{0,2}[0-9]){6,14}(?![0-9])", "phone_international", 0.95),
    (
        _TEN_DIGITS + r"(?<![\w.,+-])00[1-9][0-9]{0,2}(?:[ ./-]\(?[0-9]{1,5}\)?){2,6}(?![\w-])",
        "phone_international_00",
        0.85,
    ),
    (r"(?<![\w.,-])00[1-9][0-9]{9,12}(?![\w-])", "phone_international_00", 0.7),
    # North America
    (r"(?<![\w.,-])(?:1[ .-])?\([2-9][0-9][0-9]\)[ ]?[2-9][0-9][0-9][ .-][0-9]{4}(?![\w-])", "phone_nanp", 0.9),
    (
        r"(?<![\w.,/-])(?:1[ .-])?[2-9][0-9][0-9]([ .-])[2-9][0-9][0-9]\1[0-9]{4}(?!\w|[.-][0-9])",
        "phone_nanp",
        0.8,
    ),
    # an area code in brackets
    (r"(?<![\w.,-])\(0?[0-9]{1,4}\) ?[0-9]{2,5}(?:[ .-]?[0-9]{2,5}){1,3}(?![\w-])", "phone_area_code", 0.8),
    # trunk zero, then groups: 030-1234567, 0171/1234567, 06 12 34 56 78, 090-1234-5678
    (r"(?<![\w.,/:-])0[1-9][0-9]{0,4}(?:[ /-]{1,3}[0-9]{2,9}){1,5}(?!\w|[.,/:-][0-9])", "phone_trunk", 0.75),
    (r"(?<![\w.,-])0[1-9](?:\.[0-9][0-9]){4}(?![\w.])", "phone_trunk_dots", 0.85),
    (r"(?<![\w.,-])0[1-9][0-9]{0,3}(?:\.[0-9]{3,4}){2,3}(?![\w.])", "phone_trunk_dots", 0.7),
    (r"(?<![\w.,/:-])0[6-9][0-9]{9}(?![\w-]|\.[0-9])", "phone_trunk_mobile", 0.65),
    # mobile numbers written in groups without a trunk digit: 612 345 678, 342 123 4567, 98212 34567, 11 91234-5678
    (r"(?<![\w.,/:-])[4-9][0-9][0-9] [0-9]{3} [0-9]{3}(?!\w| ?[0-9]|[.,-][0-9])", "phone_groups", 0.6),
    (r"(?<![\w.,/:-])[3-9][0-9][0-9] [0-9]{3} [0-9]{4}(?!\w| ?[0-9]|[.,-][0-9])", "phone_groups", 0.6),
    (r"(?<![\w.,/:-])[6-9][0-9]{4}[ -][0-9]{5}(?!\w| ?[0-9]|[.,-][0-9])", "phone_groups", 0.6),
    (r"(?<![\w.,/:-])[4-9][0-9]{2} [0-9]{2} [0-9]{2} [0-9]{2}(?!\w| ?[0-9]|[.,-][0-9])", "phone_groups", 0.6),
    (r"(?<![\w.,/:-])(?:[0-9]{2} )?9[0-9]{4}-[0-9]{4}(?!\w|-)", "phone_groups", 0.6),
    (r"(?<![\w.,/:-])01[0-9]-[0-9]{3,4}-[0-9]{4}(?!\w|-)", "phone_groups", 0.7),
)
# "reach maintenance at ...", "ring him on ...": any number of a telephone's length.
_AFTER_VERB = re.compile(
    r"(?<![\w<])(?:reach|call|ring|phone|text|contact|dial|erreich\w{1,4}|anruf\w{0,3}|appel\w{1,3}|joindre|joignable|llam\w{1,4}|chiam\w{1,4}|lig\w{1,3}|dzwoni\w{0,2}|bel|bellen)"
    r"\b[^.;:\n0-9]{0,32}\b(?:at|on|under|unter|au|al|a|el|pod|op|via|number|no\.?|nr\.?)\s([+(]?[0-9](?:[ ./()-]{0,2}[0-9]){7,14})(?![\w]|[.-][0-9])",
    re.IGNORECASE,
)
_VERB_SIGN = (
    r"(?i)\b(?:at|on|under|unter|au|al|a|el|pod|op|via|number|no\.?|nr\.?)" + SPACE + r"[+(]?[0-9](?:[ ./()-]{0,2}[0-9]){7}"
)
_FEWEST, _MOST = 8, 15  # digits
_DATE_LIKE = re.compile(r"(?:[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}|[0-9]{4}[./-][0-9]{1,2}[./-][0-9]{1,2})(?![0-9./-])")


def _form(pattern: str, rule: str, confidence: float) -> tuple[str, Look]:
    compiled = re.compile(pattern)

    def phones(text: str) -> Iterator[Finding]:
        for m in compiled.finditer(text):
            if _FEWEST <= digits_in(m[0]) <= _MOST and not _DATE_LIKE.match(m[0]):
                yield Finding(m.start(), m.end(), "phone", rule, confidence)

    return sign_of(pattern.removeprefix(_TEN_DIGITS)), phones


def _phones_after_verb(text: str) -> Iterator[Finding]:
    for m in _AFTER_VERB.finditer(text) if " " in text else ():
        if not _DATE_LIKE.match(m[1]):
            yield Finding(m.start(1), m.end(1), "phone", "word_phone_verb", 0.75)


# Numbers whose form alone says phone. Weaker forms need a telling word (see context.py).
PHONES = (*(_form(*form) for form in _PHONE_FORMS), (_VERB_SIGN, _phones_after_verb))
