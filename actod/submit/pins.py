"""Pins: SHA-256 of a certificate's SubjectPublicKeyInfo (RFC 7469 form), held against the validated chain.

The check runs inside the handshake, after OpenSSL has validated chain and host name and before a byte of the request
can be written: a mismatch is an ssl.SSLError, so every TLS client gives up by itself. A check on the response would
come after the whole request. Any certificate of the chain may match: leaf, intermediate, or root.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from asn1crypto import pem, x509

from actod.errors import ConfigError

_PREFIX = "sha256/"
_DIGEST_BYTES = 32
_LEAST_PINS = 2  # one of them is the backup: with a single pin a lost key locks the fleet out
_ENCODING_DER = 2  # _ssl.ENCODING_DER
_FIX = "openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"


class PinMismatchError(ssl.SSLError):
    """The chain is valid, and no certificate of it carries a pinned key. `seen` are the pins of the chain, leaf first."""

    verdict = "pin_mismatch"

    def __init__(self, seen: Sequence[str]) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, "no certificate of the server's chain is pinned")
        self.seen = tuple(seen)


class PinsEndedError(PinMismatchError):
    """The signed pin set has ended, so that no server is pinned."""

    verdict = "pins_expired"


def parse_pins(pins: Iterable[str], *, key: str = "collector.pins") -> frozenset[str]:
    """Return the pins in canonical base64. Raises ConfigError for fewer than two different ones, or one that is none."""
    parsed = [_parse(pin, key) for pin in pins]
    if len(set(parsed)) < len(parsed) or len(parsed) < _LEAST_PINS:
        raise ConfigError(
            key=key,
            expected="at least two different pins, one of them a backup",
            found=f"{len(parsed)}, of which {len(set(parsed))} differ",
            fix="add the pin of a key that is kept offline: without it a lost key locks the fleet out",
        )
    return frozenset(parsed)


def _parse(pin: str, key: str) -> str:
    try:
        digest = base64.b64decode(pin.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if not pin.startswith(_PREFIX) or len(digest) != _DIGEST_BYTES:
        raise ConfigError(key=key, expected="sha256/<base64 of 32 bytes>", found=repr(pin[:64]), fix=_FIX)
    return _PREFIX + base64.b64encode(digest).decode("ascii")


def hold_to_pins(context: ssl.SSLContext, check: Callable[[Sequence[bytes]], None]) -> None:
    """Make every handshake of a client context end with `check` of the validated chain, which raises PinMismatchError.

    The context stays a plain ssl.SSLContext: anyio starts a thread for each connection of any other class.
    """

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            check(validated_chain(self))

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            check(validated_chain(self))

    context.sslobject_class = PinnedObject
    context.sslsocket_class = PinnedSocket


def check_chain(chain: Sequence[bytes], pins: frozenset[str]) -> None:
    """Raise PinMismatchError unless one of the DER certificates is pinned."""
    seen = [pin_of_der(certificate) for certificate in chain]
    if pins.isdisjoint(seen):
        raise PinMismatchError(seen)


def validated_chain(connection: Any) -> list[bytes]:
    """Return the chain that OpenSSL validated (leaf to root, DER) of an ssl.SSLObject or SSLSocket after its handshake.

    The call is public from Python 3.13 on; before, the same call lies one level deeper and gives certificate objects.
    """
    if hasattr(connection, "get_verified_chain"):
        return list(connection.get_verified_chain())
    chain = connection._sslobj.get_verified_chain() or ()  # noqa: SLF001 - there is no other way before 3.13
    return [certificate.public_bytes(_ENCODING_DER) for certificate in chain]


def fingerprint(certificate: bytes | str) -> str:
    """Return the pin of a certificate, PEM (its first one) or DER. Raises ValueError for anything else."""
    data = certificate.encode("ascii") if isinstance(certificate, str) else certificate
    if pem.detect(data):
        _, _, data = pem.unarmor(data)
    return pin_of_der(data)


def pin_of_der(certificate: bytes) -> str:
    """Return the pin of a DER certificate as it is: text within it that looks like PEM is not looked at."""
    spki = x509.Certificate.load(certificate)["tbs_certificate"]["subject_public_key_info"].dump()
    return _PREFIX + base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")
