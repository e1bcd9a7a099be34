"""The check of a value that stands in a telling field: whether it looks like what its key says.

A key alone convicts nothing: `phone: "none"`, `operator: "AUTO"` and `token: "bearer"` stay. Where the shape fits, the
whole value is the finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from actod.mask import location, network
from actod.mask.finding import MARKER, Finding
from actod.mask.keys import fold
from actod.mask.namefield import is_name_field
from actod.mask.national import mrz_lines
from actod.mask.secrets import looks_random, secrets
from actod.mask.words import GIVEN_NAMES

_TRIVIAL = frozenset(
    "none null nil true false yes no on off ok n/a na nan unknown undefined empty default auto basic bearer digest oauth oauth2 jwt "
    "wpa wpa2 wpa3 wep open enabled disabled required optional set unset present scram-sha-256 scram-sha-1 pbkdf2 hmac-sha256 sha256 x509 mtls saml ldap kerberos missing valid invalid expired active - -- ? *".split()
)
_PATH = re.compile(
    r"(?:[A-Za-z]:\\|\.{0,2}/|~/|file://|pkcs11:|env:|\$\{|\$\(|vault:)|[\w-]+\.(?:pem|key|crt|cer|p12|jks|json|txt|conf)\Z"
)
_WHOLE_NUMBER_LIKE = re.compile(r"[0-9\s().,/+#x:;*_-]{4,40}\Z", re.IGNORECASE)
_IP_TEXT = re.compile(
    r"\[?(?:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*(?:%\w+)?|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|ip(?:-[0-9]{1,3}){4})\]?(?:/[0-9]{1,3})?(?::[0-9]{1,5})?\Z"
)
_MAC_TEXT = re.compile(r"(?:[0-9A-Fa-f]{2}[ :._-]?){5,7}[0-9A-Fa-f]{2}\Z|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\Z")
_DEGREES = re.compile(r"[-+]?[0-9]{1,3}[.,][0-9]{3,}\s?°?\s?[NSEWO]?\Z")
_MANY_DECIMALS = re.compile(r"[-+]?[0-9]{1,3}[.,][0-9]{5,}\s?°?\Z")
_DEGREES_PARTS = re.compile(r"[NSEWO]?\s?[-+]?[0-9]{1,3}\s?[°º:d\s].{2,30}\Z|[0-9]{4,5}\.[0-9]{3,}\Z")
_TURN = re.compile(r"[a-z0-9][A-Z]")
_SHORTEST_PIN = 4
_SHORTEST_CF, _LONGEST_CF = 14, 18
_VOWELLESS = re.compile(r"[B-DF-HJ-NP-TV-Z]{7,12}\Z")


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))


def _identity(text: str) -> bool:
    return _digits(text) >= 5 and len(text) <= 40 and _letters(text) <= 12


def _phone(text: str) -> bool:
    return _digits(text) >= 5 and len(text) <= 48 and _letters(text) <= 8


def _agent(text: str) -> bool:
    """Somebody or a program: a lower-case word that is no given name is taken for the program."""
    return is_name_field(text) and (not text.islower() or " " in text.strip() or fold(text) in GIVEN_NAMES)


def _address(text: str) -> bool:
    if len(text) < 5 or _letters(text) < 3 or text[:2].lower() == "0x":
        return False
    return " " in text or not text.isascii() or ("," in text and _digits(text) > 0)


def _dob(text: str) -> bool:
    return 4 <= _digits(text) <= 17 and len(text) <= 40


def _passport(text: str) -> bool:
    alnum = _digits(text) + _letters(text)
    if _VOWELLESS.match(text) or ("<<" in text and any(mrz_lines(text))):
        return True  # issuers leave out vowels so that no number reads as a word
    return 5 <= alnum <= 20 and len(text) <= 24 and _digits(text) >= (1 if text.isupper() else 2)


def _plate(text: str) -> bool:
    alnum = _digits(text) + _letters(text)
    return 3 <= alnum <= 12 and len(text) <= 16 and _digits(text) >= 1 and (_letters(text) >= 1 or alnum >= 5)


def _badge(text: str) -> bool:
    return 3 <= len(text) <= 128 and _digits(text) >= 1 and " " not in text.strip()


def _iban(text: str) -> bool:
    return 8 <= _digits(text) + _letters(text) <= 40 and _digits(text) >= 6


def _card(text: str) -> bool:
    return _digits(text) >= 8 and bool(_WHOLE_NUMBER_LIKE.match(text))


def _password(text: str) -> bool:
    if text.isdigit() and len(text) < _SHORTEST_PIN:
        return False
    return fold(text) not in _TRIVIAL and not set(text) <= set("*•x. -")


def _is_path(text: str) -> bool:
    """Whether it is the place of a secret and not the secret; base64 may begin with a slash, too."""
    return bool(_PATH.match(text)) and not (
        text[:1] == "/" and "." not in text and any(map(str.isdigit, text)) and len(_TURN.findall(text)) >= 2
    )


def _token(text: str) -> bool:
    folded = fold(text)
    if folded in _TRIVIAL or _is_path(text):
        return False
    if " " in text.strip():
        return False
    return (
        looks_random(text)
        or (len(text) >= 6 and _digits(text) > 0 and _letters(text) > 0)
        or len(text) >= 20
        or "://" in text
    )


def _key(text: str) -> bool:
    folded = fold(text)
    if folded in _TRIVIAL or _is_path(text) or " " in text.strip():
        return False
    return looks_random(text) or len(text) >= 24


def _vin(text: str) -> bool:
    return len(text) == 17 and text.isalnum()


# kind -> (type reported, check)
_CHECKS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "person": ("person", is_name_field),
    "agent": ("person", _agent),
    "address": ("address", _address),
    "phone": ("phone", _phone),
    "card": ("card", _card),
    "iban": ("iban", _iban),
    "dob": ("dob", _dob),
    "dob_part": ("dob", lambda text: text.isdigit() and len(text) <= 4),
    "passport": ("passport", _passport),
    "plate": ("plate", _plate),
    "badge": ("badge", _badge),
    "vin": ("vin", _vin),
    "biometric": ("biometric", lambda text: len(text) >= 4),
    "mac": ("mac", lambda text: bool(_MAC_TEXT.match(text))),
    "password": ("password", _password),
    "wifi_key": ("wifi_key", _password),
    "token": ("secret", _token),
    "key": ("secret", _key),
    "email": ("email", lambda text: "@" in text or " at " in text.lower()),
    "gps_lat": ("gps", lambda text: bool(_DEGREES_PARTS.match(text)) and _digits(text) >= 4),
    "gps_lon": ("gps", lambda text: bool(_DEGREES_PARTS.match(text)) and _digits(text) >= 4),
    "it_cf": ("", lambda text: _SHORTEST_CF <= _digits(text) + _letters(text) <= _LONGEST_CF),
    **dict.fromkeys(
        ("us_ssn", "uk_nino", "de_steuerid", "fr_nir", "es_dni", "nl_bsn", "pl_pesel", "br_cpf", "in_aadhaar"),
        ("", _identity),
    ),
    "national_id": ("national_id", _identity),
}
NUMERIC = frozenset(
    "phone card iban dob dob_part passport badge us_ssn de_steuerid fr_nir es_dni nl_bsn pl_pesel br_cpf in_aadhaar national_id password wifi_key plate".split()
)
"""Kinds whose value may be a JSON number."""
_GPS_KINDS = frozenset(("gps_lat", "gps_lon"))


def in_field(kind: str, text: str) -> list[Finding]:  # noqa: PLR0911 - a case for each kind
    """Return the whole value as a finding where it looks like `kind`, else nothing."""
    plain = text.strip()
    if not plain or (plain[0] == "<" and MARKER.fullmatch(plain)):
        return []
    if kind in _GPS_KINDS and _DEGREES.match(plain):
        return [Finding(0, len(text), "gps", "field_degrees", 0.95)]
    if kind == "gps_weak" and _MANY_DECIMALS.match(plain):
        return [Finding(0, len(text), "gps", "field_degrees", 0.8)]
    if kind in ("gps", "gps_weak"):
        return _widest(list(location.coordinates(plain)), text, "gps")
    if kind == "ip":
        if not _IP_TEXT.match(plain):
            return []
        if plain[:3] == "ip-":
            return [Finding(0, len(text), "ipv4", "ipv4_host_name", 0.95)]
        type_ = "ipv6" if plain.count(":") > 1 else "ipv4"
        found = list(network.ipv6s(plain) if type_ == "ipv6" else network.ipv4s(plain, telling=True))
        return [f._replace(start=f.start + text.find(plain), end=f.end + text.find(plain)) for f in found]
    type_, check = _CHECKS[kind]
    if kind in ("token", "key"):
        known = secrets(plain)
        if known and known[0].rule == "authorisation" and known[0].end == len(plain):
            offset = text.find(plain)  # the scheme before it is no secret
            return [known[0]._replace(start=known[0].start + offset, end=known[0].end + offset)]
        if known:
            return [Finding(0, len(text), known[0].type, "field_" + known[0].rule, 0.98)]
    rest = MARKER.sub("", plain) if "<" in plain else plain  # a mark beside it makes nothing harmless
    if check(rest):
        return [Finding(text.find(plain), text.find(plain) + len(plain), type_ or kind, "field_" + kind, 0.9)]
    return []


def _widest(found: list[Finding], text: str, type_: str) -> list[Finding]:
    if not found:
        return []
    return [Finding(0, len(text), type_, "field_" + type_, 0.9)]
