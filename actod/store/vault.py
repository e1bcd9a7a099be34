"""Raw messages that could not be masked, sealed to the operator's public key: the robot can write them, not read them.

A file a message, in `vault/` of the state folder, 0600 in 0700. It is whole and synced before it has its name. The vault
has a cap; beyond it nothing is kept, and the ledger's count of the refusal is all that there is.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

import orjson
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from actod.durable import write_whole
from actod.errors import ConfigError, RejectedError
from actod.model import Delivery
from actod.proof.envelope import iso

FOLDER = "vault"
_SUFFIX = ".sealed"
_KEY_BYTES = 32
_BLOCK_BYTES, _NAME_BYTES = 4096, 128


class SealedVault:
    """Implements the Vault port. `operator_key` is base64 of 32 bytes (X25519); `max_bytes` counts blocks on disk."""

    def __init__(self, folder: Path, *, operator_key: str, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._box = SealedBox(PublicKey(read_operator_key(operator_key)))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._held = sum(_disk_bytes(file.stat().st_size) for file in folder.glob(f"*{_SUFFIX}"))

    def keep(self, delivery: Delivery) -> bool:
        """Seal one message; False if the vault is full or the disk refuses. Blocks for a sync."""
        content = {
            "topic": delivery.topic,
            "received": iso(delivery.received.wall_ns),
            "payload_b64": base64.b64encode(delivery.payload).decode("ascii"),
        }
        sealed = self._box.encrypt(orjson.dumps(content))
        if self._held + _disk_bytes(len(sealed)) > self._max_bytes:
            return False
        name = f"{delivery.received.wall_ns:020}-{os.urandom(4).hex()}"
        try:
            write_whole(self._folder / (name + _SUFFIX), sealed)
        except OSError:
            return False
        self._held += _disk_bytes(len(sealed))
        return True


def _disk_bytes(size: int) -> int:
    """Return what a file takes on disk: whole blocks, and its name in the folder."""
    return (size + _BLOCK_BYTES - 1) // _BLOCK_BYTES * _BLOCK_BYTES + _NAME_BYTES


def read_operator_key(text: str, *, key: str = "masking.operator_key") -> bytes:
    """Return the 32 bytes of a public key in base64; `key` is where it was given. Raises ConfigError."""
    try:
        public = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        public = b""
    if len(public) != _KEY_BYTES:
        raise ConfigError(
            key=key,
            expected="base64 of a 32-byte public key",
            found=f"{len(text)} characters",
            fix="make one where the private key is to stay: actod vault key FILE",
        )
    return public


def make_operator_key(file: Path) -> str:
    """Make a private key in `file`, 0600, which must not exist; return the public key in base64. Raises OSError."""
    private = PrivateKey.generate()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as out:
        out.write(base64.b64encode(bytes(private)).decode("ascii") + "\n")
    return base64.b64encode(bytes(private.public_key)).decode("ascii")


def read_private_key(text: str) -> bytes:
    """Return the 32 bytes of a private key in base64. Raises ConfigError, which does not hold it."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(key="--key", expected="a private key as `actod vault key` makes it", fix="name its file")
    return key


def unseal(sealed: bytes, *, private_key: bytes) -> bytes:
    """Return the JSON object that was sealed. Raises RejectedError("not_sealed_to_us")."""
    try:
        return SealedBox(PrivateKey(private_key)).decrypt(sealed)
    except CryptoError:
        pass
    raise RejectedError("not_sealed_to_us", "damaged, or sealed to another key")
