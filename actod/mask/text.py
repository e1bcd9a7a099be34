"""All that is looked for in one string: cheap gates first, exact detectors behind them.

`scan` takes text in plain characters and reports positions in it. Layers, containers and fields are the engine's part.
Every pattern is linear: bounded repeats, a guard in front that forbids a second start inside the same run.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from actod.mask import address, contact, financial, location, namefield, national, network, person, secrets
from actod.mask.context import telling
from actod.mask.finding import MARKER, SECRETS, Cover, Finding
from actod.mask.keys import Hint, fold
from actod.mask.sieve import Sieve, plain_bytes
from actod.mask.vocabulary import BENIGN

# Strings that hold nothing under a neutral key: one word with a short number, a time stamp, a UUID, a digest.
BORING = re.compile(
    r"[A-Za-z_/.-]{0,15}[0-9]{0,5}|[a-z_/.-]{0,60}[0-9]{0,5}|(?!A[A-Z]{2}A[A-Z]{16}\Z)[A-Z_]{0,40}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])")
_SIX_DIGITS = re.compile(r"[0-9](?:[ ./()-]{0,3}[0-9]){5}")
_MEASURED_BEFORE = re.compile(r"([^\W0-9_]+)(?:[\s_-]{1,2}([^\W0-9_]+))?[\s:=#.(\[\"'-]{0,4}\Z")
_TOO_WEAK_UNDER_BENIGN = 0.9
_PAIRS = re.compile(r"\d\d(?: \d\d){5,}")  # bytes
_HEX_BEFORE = re.compile(r"(?<![0-9A-Za-z])[0-9A-F]{2} \Z")
_FEWEST_SPACES_OF_A_SENTENCE = 5
_SURE_NAME = 0.7
_NAMES = frozenset(("person", "address"))
_WEAK_TYPES = frozenset(
    "phone card us_ssn uk_nino de_steuerid fr_nir es_dni nl_bsn pl_pesel br_cpf in_aadhaar gps plate passport ipv4 badge iban".split()
)
_LOOSENING = frozenset(
    "id status state level type kind mode code at time date position location count x y z w t h map number frame a length".split()
)


# What is told by its digits, in the order in which one of two that find the same has the say.
_NUMBERS = Sieve((contact.EMAIL_SIGN, contact.emails), (financial.CARD_SIGN, financial.cards), *contact.PHONES)
_MACHINES = Sieve(
    *national.NATIONAL_IDS,
    (financial.IBAN_SIGN, financial.ibans),
    ("(?:ip|IP)-[0-9]", network.host_names),
    ("WIFI:", network.wifi_codes),
    ("<<", national.mrz_lines),
    (network.IPV4_SIGN, network.ipv4s),
    (network.MAC_SIGN, network.macs),
    (network.IPV6_SIGN, network.ipv6s),
)
# What takes more than one word to see.
PROSE = Sieve(
    (namefield.LOGIN_SIGN, namefield.logins),
    (person.NAME_SIGN, person.names),
    *address.ADDRESSES,
    ("", telling),
    (contact.SPELLED_SIGN, contact.spelled_emails),
)
SIEVES = (_NUMBERS, _MACHINES, secrets.SIGNED, location.COORDINATES)


def scan(text: str, hint: Hint, *, all_types: bool = True) -> list[Finding]:
    """Look for everything in plain text, or for secrets alone; `hint` is what the key told."""
    found: list[Finding] = []
    raw = plain_bytes(text)
    for sieve in SIEVES if all_types else (secrets.SIGNED,):
        for look in sieve.looks(raw):
            if look is not network.ipv4s or not hint.version:
                found.extend(look(text))
    if len(text) >= secrets.OPAQUE:
        found.extend(secrets.opaque_tokens(text))
    if not all_types and b"WIFI:" in raw:
        found.extend(network.wifi_codes(text))
    if " " in text or "#" in text or not text.isascii():
        if all_types:
            for look in PROSE.looks(raw):
                found.extend(look(text))
        else:
            found.extend(f for f in telling(text) if f.type in SECRETS)
    return _without_harmless(text, found, hint) if found else found


def _without_harmless(text: str, found: list[Finding], hint: Hint) -> list[Finding]:
    if text.count("-") > 3 and (uuids := [m.span() for m in _UUID.finditer(text)]):
        held = Cover(uuids).holds
        found = [f for f in found if f.type in SECRETS or not (held(f.start, f.start + 1) or held(f.end - 1, f.end))]
    if hint.thing and text.count(" ") < _FEWEST_SPACES_OF_A_SENTENCE:
        found = [f for f in found if f.type not in _NAMES or (hint.thing == "pet" and f.confidence >= _SURE_NAME)]
    if found and (hint.benign or _SIX_DIGITS.search(text)):
        found = [f for f in found if not _measured(text, f, hint)]
    return found


def _measured(text: str, finding: Finding, hint: Hint) -> bool:
    """Whether a weak finding is a number that its key or the word before calls a count, a part, a time."""
    if finding.type not in _WEAK_TYPES or finding.rule.startswith(("word_", "field_")):
        return False
    if hint.benign and finding.confidence < _TOO_WEAK_UNDER_BENIGN:
        return True
    if finding.confidence >= _TOO_WEAK_UNDER_BENIGN:
        return False
    if finding.type == "phone" and (
        _PAIRS.fullmatch(text, finding.start, finding.end)
        or _HEX_BEFORE.search(text, max(0, finding.start - 4), finding.start)
    ):
        return True
    before = _MEASURED_BEFORE.search(text[max(0, finding.start - 32) : finding.start])
    if not before:
        return False
    words = [fold(word) for word in before.groups() if word]
    return any(word in BENIGN and word not in _LOOSENING for word in words[-1:]) or (
        len(words) == 2
        and words[0] in BENIGN
        and words[0] not in _LOOSENING
        and words[1] in ("no", "nr", "number", "id", "code")
    )


def without_markers(text: str, found: list[Finding], marker: re.Pattern[str] = MARKER) -> list[Finding]:
    """Leave marks of an earlier masking as they are; what stands around them inside a finding is still one."""
    if "<" not in text or not found:
        return found
    marks = [m.span() for m in marker.finditer(text)]
    if not marks:
        return found
    starts, ends = zip(*marks, strict=True)
    return [
        piece for f in found for piece in _around(text, f, marks[bisect_right(ends, f.start) : bisect_left(starts, f.end)])
    ]


def _around(text: str, finding: Finding, marks: list[tuple[int, int]]) -> Iterator[Finding]:
    start = finding.start
    for mark_start, mark_end in marks:
        if any(map(str.isalnum, text[start:mark_start])):
            yield finding._replace(start=start, end=mark_start)
        start = mark_end
    if start == finding.start or any(map(str.isalnum, text[start : finding.end])):
        yield finding._replace(start=start)


def only_secrets(found: list[Finding]) -> list[Finding]:
    """Keep what the profile secrets-only masks."""
    return [f for f in found if f.type in SECRETS or f.replacement is not None]
