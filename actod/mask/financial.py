"""Payment cards and bank accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actod.mask.checksums import gs1, luhn, mod97
from actod.mask.finding import Finding

_CARD = re.compile(
    r"[0-9](?<![A-Za-z0-9.].)(?:[0-9]{3}([ .-]{1,3})[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{3}([ .-]{1,3})[0-9]{6}\2[0-9]{4,5}"
    r"|[0-9]{5}([ .-]{1,3})[0-9]{10,13}|[0-9]{11,18})(?![A-Za-z0-9]|[.-][0-9])"
)
_SIGN = "[ .-]{1,3}"
CARD_SIGN = (
    "(?:^|[^0-9A-Za-z.])(?:4[0-9]|5[0-8]|2[0-7]|3[0-9]|6[0-9]|9[2-7]|18)"  # no issuer's number begins otherwise
    f"(?:[0-9]{{2}}{_SIGN}[0-9]{{4}}{_SIGN}[0-9]{{4}}{_SIGN}[0-9]|[0-9]{{2}}{_SIGN}[0-9]{{6}}{_SIGN}[0-9]{{4}}|[0-9]{{4}}{_SIGN}[0-9]{{10}}|[0-9]{{10}})"
)
_ISSUER = re.compile(r"4|5[0-8]|2[2-7]|3[4-9]|30|6(?:011|[2-9])|62|35|9[2-5]|979|2014|2149|1800|2131")
_SSCC_LENGTH = 18
_CARD_LENGTHS = range(12, 20)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,31}")
IBAN_SIGN = "(?:^|[^0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11}"
_PIECE = re.compile(r"[A-Za-z0-9]+")
_LETTERS_OF_A_BANK = 4
_IBAN_LENGTHS = range(15, 35)
# ISO 13616, by country. Of another country any of the lengths may be right.
_LENGTH_OF = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SN SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip


def is_card(digits: str) -> bool:
    """Whether digits alone pass for a card number: issuer, length, Luhn."""
    size = len(digits)
    if size == _SSCC_LENGTH and gs1(digits):
        return False  # a pallet's label
    if size not in _CARD_LENGTHS or not _ISSUER.match(digits) or not luhn(digits):
        return False
    return (size != 19 or digits.startswith(("62", "50", "56", "58", "6"))) and (size >= 14 or digits.startswith("5"))


def cards(text: str) -> Iterator[Finding]:
    """Find card numbers, grouped or bare. A bare one is weaker: ticks and order numbers may pass Luhn."""
    for m in _CARD.finditer(text):
        digits = "".join(filter(str.isdigit, m[0]))
        if is_card(digits):
            grouped = len(digits) != len(m[0])
            yield Finding(m.start(), m.end(), "card", "card_luhn", 0.9 if grouped else 0.7)


def ibans(text: str) -> Iterator[Finding]:
    """Find IBANs whose check digits hold, also where other words follow directly."""
    m = _IBAN.search(text)
    while m:
        end = _iban_end(text, m)
        if end:
            yield Finding(m.start(), end, "iban", "iban_mod97", 0.98)
        m = _IBAN.search(text, end or m.start() + 4)  # what only looked like a beginning may hide a true one


def _iban_end(text: str, m: re.Match[str]) -> int:
    """Return where the longest run of whole words ends whose check digits hold; 0 if none does."""
    run, plain, end = m[0].upper(), "", 0
    length = _LENGTH_OF.get(run[:2])
    lengths = (length,) if length else _IBAN_LENGTHS
    cut = len(run) if text[m.end() : m.end() + 1].isalnum() else 0
    for piece in _PIECE.finditer(run):
        word = piece[0]
        if piece.end() == cut or (len(word) > _LETTERS_OF_A_BANK and plain and word.isalpha()):
            break  # goes on, or is a word
        plain += word
        if len(plain) in lengths and mod97(plain):
            end = m.start() + piece.end()
    return end
