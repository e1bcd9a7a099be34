"""National identity numbers. To add one: a pattern, a check, and its words in vocabulary.py.

A form in `FORMS` is found anywhere where its confidence is at least 0.5; a weaker one (bare digits, whose checksum one
number in ten or eleven passes by chance) needs a telling key or word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from actod.mask import checksums
from actod.mask.finding import Finding, ungrouped


class Form(NamedTuple):
    """One way of writing a number: how it looks, what its plain characters must satisfy, how sure that makes us."""

    type: str
    rule: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool]
    confidence: float


def _always(_: str) -> bool:
    return True


_B, _E = r"(?<![\w.,/-])", r"(?!\w|[./-]\d)"  # not inside a longer number or word


def _form(type_: str, rule: str, pattern: str, holds: Callable[[str], bool], confidence: float) -> Form:
    return Form(type_, rule, re.compile(_B + pattern + _E), holds, confidence)


FORMS: tuple[Form, ...] = (
    _form("us_ssn", "us_ssn_hyphens", r"(?!000|666)[0-8]\d\d-(?!00)\d\d-(?!0000)\d{4}", _always, 0.8),
    _form("us_ssn", "us_ssn_spaces", r"(?!000|666)[0-8]\d\d (?!00)\d\d (?!0000)\d{4}", _always, 0.55),
    _form(
        "uk_nino",
        "uk_nino",
        r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]([ -]?)\d\d\1\d\d\1\d\d\1[A-D]",
        _always,
        0.85,
    ),
    _form("uk_nino", "uk_nino", r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{6} ?[A-D]", _always, 0.85),
    _form("de_steuerid", "de_steuerid_groups", r"[1-9]\d ?\d{3} ?\d{3} ?\d{3}", checksums.steuerid, 0.75),
    _form("de_steuerid", "de_steuerid_bare", r"[1-9]\d{10}", checksums.steuerid, 0.4),
    _form("fr_nir", "fr_nir_groups", r"[12378] \d\d \d\d (?:\d\d|2[AB]) \d{3} \d{3} ?\d\d", checksums.nir, 0.97),
    _form("fr_nir", "fr_nir_bare", r"[12378]\d\d(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d\d|2[AB])\d{6} ?\d\d", checksums.nir, 0.7),
    _form("es_dni", "es_dni", r"\d{2}\.?\d{3}\.?\d{3}[ -]?[A-HJ-NP-TV-Z]", checksums.dni, 0.8),
    _form("es_dni", "es_nie", r"[XYZ][ -]?\d{7}[ -]?[A-HJ-NP-TV-Z]", checksums.dni, 0.9),
    _form("it_cf", "it_cf", r"[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]", checksums.codice_fiscale, 0.98),
    _form(
        "it_cf", "it_cf_groups", r"[A-Z]{3} ?[A-Z]{3} ?\d\d[A-EHLMPRST]\d\d ?[A-Z]\d{3}[A-Z]", checksums.codice_fiscale, 0.97
    ),
    _form("nl_bsn", "nl_bsn_groups", r"\d{4}\.\d\d\.\d{3}|\d{3}[. ]\d{3}[. ]\d{3}", checksums.bsn, 0.6),
    _form("nl_bsn", "nl_bsn_bare", r"\d{9}", checksums.bsn, 0.3),
    _form("pl_pesel", "pl_pesel_bare", r"\d{11}", checksums.pesel, 0.4),
    _form("br_cpf", "br_cpf_groups", r"\d{3}\.\d{3}\.\d{3}[-/]\d\d", checksums.cpf, 0.97),
    _form("br_cpf", "br_cpf_bare", r"\d{11}|\d{9}-\d\d", checksums.cpf, 0.4),
    _form("in_aadhaar", "in_aadhaar_groups", r"[2-9]\d{3}([ -])\d{4}\1\d{4}", checksums.verhoeff, 0.75),
    _form("in_aadhaar", "in_aadhaar_bare", r"[2-9]\d{11}", checksums.verhoeff, 0.4),
)
_LOWER_CF = re.compile(r"\d\d[abcdehlmprst]\d\d[a-z]\d{3}[a-z](?![A-Za-z0-9])")
_LOWER_CF_HEAD = re.compile(r"(?<![A-Za-z0-9])[a-z]{6}\Z")
_CF_HEAD = 6
_BY_TYPE: dict[str, tuple[Form, ...]] = {t: tuple(f for f in FORMS if f.type == t) for t in {f.type for f in FORMS}}
ANYWHERE = 0.5
_STRONG = tuple(form for form in FORMS if form.confidence >= ANYWHERE)
# One look for all of them: most text has none, and is then not read once for each.
_ANY_STRONG = re.compile(_B + "(?=[0-9A-Z])(?:" + "|".join(ungrouped(form.pattern.pattern) for form in _STRONG) + ")")

# With a telling key or word a wrong check digit is no excuse: people mistype.
LOOSE: dict[str, re.Pattern[str]] = {
    "us_ssn": re.compile(r"(?<!\d)\d{3}[ ./-]{0,3}\d{2}[ ./-]{0,3}\d{4}(?!\d)"),
    "uk_nino": re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}(?:[ ./-]{0,3}\d\d){3}[ ./-]{0,3}[A-Da-d](?![A-Za-z0-9])"),
    "de_steuerid": re.compile(r"(?<!\d)\d(?:[ ./-]{0,3}\d){9,12}(?!\d)"),
    "fr_nir": re.compile(r"(?<!\d)[1-478](?:[ ./-]{0,3}\d){4}[ ./-]{0,3}(?:\d\d|2[ABab])(?:[ ./-]{0,3}\d){6,8}(?!\d)"),
    "es_dni": re.compile(r"(?<![A-Za-z0-9])(?:[XYZxyz][ -]?)?\d{1,2}\.?\d{3}\.?\d{3}[ -]?[A-Za-z]?(?![A-Za-z0-9])"),
    "it_cf": re.compile(
        r"(?<![A-Za-z0-9])[A-Za-z]{3} ?[A-Za-z]{3} ?[0-9A-Za-z]{2}[A-Za-z][0-9A-Za-z]{2} ?[A-Za-z][0-9A-Za-z]{3}[A-Za-z]"
    ),
    "nl_bsn": re.compile(r"(?<!\d)\d(?:[ ./-]{0,3}\d){7,8}(?!\d)"),
    "pl_pesel": re.compile(r"(?<!\d)\d(?:[ ./-]{0,3}\d){10}(?!\d)"),
    "br_cpf": re.compile(r"(?<!\d)\d(?:[ ./-]{0,3}\d){10}(?!\d)"),
    "in_aadhaar": re.compile(r"(?<!\d)\d(?:[ ./-]{0,3}\d){11}(?!\d)"),
    "national_id": re.compile(
        r"(?<![A-Za-z0-9])(?=[A-Za-z]{0,4}[ -]?\d)[A-Za-z0-9](?:[ ./-]?[A-Za-z0-9]){5,19}(?![A-Za-z0-9])"
    ),
}


def national_ids(text: str) -> Iterator[Finding]:
    """Find numbers whose form and check digits say enough without a word about them."""
    for m in _LOWER_CF.finditer(text):
        start = m.start() - _CF_HEAD
        if _LOWER_CF_HEAD.search(text, max(0, start - 1), m.start()) and checksums.codice_fiscale(
            text[start : m.end()].upper()
        ):
            yield Finding(start, m.end(), "it_cf", "it_cf_lower", 0.95)
    if not _ANY_STRONG.search(text):
        return
    for form in _STRONG:
        for m in form.pattern.finditer(text):
            if form.holds(plain(m[0])):
                yield Finding(m.start(), m.end(), form.type, form.rule, form.confidence)


_MRZ = re.compile(r"(?<![A-Z0-9<])(?=[A-Z0-9]{0,43}<)[A-Z0-9<]{30,44}(?![A-Z0-9]|<(?!/))")
_MRZ_NAMES = re.compile(
    r"[PIACV][A-Z<][A-Z]{3}[A-Z<]+<<[A-Z<]+\Z|[A-Z]{2,}(?:<[A-Z]+)*<<[A-Z<]+<\Z|[IAC][A-Z<][A-Z]{3}[A-Z0-9<]{9}\d[A-Z0-9<]{15}\Z"
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
