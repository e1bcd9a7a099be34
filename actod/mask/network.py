"""Addresses of machines: MAC (Ethernet, Wi-Fi, Bluetooth), IPv4, IPv6. They name a device, and so its bearer."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from actod.mask.finding import Finding
from actod.mask.gate import gate

_MAC = re.compile(
    r"[0-9A-Fa-f](?<![A-Za-z0-9:-].)[0-9A-Fa-f](?:([:_-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?!\1[0-9A-Fa-f])"
    r"|(?<![0-9A-Fa-f]\...)[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![A-Za-z0-9-]|[:.][0-9A-Fa-f])"
)
# Eight bytes are a checksum, a counter, a tag as often as an address: a word must say what they are.
_EUI64 = re.compile(
    r"(?<![A-Za-z0-9:-])[0-9A-Fa-f]{2}([:_-])(?:[0-9A-Fa-f]{2}\1){6}[0-9A-Fa-f]{2}(?![A-Za-z0-9-]|[:.][0-9A-Fa-f])"
)
_EUI64_SIGNS = 6
_EXTENDED = re.compile(r"(?:..[:_-]){3}ff[:_-]fe", re.IGNORECASE)  # an EUI-64 made of an EUI-48
_EUI64_WORD = re.compile(r"eui|ieee|zigbee|802\.15\.4|lora|ext(?:ended)?[ _]?addr|\bmac\b|\bwpan\b", re.IGNORECASE)
_HOST_NAME = re.compile(r"(?<![\w-])ip((?:-[0-9]{1,3}){4})(?![\w-])", re.IGNORECASE)
_WIFI_CODE = re.compile(
    r"\bWIFI:(?=[^\n]{0,256}?\b[PT]:)(?:[A-Z0-9]{1,4}:(?:\\.|[^\\;\n]){0,128};)*?P:((?:\\.|[^\\;\n]){1,128})"
)
_MAC_SPACES = re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}(?:[ _][0-9A-Fa-f]{2}){5}(?![\w:-]| [0-9A-Fa-f]{2}\b)")
_MAC_BARE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
_IPV4 = re.compile(
    r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?\w)(?!\.[0-9])(?!-(?:rc|alpha|beta|dev|pre|post|snapshot|build|final|release|nightly|dirty|hotfix|patch|b|r|g)[0-9.]*(?![a-z]))",
    re.IGNORECASE,
)
_IPV4_PORT = re.compile(r"(?:/[0-9]{1,2}|:[0-9]{2,5})\b")
_IPV6 = re.compile(
    r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3})?(?:%\w{1,16})?(?![\w:])"
)
IPV4_SIGN = r"(?:^|[^\w.])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
IPV6_SIGN = r"(?:^|[^\w:.])(?:[0-9A-Fa-f:]*::|(?:[0-9A-Fa-f]{1,4}:){7})"
MAC_SIGN = (
    "(?:^|[^0-9A-Za-z:-])[0-9A-Fa-f]{2}(?:[:_-](?:[0-9A-Fa-f]{2}[:_-]){4}[0-9A-Fa-f]{2}"
    r"|[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})"
)
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:version|ver|firmware|fw|sw|hw|software|release|rev|revision|build|kernel|driver|bootloader|v|update|upgrade|patch|image|"
    r"schema|protocol|package|pkg|lib|library|api|from|to|section|chapter|bios|versao|versione|wersja|versie|logiciel|micrologiciel)"
    r"|\b[\w-]{1,40}(?:version|firmware|release)|=v|@v?|[a-z]-)[\s:=]*v?\Z",
    re.IGNORECASE,
)
_ENDS_OF_A_VERSION = tuple(  # what _VERSION_BEFORE may end with, but for separators and a last v
    "version ver firmware fw sw hw software release rev revision build kernel driver bootloader v update upgrade patch image schema protocol "
    "package pkg lib library api from to section chapter bios versao versione wersja versie logiciel micrologiciel =v @ @v -".split()
)
_SEPARATORS = ":= \t\n\r\f\v\x1c\x1d\x1e\x1f"
_VERSION_WORDS = gate(
    "A-Za-z",
    r"(?i:\b(?:version|firmware|fw|sw|software|release|build|bootloader|upgrade|upgraded|updated?|downgrade|flashed|patch|rollback|package)\b)",
    not_after="0-9A-Za-z_",
)
_HOST_WORDS = gate(
    "A-Za-z",
    r"(?i:\b(?:ip|host|address|addr|gateway|server|client|peer|ping|ssh|dhcp|lease|connect\w*|connection|dns|tcp|udp|http|broker|subnet|"
    r"route|remote|reach\w*|arp|vpn|proxy|listen\w*|bind|bound|socket|login|network|adresse|serveur|rede|rete|sieci|request)\b)",
    not_after="0-9A-Za-z_",
)
_PRIVATE = ("10.", "192.168.", "172.", "169.254.", "100.")
_SMALLEST_PUBLIC = 10  # the first number of most firmware versions is below
_LIKELY_OCTET = 100
_LARGEST_OCTET = 255
_PADDED = re.compile(r"[0-9]{3}(?:\.[0-9]{3}){3}\Z")


_TIME_OF_DAY = r"[-_](?:[01][0-9]|2[0-3])[-_][0-5][0-9][-_][0-5][0-9]\Z"
_STAMP = re.compile(
    rf"(?:[0-9]{{2}}[-_](?:0[1-9]|1[0-2])[-_](?:0[1-9]|[12][0-9]|3[01])|(?:0[1-9]|[12][0-9]|3[01])[-_](?:0[1-9]|1[0-2])[-_][0-9]{{2}})"
    rf"{_TIME_OF_DAY}"
)


def macs(text: str) -> Iterator[Finding]:
    """Find EUI-48 and EUI-64 with colons, hyphens, or dots."""
    told: bool | None = None
    for m in _EUI64.finditer(text) if max(map(text.count, ":-_")) > _EUI64_SIGNS else ():
        if told is None:
            told = _EUI64_WORD.search(text) is not None
        if told or _EXTENDED.match(m[0]):
            yield Finding(m.start(), m.end(), "mac", "mac_eui64", 0.9)
    for m in _MAC.finditer(text):
        if m[1] in ("-", "_") and _STAMP.match(m[0]):
            continue  # a date and time, year or day first
        if not m[1] and m[0].replace(".", "").isdigit() and _dots_outside_mail(text) > 2:
            continue  # a number in groups, in a sentence
        yield Finding(m.start(), m.end(), "mac", "mac", 0.95)


def _dots_outside_mail(text: str) -> int:
    return sum(word.count(".") for word in text.split() if "@" not in word)


def spaced_macs(text: str, *, any_form: bool = True) -> Iterator[Finding]:
    """Find EUI-48 with spaces; weak, for telling keys and words."""
    for pattern in (_MAC_SPACES, _MAC_BARE) if any_form else (_MAC_SPACES,):
        for m in pattern.finditer(text):
            if any(map(str.isalpha, m[0])):
                yield Finding(m.start(), m.end(), "mac", "mac_loose", 0.6)


def host_names(text: str) -> Iterator[Finding]:
    """Find the names that clouds make of addresses: ip-10-0-3-17."""
    for m in _HOST_NAME.finditer(text):
        if all(int(part) <= _LARGEST_OCTET for part in m[1][1:].split("-")):
            yield Finding(m.start(), m.end(), "ipv4", "ipv4_host_name", 0.9)


def wifi_codes(text: str) -> Iterator[Finding]:
    """Find the password in what a QR code for Wi-Fi holds: WIFI:T:WPA;S:...;P:... and so on."""
    for m in _WIFI_CODE.finditer(text):
        yield Finding(m.start(1), m.end(1), "wifi_key", "wifi_code", 0.97)


def ipv4s(text: str, *, version_key: bool = False, telling: bool = False) -> Iterator[Finding]:
    """Find IPv4 addresses, and tell them from firmware versions by first number, port, and the words around."""
    for m in _IPV4.finditer(text):
        octets = list(map(int, m[0].split(".")))
        if max(octets) > 255 or (
            not telling
            and not m[0].startswith("192.168.")
            and not _PADDED.match(m[0])
            and any(part != "0" and part[0] == "0" for part in m[0].split("."))
        ):
            continue
        if telling or (not version_key and _is_address(text, m, octets)):
            yield Finding(m.start(), m.end(), "ipv4", "ipv4", 0.9)


def _is_address(text: str, m: re.Match[str], octets: list[int]) -> bool:
    if m[0] in ("0.0.0.0", "127.0.0.1", "255.255.255.255"):  # noqa: S104 - says nothing about anybody
        return False
    before = text[max(0, m.start() - 48) : m.start()]
    if _IPV4_PORT.match(text, m.end()) or text[max(0, m.start() - 3) : m.start()] == "://":
        return True
    if _last(_HOST_WORDS, before) > _last(_VERSION_WORDS, before) and (_clause(before) or not _VERSION_WORDS.search(before)):
        return True
    if _is_version(before) and not m[0].startswith(_PRIVATE[:2]):
        return (
            bool(re.search(r"\b(?:from|to)\s*\Z", before))
            and max(octets) >= _LIKELY_OCTET
            and not _VERSION_WORDS.search(before)
        )
    if _VERSION_WORDS.search(before):
        return False
    return m[0].startswith(_PRIVATE) or octets[0] >= _SMALLEST_PUBLIC or max(octets) >= _LIKELY_OCTET


def _is_version(before: str) -> bool:
    """Whether the words before call what follows a version. The pattern is dear: it is asked where the last letters allow it."""
    lower = before.lower()
    return (
        lower.rstrip(_SEPARATORS).endswith(_ENDS_OF_A_VERSION)
        or (lower.endswith("v") and lower[:-1].rstrip(_SEPARATORS).endswith(_ENDS_OF_A_VERSION))
    ) and _VERSION_BEFORE.search(before) is not None


def _last(pattern: re.Pattern[str], text: str) -> int:
    return max((m.start() for m in pattern.finditer(text)), default=-1)


def _clause(before: str) -> bool:
    """Whether a new clause begins between the two kinds of words."""
    return any(ch in before for ch in "|;\n")


def ipv6s(text: str) -> Iterator[Finding]:
    """Find IPv6 addresses; clock times and C++ scopes do not parse as one."""
    for m in _IPV6.finditer(text):
        plain = m[0].partition("%")[0]
        if _EUI64.fullmatch(plain):  # EUI-64 reads as an address of eight groups, too
            continue
        if plain.count(":") < 7 and "::" not in plain:
            continue
        if len(plain) < 6 and not text[max(0, m.start() - 1) : m.start()] == "[":  # noqa: SIM201 - "::1" is nobody
            continue
        try:
            ipaddress.IPv6Address(plain)
        except ValueError:
            continue
        yield Finding(m.start(), m.end(), "ipv6", "ipv6", 0.97)
