"""National identity numbers. To add one: a pattern, a check, and its words in vocabulary.py.

A form in `FORMS` is found anywhere where its confidence is at least 0.5; a weaker one (bare digits, whose checksum one
number in ten or eleven passes by chance) needs a telling key or word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from actod.mask import checksums
from actod.mask.finding import Finding
from actod.mask.sieve import sign_of


class Form(NamedTuple):
    """One way of writing a number: how it looks, what its plain characters must satisfy, how sure that makes us."""

    type: str
    rule: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    confidence: float

    def find(self, text: str) -> Iterator[Finding]:
        """Find numbers whose form and check digits say enough without a word about them."""
        for m in self.pattern.finditer(text):
            if self.holds(plain(m[0])):
                yield Finding(m.start(), m.end(), self.type, self.rule, self.confidence)


def _always(_: str) -> bool:
    return True


_B, _E = r"(?<![\w.,/-])", r"(?!\w|[./-][0-9])"  # not inside a longer number or word


def _form(type_: str, rule: str, pattern: str, holds: Callable[[str], bool], confidence: float) -> Form:
    return Form(type_, rule, re.compile(f"{_B}(?:{pattern}){_E}"), holds, confidence)


FORMS: tuple[Form, ...] = (
    _form("us_ssn", "us_ssn_hyphens", r"(?!000|666)[0-8][0-9][0-9]-(?!00)[0-9][0-9]-(?!0000)[0-9]{4}", _always, 0.8),
    _form("us_ssn", "us_ssn_spaces", r"(?!000|666)[0-8][0-9][0-9] (?!00)[0-9][0-9] (?!0000)[0-9]{4}", _always, 0.55),
    _form(
        "uk_nino",
        "uk_nino",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]([ -]?)[0-9][0-9]\1[0-9][0-9]\1[0-9][0-9]\1[A-D]",
        _always,
        0.85,
    ),
    _form(
        "uk_nino", "uk_nino", r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{6} ?[A-D]", _always, 0.85
    ),
    _form("de_steuerid", "de_steuerid_groups", r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", checksums.steuerid, 0.75),
    _form("de_steuerid", "de_steuerid_bare", r"[1-9][0-9]{10}", checksums.steuerid, 0.4),
    _form(
        "fr_nir",
        "fr_nir_groups",
        r"[12378] [0-9][0-9] [0-9][0-9] (?:[0-9][0-9]|2[AB]) [0-9]{3} [0-9]{3} ?[0-9][0-9]",
        checksums.nir,
        0.97,
    ),
    _form(
        "fr_nir",
        "fr_nir_bare",
        r"[12378][0-9][0-9](?:0[1-9]|1[0-2]|[2-9][0-9])(?:[0-9][0-9]|2[AB])[0-9]{6} ?[0-9][0-9]",
        checksums.nir,
        0.7,
    ),
    _form("es_dni", "es_dni", r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}[ -]?[A-HJ-NP-TV-Z]", checksums.dni, 0.8),
    _form("es_dni", "es_nie", r"[XYZ][ -]?[0-9]{7}[ -]?[A-HJ-NP-TV-Z]", checksums.dni, 0.9),
    _form("it_cf", "it_cf", r"[A-Z]{6}[0-9][0-9][A-EHLMPRST][0-9][0-9][A-Z][0-9]{3}[A-Z]", checksums.codice_fiscale, 0.98),
    _form(
        "it_cf",
        "it_cf_groups",
        r"[A-Z]{3} ?[A-Z]{3} ?[0-9][0-9][A-EHLMPRST][0-9][0-9] ?[A-Z][0-9]{3}[A-Z]",
        checksums.codice_fiscale,
        0.97,
    ),
    _form("nl_bsn", "nl_bsn_groups", r"[0-9]{4}\.[0-9][0-9]\.[0-9]{3}|[0-9]{3}[. ][0-9]{3}[. ][0-9]{3}", checksums.bsn, 0.6),
    _form("nl_bsn", "nl_bsn_bare", r"[0-9]{9}", checksums.bsn, 0.3),
    _form("pl_pesel", "pl_pesel_bare", r"[0-9]{11}", checksums.pesel, 0.4),
    _form("br_cpf", "br_cpf_groups", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}[-/][0-9][0-9]", checksums.cpf, 0.97),
    _form("br_cpf", "br_cpf_bare", r"[0-9]{11}|[0-9]{9}-[0-9][0-9]", checksums.cpf, 0.4),
    _form("in_aadhaar", "in_aadhaar_groups", r"[2-9][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}", checksums.verhoeff, 0.75),
    _form("in_aadhaar", "in_aadhaar_bare", r"[2-9][0-9]{11}", checksums.verhoeff, 0.4),
)
_LOWER_CF = re.compile(r"[0-9][0-9][abcdehlmprst][0-9][0-9][a-z][0-9]{3}[a-z](?![A-Za-z0-9])")
_LOWER_CF_SIGN = "[a-z]{6}[0-9][0-9][a-z][0-9][0-9][a-z][0-9]{3}[a-z]"
_LOWER_CF_HEAD = re.compile(r"(?<![A-Za-z0-9])[a-z]{6}\Z")
_CF_HEAD = 6
ANYWHERE = 0.5

# With a telling key or word a wrong check digit is no excuse: people mistype.
LOOSE: dict[str, re.Pattern[str]] = {
    "us_ssn": re.compile(r"(?<![0-9])[0-9]{3}[ ./-]{0,3}[0-9]{2}[ ./-]{0,3}[0-9]{4}(?![0-9])"),
    "uk_nino": re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}(?:[ ./-]{0,3}[0-9][0-9]){3}[ ./-]{0,3}[A-Da-d](?![A-Za-z0-9])"),
    "de_steuerid": re.compile(r"(?<![0-9])[0-9](?:[ ./-]{0,3}[0-9]){9,12}(?![0-9])"),
    "fr_nir": re.compile(
        r"(?<![0-9])[1-478](?:[ ./-]{0,3}[0-9]){4}[ ./-]{0,3}(?:[0-9][0-9]|2[ABab])(?:[ ./-]{0,3}[0-9]){6,8}(?![0-9])"
    ),
    "es_dni": re.compile(r"(?<![A-Za-z0-9])(?:[XYZxyz][ -]?)?[0-9]{1,2}\.?[0-9]{3}\.?[0-9]{3}[ -]?[A-Za-z]?(?![A-Za-z0-9])"),
    "it_cf": re.compile(
        r"(?<![A-Za-z0-9])[A-Za-z]{3} ?[A-Za-z]{3} ?[0-9A-Za-z]{2}[A-Za-z][0-9A-Za-z]{2} ?[A-Za-z][0-9A-Za-z]{3}[A-Za-z]"
    ),
    "nl_bsn": re.compile(r"(?<![0-9])[0-9](?:[ ./-]{0,3}[0-9]){7,8}(?![0-9])"),
    "pl_pesel": re.compile(r"(?<![0-9])[0-9](?:[ ./-]{0,3}[0-9]){10}(?![0-9])"),
    "br_cpf": re.compile(r"(?<![0-9])[0-9](?:[ ./-]{0,3}[0-9]){10}(?![0-9])"),
    "in_aadhaar": re.compile(r"(?<![0-9])[0-9](?:[ ./-]{0,3}[0-9]){11}(?![0-9])"),
    "national_id": re.compile(
        r"(?<![A-Za-z0-9])(?=[A-Za-z]{0,4}[ -]?[0-9])[A-Za-z0-9](?:[ ./-]?[A-Za-z0-9]){5,19}(?![A-Za-z0-9])"
    ),
}


def _lower_codes(text: str) -> Iterator[Finding]:
    """Find Italian codes in small letters: no other number is written so."""
    for lower in _LOWER_CF.finditer(text):
        start, end = lower.start() - _CF_HEAD, lower.end()
        if _LOWER_CF_HEAD.search(text, max(0, start - 1), lower.start()) and checksums.codice_fiscale(
            text[start:end].upper()
        ):
            yield Finding(start, end, "it_cf", "it_cf_lower", 0.95)


NATIONAL_IDS = (
    (_LOWER_CF_SIGN, _lower_codes),
    *((sign_of(form.pattern.pattern), form.find) for form in FORMS if form.confidence >= ANYWHERE),
)


_MRZ = re.compile(r"(?<![A-Z0-9<])(?=[A-Z0-9]{0,43}<)[A-Z0-9<]{30,44}(?![A-Z0-9]|<(?!/))")
_MRZ_NAMES = re.compile(
    r"[PIACV][A-Z<][A-Z]{3}[A-Z<]+<<[A-Z<]+\Z|[A-Z]{2,}(?:<[A-Z]+)*<<[A-Z<]+<\Z|[IAC][A-Z<][A-Z]{3}[A-Z0-9<]{9}[0-9][A-Z0-9<]{15}\Z"
)
_MRZ_LENGTHS = (30, 36, 44)
_MRZ_WEIGHTS = (7, 3, 1)


def mrz_lines(text: str) -> Iterator[Finding]:
    """Find the machine-readable lines of travel documents (ICAO 9303): by their check digits, names by their fillers."""
    for m in _MRZ.finditer(text):
        line = m[0]
        if len(line) in _MRZ_LENGTHS and (_mrz_checks(line) or _MRZ_NAMES.match(line)):
            yield Finding(m.start(), m.end(), "passport", "passport_mrz", 0.97)


def _mrz_checks(line: str) -> bool:
    fields = ((0, 6, 6), (8, 14, 14)) if len(line) == _MRZ_LENGTHS[0] else ((0, 9, 9), (13, 19, 19), (21, 27, 27))
    return sum(_mrz_digit(line[start:end]) == line[at] for start, end, at in fields) >= 2


def _mrz_digit(part: str) -> str:
    return str(sum((0 if ch == "<" else int(ch, 36)) * _MRZ_WEIGHTS[i % 3] for i, ch in enumerate(part)) % 10)


def plain(text: str) -> str:
    """Letters and digits only, upper case."""
    return "".join(filter(str.isalnum, text)).upper()
