"""All that is looked for in one string: cheap gates first, exact detectors behind them.

`scan` takes text in plain characters and reports positions in it. Layers, containers and fields are the engine's part.
Every pattern is linear: bounded repeats, a guard in front that forbids a second start inside the same run.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from actod.mask import context, location, network, person
from actod.mask.contact import FEWEST_OF_A_PHONE, emails, phones, spelled_emails
from actod.mask.financial import cards, ibans
from actod.mask.finding import MARKER, SECRETS, Cover, Finding
from actod.mask.gate import digits_in, gate
from actod.mask.keys import Hint, fold
from actod.mask.national import LOWER_CF, mrz_lines, national_ids
from actod.mask.secrets import OPAQUE, SHORTEST_PREFIXED, opaque_tokens, prefixed, secrets
from actod.mask.vocabulary import BENIGN

# Strings that hold nothing under a neutral key: one word with a short number, a time stamp, a UUID, a digest.
BORING = re.compile(
    r"[A-Za-z_/.-]{0,15}[0-9]{0,5}|[a-z_/.-]{0,60}[0-9]{0,5}|(?!A[A-Z]{2}A[A-Z]{16}\Z)[A-Z_]{0,40}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])")
_SIX_DIGITS = re.compile(r"[0-9](?:[ ./()-]{0,3}[0-9]){5}")
_IBAN_HEAD = re.compile(r"[0-9](?<=[A-Za-z]{2}.)(?<![A-Za-z0-9]...)[0-9][ -]?[A-Za-z0-9]{2}")  # looked for from its digits
_DECIMALS = re.compile(
    r"[0-9°º+d](?:(?<=[0-9])(?:\.[0-9]{3}|,[0-9]{3}|[C-HJ-NP-X](?: ?[A-Z]{2} ?[0-9]{4}| [0-9]{6}))"
    r"|(?<=[°º])|(?<=\+)[23456789CFGHJMPQRVWX]{2}|(?<=d)(?<!\w.)eg\b)"
)
_SPELLED = gate(
    r"dpkDPK\[({<",
    r"(?i:\b(?:dot|punkt|point|punto|ponto|kropka)\b|[\[({<]\s?(?:at|@|dot|ät|arroba)\s?[\])}>])",
)
_CAPITALISED = re.compile(r"[A-ZÀ-Ž\u0370-\uffff](?:[^\W0-9_A-Z]|(?<=[A-Z][A-Z]) [A-Z]|(?<=[\u3005-\ud7af]))")
_HEX_WORD = re.compile("[0-9a-f]*")
_LONGER_THAN_AN_IBAN = 35
_FEWEST_DIGITS, _FEWEST_OF_A_GRID = 6, 8  # of what is told by its digits, and of a place on the military grid
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


def scan(text: str, hint: Hint, *, all_types: bool = True) -> list[Finding]:
    """Look for everything in plain text, or for secrets alone; `hint` is what the key told."""
    found: list[Finding] = []
    if not all_types:
        _scan_secrets(text, found)
    elif text.isalnum() and text.isascii():
        _scan_word(text, found)
    else:
        _scan_text(text, hint, found)
    return _without_harmless(text, found, hint) if found else found


def _scan_word(text: str, found: list[Finding]) -> None:
    """Look for what can be told in letters and digits alone, without any sign between them."""
    size, digits = len(text), digits_in(text)
    if digits == size:
        _scan_numbers(text, digits, found)
        return
    lower = text.islower()
    if size >= _LONGER_THAN_AN_IBAN and lower and _HEX_WORD.fullmatch(text):
        return  # a digest: too long for a number, too plain for a token
    if digits >= _FEWEST_DIGITS and (not lower or size >= LOWER_CF):
        found.extend(national_ids(text))
    if not lower:
        if size >= SHORTEST_PREFIXED:
            found.extend(prefixed(text))
        if digits >= _FEWEST_OF_A_GRID and _DECIMALS.search(text):
            found.extend(location.coordinates(text))
    if digits > 1 and _IBAN_HEAD.search(text):
        found.extend(ibans(text))
    if size >= OPAQUE:
        found.extend(opaque_tokens(text))


def _scan_text(text: str, hint: Hint, found: list[Finding]) -> None:
    digits = digits_in(text)
    if "@" in text:
        found.extend(emails(text))
    if digits >= _FEWEST_DIGITS:
        _scan_numbers(text, digits, found)
    if digits > 1 and _IBAN_HEAD.search(text):
        found.extend(ibans(text))
    _scan_signed(text, found)
    _scan_network(text, digits, hint, found)
    found.extend(secrets(text))
    if len(text) >= OPAQUE:
        found.extend(opaque_tokens(text))
    if _DECIMALS.search(text):
        found.extend(location.coordinates(text))
    if " " in text or not text.isascii() or "#" in text:
        _scan_prose(text, found)


def _scan_secrets(text: str, found: list[Finding]) -> None:
    found.extend(secrets(text))
    if len(text) >= OPAQUE:
        found.extend(opaque_tokens(text))
    if "WIFI:" in text:
        found.extend(network.wifi_codes(text))
    if " " in text or not text.isascii() or "#" in text:
        found.extend(f for f in context.telling(text) if f.type in SECRETS)


def _scan_signed(text: str, found: list[Finding]) -> None:
    """Look for what begins with a sign of its own."""
    if "ip-" in text or "IP-" in text:
        found.extend(network.host_names(text))
    if "WIFI:" in text:
        found.extend(network.wifi_codes(text))
    if "<<" in text:
        found.extend(mrz_lines(text))


def _without_harmless(text: str, found: list[Finding], hint: Hint) -> list[Finding]:
    if text.count("-") > 3 and (uuids := [m.span() for m in _UUID.finditer(text)]):
        held = Cover(uuids).holds
        found = [f for f in found if f.type in SECRETS or not (held(f.start, f.start + 1) or held(f.end - 1, f.end))]
    if hint.thing and text.count(" ") < _FEWEST_SPACES_OF_A_SENTENCE:
        found = [f for f in found if f.type not in _NAMES or (hint.thing == "pet" and f.confidence >= _SURE_NAME)]
    if found and (hint.benign or _SIX_DIGITS.search(text)):
        found = [f for f in found if not _measured(text, f, hint)]
    return found


def _scan_network(text: str, digits: int, hint: Hint, found: list[Finding]) -> None:
    """Look for addresses of machines where there are enough of the signs that stand between their parts."""
    dots, colons = text.count("."), text.count(":")
    if dots > 2 and digits > 3:
        found.extend(network.ipv4s(text, version_key=hint.version))
    if colons > 4 or dots == 2 or (colons > 1 and dots > 2) or text.count("-") > 4 or text.count("_") > 4:
        found.extend(network.macs(text))
    if colons > 1:
        found.extend(network.ipv6s(text))


def _scan_numbers(text: str, digits: int, found: list[Finding]) -> None:
    """Look for what is told by its digits."""
    if digits >= FEWEST_OF_A_PHONE and _SIX_DIGITS.search(text):
        found.extend(cards(text))
        found.extend(phones(text))
    found.extend(national_ids(text))


def _scan_prose(text: str, found: list[Finding]) -> None:
    """Look for what takes more than one word to see."""
    found.extend(person.logins(text))
    if _CAPITALISED.search(text):
        found.extend(person.names(text))
        found.extend(location.addresses(text))
    found.extend(context.telling(text))
    if _SPELLED.search(text):
        found.extend(spelled_emails(text))


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
