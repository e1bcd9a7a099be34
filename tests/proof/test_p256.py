"""ES256 by thumbprint alone, held against pyca/cryptography and RFC 6979."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from actod.proof import p256, thumbprint

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KEY = ec.derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, ec.SECP256R1())
THUMBPRINT = thumbprint.p256(KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
# RFC 6979, A.2.5: P-256 with SHA-256, message "sample"
SAMPLE = bytes.fromhex(
    "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
)


def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def test_the_vector_of_rfc_6979_verifies() -> None:
    assert p256.verifies(b"sample", SAMPLE, THUMBPRINT)
    assert not p256.verifies(b"test", SAMPLE, THUMBPRINT)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, N - 1), st.binary(max_size=40), st.integers(0, 511))
def test_a_true_signature_verifies_and_one_with_a_flipped_bit_does_not(secret: int, message: bytes, bit: int) -> None:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    named = thumbprint.p256(key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    signature = sign(key, message)
    assert p256.verifies(message, signature, named)
    assert not p256.verifies(message + b"x", signature, named)
    flipped = (int.from_bytes(signature) ^ 1 << bit).to_bytes(64)
    assert not p256.verifies(message, flipped, named)
    assert named == THUMBPRINT or not p256.verifies(message, signature, THUMBPRINT)


def test_candidates_are_keys_under_which_another_library_verifies_the_signature_too() -> None:
    r, s = int.from_bytes(SAMPLE[:32]), int.from_bytes(SAMPLE[32:])
    points = list(p256.candidates(b"sample", SAMPLE))
    assert len(points) == 2
    for point in points:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415

        public.verify(encode_dss_signature(r, s), b"sample", ec.ECDSA(hashes.SHA256()))


def test_a_number_that_is_no_x_of_the_curve_gives_no_key_that_a_forger_could_name() -> None:
    counts = []
    for r in range(1, 30):
        points = list(p256.candidates(b"sample", r.to_bytes(32) + SAMPLE[32:]))
        counts.append(len(points))
        for point in points:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)  # raises off the curve
    assert set(counts) >= {0, 2}


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        bytes(63),
        SAMPLE + b"\0",
        bytes(32) + SAMPLE[32:],
        SAMPLE[:32] + bytes(32),
        N.to_bytes(32) + SAMPLE[32:],
        SAMPLE[:32] + N.to_bytes(32),
        b"\xff" * 64,
    ],
)
def test_values_out_of_range_are_no_signature(signature: bytes) -> None:
    assert not p256.verifies(b"sample", signature, THUMBPRINT)
    assert list(p256.candidates(b"sample", signature)) == []
