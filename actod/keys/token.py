"""The token itself: one thread owns the PKCS#11 library, and no other may touch it (two crash SoftHSM).

What to do about a CKR_* error, whichever call gave it:

| error | verdict | what the signer does |
|---|---|---|
| CKR_PIN_INCORRECT, _INVALID, _LEN_RANGE, _EXPIRED | pin_incorrect | waits for another PIN in the file, never retries |
| CKR_PIN_LOCKED, CKF_USER_PIN_LOCKED | pin_locked | likewise |
| CKF_USER_PIN_FINAL_TRY | pin_last_try | does not log in: the last try is the operator's |
| CKR_TOKEN_NOT_PRESENT, CKR_DEVICE_REMOVED, no such token | token_absent | rebuilds all, with back-off |
| CKR_SESSION_*, CKR_USER_NOT_LOGGED_IN, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID | token_away | rebuilds all |
| CKR_GENERAL_ERROR, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED, CKR_HOST_MEMORY, any other | token_away | rebuilds all |
| not exactly one key, or one that may leave the token | key_count, key_open, key_kind | rebuilds: an operator mends it |
| a call that does not come back | (none) | its parent kills the signer and starts it again |

To rebuild is to forget session and key, reinitialise the library, and find, log in and probe anew: after a restart of a
TPM's resource manager nothing less helps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pkcs11
from asn1crypto.core import OctetString
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, SlotFlag, TokenFlag
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
from actod.secretfile import SecretFileError, read_secret

ED25519_PARAMETERS = encode_named_curve_parameters("1.3.101.112")
_PROBE = b"actod:probe:v1\n"
_RAW_POINT_BYTES = 32


class PinError(TransientError):
    """The PIN cannot be used."""


class PinRefusedError(PinError):
    """The token refused the PIN: it must not be sent again."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate what python-pkcs11 raises into verdicts; see the table above. No message of the library is kept."""
    try:
        yield
    except PinLocked as exc:
        raise PinRefusedError("pin_locked") from exc
    except (PinIncorrect, PinInvalid, PinLenRange, PinExpired) as exc:
        raise PinRefusedError("pin_incorrect") from exc
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
        close_quietly(self._session)


def close_quietly(session: Any) -> None:
    """Close a session, which logs out; one whose token is gone is closed already."""
    with suppress(PKCS11Error, RuntimeError):
        session.close()


def load_library(uri: TokenUri) -> Any:
    """Load the PKCS#11 module, initialised anew whatever state it was in."""
    with translated():
        library = pkcs11.lib(str(uri.module_path))
        if library.initialized:
            library.reinitialize()
        else:
            library.initialize()
        return library


def open_token(uri: TokenUri, *, pin: str, allow_software: bool = True) -> Token:
    """Find the token and the key, log in, and prove with two signatures that it works (OP-TEE fails the second)."""
    library = load_library(uri)
    found = find_token(library, uri)
    kind = _kind(found)
    if kind == "software" and not allow_software:
        raise TransientError("token_software", "a software token is refused in prod")
    session = log_in(found, pin=pin)
    try:
        key, public_key = _find_key(session, uri)
        token = Token(session, key, public_key, kind)
        for attempt in (b"1", b"2"):
            _verify(public_key, _PROBE + attempt, token.sign_ed25519(_PROBE + attempt))
    except BaseException:
        close_quietly(session)
        raise
    return token


def log_in(found: Any, *, pin: str, writable: bool = False) -> Any:
    """Open a session with the PIN, unless the token says that this could lock it. Raises PinError, TransientError."""
    if found.flags & TokenFlag.USER_PIN_LOCKED:
        raise PinError("pin_locked", "the token says that its PIN is locked")
    if found.flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise PinError("pin_last_try", "one more wrong PIN would lock the token")
    with translated():
        return found.open(rw=writable, user_pin=pin)


def find_token(library: Any, uri: TokenUri) -> Any:
    """Return the one token that matches the URI. Raises TransientError("token_absent" or "token_count")."""
    with translated():
        found = [token for token in library.get_tokens() if _matches(token, uri)]
    if len(found) != 1:
        raise TransientError("token_absent" if not found else "token_count", f"{len(found)} tokens match the URI")
    return found[0]


def _matches(token: Any, uri: TokenUri) -> bool:
    serial = token.serial.decode("utf-8", "replace")
    pairs = (
        (uri.token, token.label),
        (uri.serial, serial),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
    )
    return all(not wanted or wanted == seen.rstrip("\0 ") for wanted, seen in pairs)


def generate_ed25519(session: Any, *, label: str) -> bytes:
    """Make a sensitive key that cannot leave the token; return its 32-byte public key."""
    with translated():
        parameters = session.create_domain_parameters(
            KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: ED25519_PARAMETERS}, local=True
        )
        public, _ = parameters.generate_keypair(
            mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=label,
            private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True},
        )
        return _point(public)


def find_objects(session: Any, uri: TokenUri) -> tuple[list[Any], list[Any]]:
    """Return the private and the public keys with the URI's label."""
    with translated():
        keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: uri.object}))
        publics = list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: uri.object}))
    return keys, publics


def _find_key(session: Any, uri: TokenUri) -> tuple[Any, bytes]:
    keys, publics = find_objects(session, uri)
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


def _kind(found: Any) -> str:
    """Hold a token to be software unless it says that it is hardware: SoftHSM keeps its keys in files."""
    return "on-token" if found.slot.flags & SlotFlag.HW_SLOT else "software"


def _verify(public_key: bytes, message: bytes, signature: bytes) -> None:
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError) as exc:
        raise TransientError("probe_failed", "the token's probe signature does not verify") from exc


def read_pin(file: Path) -> str:
    """Read the PIN. Raises PinError where there is none; its content never stands in a message."""
    try:
        return read_secret(file, key="token.pin_file")
    except SecretFileError as exc:
        raise PinError(f"pin_{exc.fault}", f"expected {exc.expected}") from exc
