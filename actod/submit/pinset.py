r"""Pin sets that a fleet's operators sign: the document, its signatures, and when one may follow another. Pure.

    {"signed": {"type": "actod-pin-set", "host": NAME, "version": N, "expires": "YYYY-MM-DD", "pins": [PIN, PIN, ...]},
     "signatures": [{"key": KEY, "signature": BASE64}, ...]}

A signature is Ed25519 over b"actod:pins:v1\n" + canonical(signed). A key is written as the base64 of its
SubjectPublicKeyInfo: the middle line of what `openssl pkey -pubout` prints.

Rules, in this order (after TUF's): k different keys of the n that are configured have signed; the set is for this server; it
is newer than any set taken before (or the very same); it has not ended; it holds at least two pins. A clock that nobody
set ends nothing: an old set is then held off by its version alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from actod.errors import ConfigError, RejectedError
from actod.proof.canonical import canonical
from actod.submit.pins import parse_pins

LARGEST_BYTES = 64 * 1024
_TYPE = "actod-pin-set"
_PURPOSE = b"actod:pins:v1\n"
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: SubjectPublicKeyInfo of an Ed25519 key
_MEMBERS = {"type", "host", "version", "expires", "pins"}
_LARGEST_VERSION = 2**53


@dataclass(frozen=True, slots=True)
class PinSet:
    """A set whose signatures hold. `digest` is the SHA-256 of what was signed; it ends at 00:00 UTC of its day."""

    host: str
    version: int
    expires: datetime
    pins: frozenset[str]
    digest: str

    def ended(self, now: datetime | None) -> bool:
        """Whether its day has come. `now` is None while the clock cannot be trusted: then nothing ends."""
        return now is not None and now >= self.expires


@dataclass(frozen=True, slots=True)
class Operators:
    """Who may change the pins: `threshold` of these keys (32 bytes each) must sign."""

    keys: frozenset[bytes]
    threshold: int

    @classmethod
    def parse(cls, keys: Sequence[str], threshold: int) -> Operators:
        """Read them from the configuration. Raises ConfigError for what is no key, stands twice, or can never suffice."""
        parsed = [_key(text) for text in keys]
        if None in parsed or len(set(parsed)) < len(parsed):
            raise ConfigError(
                key="collector.pin_set.keys",
                expected="different Ed25519 public keys, each the base64 of its SubjectPublicKeyInfo",
                fix="take the middle line of what `openssl pkey -in KEY.pem -pubout` prints",
            )
        if not 1 <= threshold <= len(parsed):
            raise ConfigError(
                key="collector.pin_set.threshold",
                expected=f"1 to {len(parsed)}, the number of keys",
                found=str(threshold),
                fix="name more keys in collector.pin_set.keys, or ask for fewer signatures",
            )
        return cls(frozenset(key for key in parsed if key is not None), threshold)


@dataclass(frozen=True, slots=True)
class Reached:
    """The newest set that was ever taken: what another is held against. Version 0 is none."""

    version: int = 0
    digest: str = ""


def verify(document: bytes, *, operators: Operators, host: str, now: datetime | None, before: Reached) -> PinSet:
    """Return the set that a document holds, if it may follow `before`. Raises RejectedError with the reason."""
    pin_set = authenticate(document, operators=operators)
    if pin_set.host != host:
        raise RejectedError("pins_wrong_host", f"this set is for {pin_set.host[:80]!r}")
    if pin_set.version < before.version:
        raise RejectedError("pins_rollback", f"version {pin_set.version} came after {before.version}")
    if pin_set.version == before.version and pin_set.digest != before.digest:
        raise RejectedError("pins_version_reused", f"there are two sets of version {pin_set.version}")
    if pin_set.ended(now):
        raise RejectedError("pins_expired", f"it ended on {pin_set.expires:%Y-%m-%d}")
    return pin_set


def authenticate(document: bytes, *, operators: Operators) -> PinSet:
    """Return the set that enough operators have signed, whatever its age. Raises RejectedError with the reason."""
    signed, signatures = read(document)
    message = _PURPOSE + canonical(signed)
    signers = {key for key, signature in signatures if key in operators.keys and _holds(key, signature, message)}
    if len(signers) < operators.threshold:
        raise RejectedError("pins_too_few_signatures", f"{len(signers)} of {operators.threshold} that are needed")
    if signed.get("type") != _TYPE or signed.keys() != _MEMBERS:
        raise RejectedError("pins_wrong_type", f"what was signed is not a set of type {_TYPE}")
    return _checked(signed)


def read(document: bytes) -> tuple[dict[str, Any], list[tuple[bytes, bytes]]]:
    """Return what a document says is signed, and its (key, signature) pairs, unverified. Raises RejectedError."""
    try:
        if len(document) > LARGEST_BYTES:
            raise RejectedError("pins_malformed", "longer than 64 KiB")
        parsed = orjson.loads(document)
        signed, listed = parsed["signed"], parsed.get("signatures", [])
        if not isinstance(signed, dict):
            raise RejectedError("pins_malformed", "`signed` is not an object")
        pairs = [(_key(each["key"]) or b"", base64.b64decode(each["signature"], validate=True)) for each in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError) as exc:
        raise RejectedError("pins_malformed", "no JSON object with `signed` and `signatures`") from exc
    return signed, pairs


def sign(document: bytes, key: SigningKey) -> bytes:
    """Return the document with this key's signature, in place of one that it had. Raises RejectedError."""
    signed, pairs = read(document)
    if signed.get("type") != _TYPE or signed.keys() != _MEMBERS:
        raise RejectedError("pins_wrong_type", f'`signed` must hold {", ".join(sorted(_MEMBERS))}; type is "{_TYPE}"')
    _checked(signed)
    public = bytes(key.verify_key)
    signature = key.sign(_PURPOSE + canonical(signed)).signature
    listed = [pair for pair in pairs if pair[0] != public] + [(public, signature)]
    shown = [{"key": key_text(each), "signature": base64.b64encode(mark).decode("ascii")} for each, mark in listed]
    return orjson.dumps({"signed": signed, "signatures": shown}, option=orjson.OPT_INDENT_2) + b"\n"


