"""Where somebody is: geographic coordinates in any notation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from actod.mask.finding import Finding
from actod.mask.gate import gate
from actod.mask.sieve import NO_WORD_AFTER, NO_WORD_BEFORE, SPACE, Sieve, plain_bytes, sign_of

_DEC = r"[-+]?[0-9]{1,3}[.,][0-9]{3,}"
_PAIR = re.compile(
    r"(?<![\w.])([-+]?[0-9]{1,3}\.[0-9]{3,12})\s?(?:°|deg)?\s?([NS])?\s?[,;/|]?\s{0,3}([-+]?[0-9]{1,3}\.[0-9]{3,12})\s?(?:°|deg)?\s?([EWO])?(?![\w.]*[0-9])"
)
_NAMED = re.compile(
    rf"\b(lat(?:itude|itud|itudine)?|breite(?:ngrad)?|lon(?:g(?:itude|itud|itudine)?)?|lng|l(?:ä|ae)nge(?:ngrad)?)\b[\"']?\s{{0,2}}[=:]?\s{{0,2}}[\"']?({_DEC})",
    re.IGNORECASE,
)
_HEMISPHERE = re.compile(
    r"(?<![\w.])([0-9]{1,3}\.[0-9]{3,12})\s?(?:°|º|deg)?\s?([NSEWO])\b|\b([NSEWO])\s?([0-9]{1,3}\.[0-9]{3,12})(?![0-9])"
)
_DMS = re.compile(
    r"(?<![\w.])(?:[NSEWO]\s?)?[-+]?[0-9]{1,3}\s?(?:°|º|deg|d|\s)\s?[0-9]{1,2}(?:[.,][0-9]+)?\s?(?:['′’´m]|min)?\s?"
    r"(?:[0-9]{1,2}(?:[.,][0-9]+)?\s?(?:\"|″|”|''|s|sec)?\s?)?[NSEWO]?(?![\w])"
)
_DEGREE = re.compile(r"[°º]|\bdeg\b")
_NMEA = re.compile(r"(?<![0-9])[0-9]{4,5}\.[0-9]{2,8},[NS],[0-9]{5}\.[0-9]{2,8},[EW]")
_PLUS_CODE = re.compile(r"(?<![\w+])[23456789CFGHJMPQRVWX]{4,8}\+[23456789CFGHJMPQRVWX]{2,3}(?![\w+])", re.IGNORECASE)
_WKT = re.compile(
    r"\b(?:POINT|LINESTRING|POLYGON)\s?Z?\s?\(\(?\s?(-?[0-9]{1,3}\.[0-9]{3,}\s-?[0-9]{1,3}\.[0-9]{3,}[^()]{0,400})\)?\)",
    re.IGNORECASE,
)
_MGRS = re.compile(
    r"(?<![\w])[0-9]{1,2}[C-HJ-NP-X]\s?[A-HJ-NP-Z]{2}\s?[0-9]{4,5}\s?[0-9]{4,5}(?!\w)|(?<!\w)[0-9]{2}[C-HJ-NP-X] [0-9]{6}(?:\.[0-9]+)? [0-9]{7}(?:\.[0-9]+)?(?!\w)"
)
_GEO_WORDS = gate(
    "A-Za-z@?&°",
    r"(?i:\b(?:gps|gnss|geo|lat|lon|wgs ?84|coord\w*|position|location|located|standort|ubicaci\w+|posizione|maps?)\b|@|[?&](?:q|ll|center)=|°)",
)
_LOCAL_WORDS = gate(
    "A-Za-z",
    r"(?i:\b(?:x|y|z|theta|pose|goal|joint|vel\w*|offset|rpy|odom|map|frame|effort|ranges?|ratio|scale|loss|score|kp|ki|kd|pid|m/s|took|seconds?|waypoints?|trajectory)\b)",
    not_after="0-9A-Za-z_",
)
_LATITUDE, _LONGITUDE = 90, 180
_MIN_DECIMALS = 4


def coordinates(text: str) -> list[Finding]:
    """Find geographic coordinates as text, in any way of writing them."""
    return [f for look in COORDINATES.looks(plain_bytes(text)) for f in look(text)]


def _named(text: str) -> Iterator[Finding]:
    for m in _NAMED.finditer(text):
        yield Finding(m.start(2), m.end(2), "gps", "gps_named", 0.9)


def _pairs(text: str) -> Iterator[Finding]:
    for m in _PAIR.finditer(text):
        if _is_pair(text, m):
            yield Finding(m.start(), m.end(), "gps", "gps_pair", 0.85)


def _with_hemisphere(text: str) -> Iterator[Finding]:
    for m in _HEMISPHERE.finditer(text):
        yield Finding(m.start(), m.end(), "gps", "gps_hemisphere", 0.8)


def _in_parts(text: str) -> Iterator[Finding]:
    for m in _DMS.finditer(text) if _DEGREE.search(text) else ():
        if sum(ch.isdigit() for ch in m[0]) >= 4 and (
            m[0][-1] in "NSEWO" or m[0][0] in "NSEWO" or "'" in m[0] or "′" in m[0]
        ):
            yield Finding(m.start(), m.end(), "gps", "gps_dms", 0.85)


def _of_a_receiver(text: str) -> Iterator[Finding]:
    for m in _NMEA.finditer(text):
        yield Finding(m.start(), m.end(), "gps", "gps_nmea", 0.8)


def _plus_codes(text: str) -> Iterator[Finding]:
    for m in _PLUS_CODE.finditer(text):
        if any(c.isalpha() for c in m[0]) and any(c.isdigit() for c in m[0]):
            yield Finding(m.start(), m.end(), "gps", "gps_plus_code", 0.8)


def _in_a_grid(text: str) -> Iterator[Finding]:
    for m in _MGRS.finditer(text):
        yield Finding(m.start(), m.end(), "gps", "gps_grid", 0.8)


def _well_known_text(text: str) -> Iterator[Finding]:
    for m in _WKT.finditer(text):
        yield Finding(m.start(1), m.end(1), "gps", "gps_wkt", 0.85)


def _is_pair(text: str, m: re.Match[str]) -> bool:
    first, second = float(m[1]), float(m[3])
    if m[2] or m[4]:
        return True
    if not (abs(first) <= _LATITUDE and abs(second) <= _LONGITUDE) and not (
        abs(second) <= _LATITUDE and abs(first) <= _LONGITUDE
    ):
        return False
    decimals = min(len(m[1].partition(".")[2]), len(m[3].partition(".")[2]))
    before = text[max(0, m.start() - 32) : m.start()]
    if _GEO_WORDS.search(before):
        return True
    if decimals < _MIN_DECIMALS or _LOCAL_WORDS.search(before) or "," not in text[m.end(1) : m.start(3)]:
        return False
    after = text[m.end() : m.end() + 2].lstrip()
    return not after.startswith(",") and not before.rstrip().endswith((",", "[", "("))  # a longer list is no position


_NAMED_SIGN = (
    r"(?i)(?:lat(?:itude|itud|itudine)?|breite(?:ngrad)?|lon(?:g(?:itude|itud|itudine)?)?|lng|(?:\?|ae)nge(?:ngrad)?)[\"']?"
    rf"{SPACE}{{0,2}}[=:]?{SPACE}{{0,2}}[\"']?[-+]?[0-9]{{1,3}}[.,][0-9]{{3}}"
)
_DECIMAL, _DEGREES = r"[0-9]\.[0-9]{3,}", rf"{SPACE}?(?:\?|deg)?{SPACE}?"
COORDINATES = Sieve(
    (_NAMED_SIGN, _named),
    (rf"{_DECIMAL}{_DEGREES}[NS]?{SPACE}?[,;/|]?{SPACE}{{0,3}}[-+]?[0-9]{{1,3}}\.[0-9]{{3}}", _pairs),
    (
        rf"{_DECIMAL}{_DEGREES}[NSEWO]{NO_WORD_AFTER}|{NO_WORD_BEFORE}[NSEWO]{SPACE}?[0-9]{{1,3}}\.[0-9]{{3}}",
        _with_hemisphere,
    ),
    (rf"\?|{NO_WORD_BEFORE}deg", _in_parts),
    (sign_of(_NMEA.pattern), _of_a_receiver),
    ("(?i)[23456789CFGHJMPQRVWX]{4}[+][23456789CFGHJMPQRVWX]{2}", _plus_codes),
    (rf"[0-9][C-HJ-NP-X](?:{SPACE}?[A-HJ-NP-Z]{{2}}{SPACE}?[0-9]{{4,5}}{SPACE}?[0-9]{{4}}| [0-9]{{6}})", _in_a_grid),
    (rf"(?i)(?:POINT|STRING|POLYGON){SPACE}?Z?{SPACE}?\(", _well_known_text),
)
