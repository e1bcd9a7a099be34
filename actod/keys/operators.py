"""Operators' Ed25519 keys as PEM files, as `openssl genpkey -algorithm ED25519` writes them. They live off the robot."""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from nacl.signing import SigningKey

from actod.errors import ConfigError
from actod.proof.thumbprint import base64url
from actod.secretfile import read_private

_KEY_BYTES = 32
# RFC 8410: SubjectPublicKeyInfo and PKCS #8 of an Ed25519 key, up to its 32 bytes
_PUBLIC = bytes.fromhex("302a300506032b6570032100")
_PRIVATE = bytes.fromhex("302e020100300506032b657004220420")
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----")
_SIGNATURE_BYTES = 64


def read_public(file: Path) -> str:
    """Return the raw public key of a PEM file in base64url. Raises ConfigError, OSError."""
    key = _key(file.read_bytes(), b"PUBLIC KEY", _PUBLIC)
    if key is None:
        raise ConfigError(
            key="--operator",
            expected="an Ed25519 public key in PEM",
            found=str(file),
            fix="openssl pkey -in KEY.pem -pubout -out PUBLIC.pem",
        )
    return base64url(key)


def read_signer(file: Path) -> SigningKey:
    """Return the private key of a PEM file that only we can read. Raises ConfigError."""
    key = _key(read_private(file, "--key"), b"PRIVATE KEY", _PRIVATE)
    if key is None:
        raise ConfigError(
            key="--key",
            expected="an unencrypted Ed25519 private key in PEM",
            found=str(file),
            fix="openssl genpkey -algorithm ed25519 -out KEY.pem && chmod 600 KEY.pem",
        )
    return SigningKey(key)


def read_signature(file: Path) -> str:
    """Return a signature in base64url, from a file with its 64 bytes (OpenSSL) or with text in base64."""
    data = file.read_bytes()
    try:
        raw = data if len(data) == _SIGNATURE_BYTES else base64.b64decode(data.strip().translate(_STANDARD) + b"==")
    except binascii.Error:
        raw = b""
    if len(raw) != _SIGNATURE_BYTES:
        raise ConfigError(
            key="--signature", expected="an Ed25519 signature", found=str(file), fix="sign with: actod keys sign-statement"
        )
    return base64url(raw)


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _key(data: bytes, label: bytes, prefix: bytes) -> bytes | None:
    """Return the 32 bytes of a key; None for what is no such key."""
    found = _PEM.search(data)
    if found is None or found[1] != label:
        return None
    try:
        der = base64.b64decode(b"".join(found[2].split()), validate=True)
    except binascii.Error:
        return None
    return der[len(prefix) :] if der.startswith(prefix) and len(der) == len(prefix) + _KEY_BYTES else None