def key_text(public_key: bytes) -> str:
    """Return how a key (32 bytes) is written."""
    return base64.b64encode(_SPKI_HEAD + public_key).decode("ascii")


def parse_day(text: str) -> datetime | None:
    """Return 00:00 UTC of a day written as YYYY-MM-DD, None for anything else."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None
    return day if day.strftime("%Y-%m-%d") == text else None


def _checked(signed: Mapping[str, Any]) -> PinSet:
    """Make the set of what was signed. Raises RejectedError for values that make no sense."""
    host, version, expires = signed["host"], signed["version"], parse_day(signed["expires"])
    if not isinstance(host, str) or type(version) is not int or not 1 <= version <= _LARGEST_VERSION or expires is None:
        raise RejectedError("pins_malformed", "host is text, version a whole number from 1 on, expires YYYY-MM-DD")
    try:
        pins = parse_pins(signed["pins"], key="pins")
    except (ConfigError, TypeError, AttributeError) as exc:
        raise RejectedError("pins_too_few", "at least two different pins sha256/<base64>, one of them a backup") from exc
    return PinSet(host, version, expires, pins, hashlib.sha256(canonical(dict(signed))).hexdigest())


def _key(text: Any) -> bytes | None:
    """Return the 32 bytes of a key, None if it is none."""
    try:
        der = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None
    whole = len(der) == len(_SPKI_HEAD) + 32 and der.startswith(_SPKI_HEAD)
    return der[len(_SPKI_HEAD) :] if whole and base64.b64encode(der).decode("ascii") == text else None


def _holds(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True
