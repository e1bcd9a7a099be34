"""The token itself: one thread owns the PKCS#11 library, and no other may touch it (two crash SoftHSM).

What to do about a CKR_* error, whichever call gave it:

| error | verdict | what the signer does |
|---|---|---|
| CKR_PIN_INCORRECT, _INVALID, _LEN_RANGE, _EXPIRED | pin_incorrect | waits for another PIN file, never retries |
| CKR_PIN_LOCKED | pin_locked | waits for another PIN file, never retries |
| CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED, no such token | token_absent | rebuilds all, with back-off |
| CKR_SESSION_*, CKR_USER_NOT_LOGGED_IN, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID | token_away | rebuilds all |
| CKR_GENERAL_ERROR, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED, CKR_HOST_MEMORY, any other | token_away | rebuilds all |
| not exactly one key, or one that may leave the token | key_count, key_open, key_kind | rebuilds: an operator mends it |
| a call that does not come back | (none) | its parent kills the signer and starts it again |

To rebuild is to forget session and key, reinitialise the library, and find, log in and probe anew: after a restart of a
TPM's resource manager nothing less helps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pkcs11
from asn1crypto.core import OctetString
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    AttributeTypeInvalid,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    TokenNotPresent,
)
from pkcs11.util.ec import encode_named_curve_parameters

from actod.errors import TransientError
from actod.keys.uri import TokenUri
from actod.model import PublicKeys
from actod.proof import thumbprint

ED25519_PARAMETERS = encode_named_curve_parameters("1.3.101.112")
_PROBE = b"actod:probe:v1\n"
_RAW_POINT_BYTES = 32


class PinError(TransientError):
    """The PIN was refused: it must not be tried again."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate what python-pkcs11 raises into verdicts; see the table above. No message of the library is kept."""
    try:
        yield
    except PinLocked as exc:
        raise PinError("pin_locked") from exc
    except (PinIncorrect, PinInvalid, PinLenRange, PinExpired) as exc:
        raise PinError("pin_incorrect") from exc
    except TokenNotPresent as exc:
        raise TransientError("token_absent") from exc
    except (PKCS11Error, RuntimeError, OSError) as exc:  # RuntimeError: the module cannot be loaded
        raise TransientError("token_away", type(exc).__name__) from exc


class Token:
    """An open, logged-in token with its signing key. Use `open_token`; every method may raise TransientError."""

    def __init__(self, session: Any, key: Any, public_key: bytes, kind: str) -> None:
        self._session, self._key = session, key
        self.keys = PublicKeys(
            ed25519=public_key,
            ed25519_thumbprint=thumbprint.ed25519(public_key),
            p256_thumbprint=None,
            kind=kind,
        )

    def sign_ed25519(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature of a message."""
        with translated():
            return bytes(self._key.sign(message, mechanism=Mechanism.EDDSA))

    def close(self) -> None:
        """Log out. A token that is gone cannot be told."""
        try:
            self._session.close()
        except (PKCS11Error, RuntimeError):
            return


def load_library(uri: TokenUri) -> Any:
    """Load the PKCS#11 module, initialised anew whatever state it was in."""
    with translated():
        library = pkcs11.lib(str(uri.module_path))
        if library.initialized:
            library.reinitialize()
        else:
            library.initialize()
        return library


def open_token(uri: TokenUri, *, pin: str) -> Token:
    """Find the token and the key, log in, and prove with two signatures that it works (OP-TEE fails the second)."""
    library = load_library(uri)
    slot = find_token(library, uri)
    with translated():
        session = slot.open(user_pin=pin)
    try:
        key, public_key = _find_key(session, uri)
        token = Token(session, key, public_key, _kind(slot))
        for attempt in (b"1", b"2"):
            _verify(public_key, _PROBE + attempt, token.sign_ed25519(_PROBE + attempt))
    except BaseException:
        session.close()
        raise
    return token


def find_token(library: Any, uri: TokenUri) -> Any:
    """Return the one token that matches the URI. Raises TransientError("token_absent" or "token_count")."""
    with translated():
        found = [
            token
            for token in library.get_tokens()
            if (not uri.token or token.label.rstrip("\0 ") == uri.token)
            and (not uri.serial or token.serial.decode().rstrip("\0 ") == uri.serial)
        ]
    if len(found) != 1:
        raise TransientError("token_absent" if not found else "token_count", f"{len(found)} tokens match the URI")
    return found[0]


def generate_ed25519(session: Any, *, label: str) -> bytes:
    """Make a sensitive key that cannot leave the token; return its 32-byte public key."""
    parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: ED25519_PARAMETERS}, local=True)
    with translated():
        public, _ = parameters.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=label,
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True},
        )
        return _point(public)


def _find_key(session: Any, uri: TokenUri) -> tuple[Any, bytes]:
    with translated():
        keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: uri.object}))
        publics = list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: uri.object}))
    if len(keys) != 1 or len(publics) != 1:
        raise TransientError(
            "key_count", f"exactly one key pair must match, found {len(keys)} private and {len(publics)} public"
        )
    with translated():
        if keys[0].key_type != KeyType.EC_EDWARDS:
            raise TransientError("key_kind", "the key is no Ed25519 key")
        try:
            closed = keys[0][Attribute.SENSITIVE] and not keys[0][Attribute.EXTRACTABLE]
        except AttributeTypeInvalid:
            closed = False
        if not closed:
            raise TransientError("key_open", "the key is not sensitive, or may leave the token")
        return keys[0], _point(publics[0])


def _point(public: Any) -> bytes:
    raw = bytes(public[Attribute.EC_POINT])
    point = raw if len(raw) == _RAW_POINT_BYTES else bytes(OctetString.load(raw).native)
    if len(point) != _RAW_POINT_BYTES:
        raise TransientError("key_kind", "the public key is no Ed25519 point")
    return point


def _kind(slot_token: Any) -> str:
    """SoftHSM keeps keys in files: it is marked as what it is in every bundle."""
    maker = f"{slot_token.manufacturer_id!r} {slot_token.model!r}".lower()
    return "software" if "softhsm" in maker else "on-token"


def _verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError) as exc:
        raise TransientError("probe_failed", "the token's probe signature does not verify") from exc


def read_pin(file: Path) -> str:
    """Read the PIN. Raises PinError where there is none; its content never stands in a message."""
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise PinError("pin_unreadable", "the PIN file cannot be read") from exc
    if mode & 0o077:
        raise PinError("pin_open", "the PIN file can be read by others: chmod 600")
    if not text:
        raise PinError("pin_empty", "the PIN file is empty")
    return text


def pin_fingerprint(file: Path) -> str:
    """Return what tells one PIN file from another, without keeping a PIN: its identity and times."""
    try:
        seen = file.stat()
    except OSError:
        return ""
    return hashlib.sha256(f"{seen.st_ino} {seen.st_mtime_ns} {seen.st_size}".encode()).hexdigest()
