"""RFC 7638 thumbprints of public keys: SHA-256 over the required members of the JWK, base64url without padding."""

from __future__ import annotations

import base64
import hashlib

import orjson


def ed25519(public_key: bytes) -> str:
    """Thumbprint of a raw 32-byte Ed25519 public key (RFC 8037, kty OKP)."""
    return _thumbprint({"crv": "Ed25519", "kty": "OKP", "x": base64url(public_key)})


def p256(point: bytes) -> str:
    """Thumbprint of an uncompressed 65-byte P-256 point (0x04 || x || y)."""
    return _thumbprint({"crv": "P-256", "kty": "EC", "x": base64url(point[1:33]), "y": base64url(point[33:65])})


def base64url(data: bytes) -> str:
    """Encode as RFC 7515 does: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _thumbprint(members: dict[str, str]) -> str:
    return base64url(hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).digest())
