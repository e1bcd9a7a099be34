"""Pins: SHA-256 of the SubjectPublicKeyInfo, checked inside the handshake, on top of chain and host name.

A mismatch fails the handshake, so not one byte of the request leaves; a check on the response would come after all of
it. Any certificate of the validated chain may match: leaf, intermediate, or a private CA.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asn1crypto import pem, x509

from actod.config import CollectorConfig
from actod.errors import ConfigError

_PREFIX = "sha256/"
_DIGEST_BYTES = 32
_LEAST_PINS = 2


class PinMismatchError(ssl.SSLError):
    """The chain is valid, and no certificate of it carries a pinned key."""


class PinnedContext(ssl.SSLContext):
    """A client context that holds every validated chain against `pins` (raw SHA-256 digests)."""

    pins: frozenset[bytes] = frozenset()


class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _check(self)


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _check(self)


def parse_pins(pins: Sequence[str]) -> frozenset[bytes]:
    """Return the digests. Raises ConfigError for fewer than two, or one that is none."""
    digests = set()
    for pin in pins:
        try:
            digest = base64.b64decode(pin.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if not pin.startswith(_PREFIX) or len(digest) != _DIGEST_BYTES:
            raise ConfigError(
                key="collector.pins",
                expected="sha256/<base64 of 32 bytes>",
                found=repr(pin[:64]),
                fix="openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der "
                "| openssl dgst -sha256 -binary | base64",
            )
        digests.add(digest)
    if len(digests) < _LEAST_PINS:
        raise ConfigError(
            key="collector.pins",
            expected="at least two different pins, one of them a backup",
            found=str(len(digests)),
            fix="add the pin of a key that is kept offline: without it a lost key locks the fleet out",
        )
    return frozenset(digests)


def pinned_context(collector: CollectorConfig) -> PinnedContext:
    """Return the context for the collector: TLS 1.2 or newer, chain and name validated, pins held. Raises ConfigError."""
    context = PinnedContext(ssl.PROTOCOL_TLS_CLIENT)  # validates chain and host name by itself
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = _PinnedObject
    context.sslsocket_class = _PinnedSocket
    context.pins = parse_pins(collector.pins)
    try:
        if collector.ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(collector.ca_file)
        if collector.certificate_file is not None:
            context.load_cert_chain(collector.certificate_file, collector.private_key_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            key="collector.ca_file",
            expected="PEM files that can be read",
            fix="check collector.ca_file, certificate_file and private_key_file",
        ) from exc
    return context


def fingerprint(certificate: bytes) -> str:
    """Return the pin of a certificate (PEM or DER)."""
    if pem.detect(certificate):
        _, _, certificate = pem.unarmor(certificate)
    return _PREFIX + base64.b64encode(_spki_digest(certificate)).decode("ascii")


def fingerprint_of(file: Path) -> str:
    """Return the pin of a certificate file."""
    return fingerprint(file.read_bytes())


def _check(connection: Any) -> None:
    pins = connection.context.pins
    for certificate in _verified_chain(connection):
        digest = _spki_digest(certificate)
        if any(hmac.compare_digest(digest, pin) for pin in pins):
            return
    raise PinMismatchError("no certificate of the chain is pinned")


def _verified_chain(connection: Any) -> list[bytes]:
    """Return the validated chain in DER. Public from Python 3.13 on; before, the same call lies one level deeper."""
    if hasattr(connection, "get_verified_chain"):
        return list(connection.get_verified_chain())
    inner = connection._sslobj  # noqa: SLF001 - there is no other way before 3.13
    chain = inner.get_verified_chain() or []
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes(1)) for certificate in chain]  # 1: PEM


def _spki_digest(certificate: bytes) -> bytes:
    spki = x509.Certificate.load(certificate)["tbs_certificate"]["subject_public_key_info"].dump()
    return hashlib.sha256(spki).digest()
