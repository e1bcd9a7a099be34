"""ES256 checked against a thumbprint alone, without a library that can verify in software.

An envelope names the P-256 key by its RFC 7638 thumbprint and does not carry the key. From an ECDSA signature and the
message the key can be computed, up to four candidates (SEC 1 v2, section 4.1.6); each of them satisfies the verification
equation, so the signature is good exactly if one has the thumbprint. Only public values are handled: nothing here need be
constant in time, and nothing here signs. The tests hold it against pyca/cryptography.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator

from actod.proof import thumbprint

# FIPS 186-4, D.1.2.3
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_SIGNATURE_BYTES = 64

_Point = tuple[int, int, int]  # Jacobian: x = X / Z^2, y = Y / Z^3; Z = 0 is the point at infinity
_INFINITY: _Point = (1, 1, 0)


def verifies(message: bytes, signature: bytes, key_thumbprint: str) -> bool:
    """Whether `signature` (r||s, 64 bytes) is ES256 over `message` by the key with this RFC 7638 thumbprint."""
    return any(
        hmac.compare_digest(thumbprint.p256(point).encode(), key_thumbprint.encode())
        for point in candidates(message, signature)
    )


def candidates(message: bytes, signature: bytes) -> Iterator[bytes]:
    """Yield the uncompressed points (0x04 || x || y) under which `signature` verifies for `message`."""
    if len(signature) != _SIGNATURE_BYTES:
        return
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if not (0 < r < _N and 0 < s < _N):
        return
    e = int.from_bytes(hashlib.sha256(message).digest())
    inverse = pow(r, -1, _N)
    for x in (r, r + _N):
        if x >= _P:
            continue
        square = (x * x * x - 3 * x + _B) % _P
        y = pow(square, (_P + 1) // 4, _P)
        if y * y % _P != square:
            continue
        for sign in (y, _P - y):
            point = _affine(_sum_of_multiples(s * inverse % _N, (x, sign), -e * inverse % _N, _G))
            if point is not None:
                yield b"\x04" + point[0].to_bytes(32) + point[1].to_bytes(32)


def _sum_of_multiples(a: int, p: tuple[int, int], b: int, q: tuple[int, int]) -> _Point:
    """Return a*p + b*q, doubling once for both."""
    both = _affine(_add((*p, 1), q))
    result = _INFINITY
    for bit in range(255, -1, -1):
        result = _double(result)
        in_a, in_b = a >> bit & 1, b >> bit & 1
        if in_a and in_b:
            result = result if both is None else _add(result, both)
        elif in_a or in_b:
            result = _add(result, p if in_a else q)
    return result


def _double(point: _Point) -> _Point:
    x, y, z = point
    if not z or not y:
        return _INFINITY
    yy = y * y % _P
    s = 4 * x * yy % _P
    zz = z * z % _P
    m = 3 * (x - zz) * (x + zz) % _P  # a = -3
    xx = (m * m - 2 * s) % _P
    return xx, (m * (s - xx) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(point: _Point, affine: tuple[int, int]) -> _Point:
    x, y, z = point
    if not z:
        return (*affine, 1)
    zz = z * z % _P
    h = (affine[0] * zz - x) % _P
    r = (affine[1] * zz * z - y) % _P
    if not h:
        return _INFINITY if r else _double(point)
    hh = h * h % _P
    hhh = h * hh % _P
    v = x * hh % _P
    xx = (r * r - hhh - 2 * v) % _P
    return xx, (r * (v - xx) - y * hhh) % _P, z * h % _P


def _affine(point: _Point) -> tuple[int, int] | None:
    x, y, z = point
    if not z:
        return None
    inverse = pow(z, -1, _P)
    return x * inverse * inverse % _P, y * pow(inverse, 3, _P) % _P
