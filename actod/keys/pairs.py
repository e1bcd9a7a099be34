"""One generation of keys, and how it signs: on the token, or with the token's P-256 beside an Ed25519 key in memory.

Every signature is verified in software before it is handed on.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

from asn1crypto.core import OctetString
from nacl import bindings
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from actod.keys import memory
from actod.keys.healing import Call, RebuildError, TokenError, ask
from actod.model import EnrolledKey
from actod.proof import p256, thumbprint

ED25519_PARAMETERS = encode_named_curve_parameters("1.3.101.112")
P256_PARAMETERS = encode_named_curve_parameters("secp256r1")
SEED_BYTES = 32
ED25519_POINT_BYTES = 32
_P256_POINT_BYTES = 65
_PROBE = b"actod:probe:v1\n"


class Pair(ABC):
    """What signs for one generation. Every method may raise TokenError."""

    memory_locked = True  # nothing of the key is in this process, or it is locked there

    def __init__(self, private: Any, key: EnrolledKey) -> None:
        self._private, self.key, self._probed = private, key, False

    def sign_ed25519(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of a message."""
        signature = self._ed25519(message)
        try:
            VerifyKey(self.key.ed25519).verify(message, signature)
        except (BadSignatureError, ValueError) as exc:
            raise RebuildError("signature_wrong", "an Ed25519 signature does not verify") from exc
        return signature

    def sign_p256(self, message: bytes) -> bytes | None:
        """Return ES256 (r||s, 64 bytes) by the token over SHA-256 of a message, or None where the pair has no P-256."""
        if self.key.p256_thumbprint is None:
            return None
        digest = hashlib.sha256(message).digest()
        signature = ask(Call.SIGN, lambda: bytes(self._private.sign(digest, mechanism=Mechanism.ECDSA)))
        if not p256.verifies(message, signature, self.key.p256_thumbprint):
            raise RebuildError("signature_wrong", "a P-256 signature does not verify")
        return signature

    def probe(self) -> None:
        """Prove with two signatures, once, that the pair works and that its public keys belong to it."""
        if self._probed:
            return
        for attempt in (b"1", b"2"):
            try:
                self.sign_ed25519(_PROBE + attempt)
                self.sign_p256(_PROBE + attempt)
            except RebuildError as exc:
                if exc.reason == "signature_wrong":
                    raise TokenError("probe_failed", "the token's probe signature does not verify") from exc
                raise
        self._probed = True

    def forget(self) -> None:
        """Overwrite what can be overwritten of the key in this process. The pair must not be used any more."""
        self._probed = False

    @abstractmethod
    def _ed25519(self, message: bytes) -> bytes: ...


class OnTokenPair(Pair):
    """An Ed25519 key that lives on the token."""

    @classmethod
    def read(cls, private: Any, public: Any, *, kind: str, label: str, generation: int) -> OnTokenPair:
        """Read the public part. Raises TokenError("key_kind") for another kind of key, or what the library raises."""
        if private[Attribute.KEY_TYPE] != KeyType.EC_EDWARDS:
            raise TokenError("key_kind", "the key is no Ed25519 key")
        point = point_of(public, ED25519_POINT_BYTES)
        return cls(private, EnrolledKey(label, generation, point, thumbprint.ed25519(point), None, None, kind))

    def _ed25519(self, message: bytes) -> bytes:
        return ask(Call.SIGN, lambda: bytes(self._private.sign(message, mechanism=Mechanism.EDDSA)))


class SealedPair(Pair):
    """A P-256 key on the token, and an Ed25519 key whose seed the token keeps and this process uses."""

    def __init__(self, private: Any, key: EnrolledKey, secret: bytes) -> None:
        super().__init__(private, key)
        self._secret = secret  # 64 bytes: seed and public key, as libsodium wants it
        self.memory_locked = memory.lock(secret)

    @classmethod
    def read(cls, private: Any, public: Any, seed: Any, *, kind: str, label: str, generation: int) -> SealedPair:
        """Read public part and seed. Raises TokenError("key_kind", "key_open"), or what the library raises."""
        if private[Attribute.KEY_TYPE] != KeyType.EC or public[Attribute.EC_PARAMS] != P256_PARAMETERS:
            raise TokenError("key_kind", "the key is no P-256 key")
        if not seed[Attribute.PRIVATE]:
            raise TokenError("key_open", "the seed can be read without the PIN")
        point = point_of(public, _P256_POINT_BYTES)
        secret = bytes(seed[Attribute.VALUE])
        if len(secret) != SEED_BYTES:
            raise TokenError("key_kind", "the seed is not 32 bytes long")
        ed25519, both = bindings.crypto_sign_seed_keypair(secret)
        memory.wipe(secret)
        prints = thumbprint.ed25519(ed25519), thumbprint.p256(point)
        return cls(private, EnrolledKey(label, generation, ed25519, prints[0], point, prints[1], kind), both)

    def forget(self) -> None:
        """Overwrite the key."""
        super().forget()
        memory.wipe(self._secret)
        memory.unlock(self._secret)  # all of a token's pairs are forgotten together

    def _ed25519(self, message: bytes) -> bytes:
        return bytes(bindings.crypto_sign(message, self._secret)[: bindings.crypto_sign_BYTES])


def point_of(public: Any, length: int) -> bytes:
    """Return CKA_EC_POINT, which some tokens wrap into an OCTET STRING. Raises TokenError("key_kind") for another length."""
    raw = bytes(public[Attribute.EC_POINT])
    try:
        point = raw if len(raw) == length else bytes(OctetString.load(raw).native)
    except ValueError:
        point = b""
    if len(point) != length:
        raise TokenError("key_kind", "the public key is no point of its curve")
    return point
