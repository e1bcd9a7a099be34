"""The token itself: one thread owns the PKCS#11 library, and no other may touch it (two crash SoftHSM).

A key family is what `token.uri` names: the first generation has the label of the URI, later ones LABEL.2, LABEL.3, ...
Where the token has CKM_EDDSA, a generation is an Ed25519 key pair on it. Where it has only P-256 (every TPM 2.0), it is a
P-256 key pair and, of the same label, a private data object with the seed of an Ed25519 key, used in this process.
What is done about a CKR_* stands in `healing.py`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, Mechanism, ObjectClass, SlotFlag, TokenFlag
from pkcs11.exceptions import AttributeTypeInvalid, PKCS11Error

from actod.keys.healing import Call, ChoiceError, PinError, TokenError, ask
from actod.keys.pairs import OnTokenPair, Pair, SealedPair
from actod.keys.uri import TokenUri
from actod.model import EnrolledKey
from actod.secretfile import SecretFileError, read_secret

ON_TOKEN, SEALED, SOFTWARE = "on-token", "sealed", "software"
_LATER = re.compile(r"[2-9]|[1-9][0-9]{1,5}")
_TPM_LIBRARY = "tpm2"  # stands in what libtpm2_pkcs11 says of itself
_CLOSED = {  # what a key must be that was made on the token and can never leave it
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
}


class Token:
    """An open, logged-in token with the pairs of one family. Use `open_token`; every method may raise TransientError."""

    def __init__(self, library: Any, session: Any, pairs: tuple[Pair, ...]) -> None:
        self._library, self._session, self._pairs = library, session, pairs

    @property
    def keys(self) -> tuple[EnrolledKey, ...]:
        """Return the generations, oldest first."""
        return tuple(pair.key for pair in self._pairs)

    @property
    def memory_locked(self) -> bool:
        """Whether no key's bytes in this process can reach the swap."""
        return all(pair.memory_locked for pair in self._pairs)

    def pair(self, thumbprint: str) -> Pair:
        """Return the chosen pair, or with "" the only one, after it has signed twice. Raises ChoiceError."""
        if not thumbprint and len(self._pairs) != 1:
            raise ChoiceError("key_choice", f"the family has {len(self._pairs)} keys, and none was chosen")
        for pair in self._pairs:
            if thumbprint in {"", pair.key.ed25519_thumbprint}:
                pair.probe()
                return pair
        raise ChoiceError("key_unknown", f"none of the family's {len(self._pairs)} keys has this thumbprint")

    def close(self) -> None:
        """Overwrite what can be overwritten, log out, and let go of the library. A token that is gone cannot be told."""
        for pair in self._pairs:
            pair.forget()
        close_quietly(self._library, self._session)


def close_quietly(library: Any, session: Any = None) -> None:
    """Log out and finalise the library, which on a TPM frees what it had loaded. Whatever it answers changes nothing."""
    if session is not None:
        with suppress(PKCS11Error, RuntimeError):
            session.close()
    with suppress(PKCS11Error, RuntimeError):
        library.finalize()


def load_library(uri: TokenUri) -> Any:
    """Load the PKCS#11 module, initialised anew whatever state it was in."""

    def load() -> Any:
        library = pkcs11.lib(str(uri.module_path))
        if library.initialized:
            with suppress(PKCS11Error):  # it counts as done, and what is left tells at the next step
                library.finalize()
        library.initialize()
        return library

    return ask(Call.LOAD, load)


def is_tpm(library: Any) -> bool:
    """Whether the library drives a TPM 2.0, whose lockout ends by itself."""
    return _TPM_LIBRARY in f"{library.manufacturer_id} {library.library_description}".lower()


def open_token(library: Any, uri: TokenUri, *, pin: str, allow_software: bool = True) -> Token:
    """Find the token and the family's keys, and log in; an only key signs twice at once (OP-TEE fails the second)."""
    found = find_token(library, uri)
    if kind_of(found) == SOFTWARE and not allow_software:
        raise TokenError("token_software", "a software token is refused in prod")
    session = log_in(found, pin=pin)
    try:
        token = Token(library, session, pairs_of(session, found, uri))
        if len(token.keys) == 1:
            token.pair("")
    except BaseException:
        close_quietly(library, session)
        raise
    return token


def log_in(found: Any, *, pin: str, writable: bool = False) -> Any:
    """Open a session with the PIN, unless the token says that this could lock it. Raises PinError, TokenError."""
    if found.flags & TokenFlag.USER_PIN_LOCKED:
        raise PinError("pin_locked", "the token says that its PIN is locked")
    if found.flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise PinError("pin_last_try", "one more wrong PIN would lock the token")
    return ask(Call.LOGIN, lambda: found.open(rw=writable, user_pin=pin))


def find_token(library: Any, uri: TokenUri) -> Any:
    """Return the one token that matches the URI. Raises TokenError("token_absent" or "token_count")."""
    found = [token for token in ask(Call.SLOTS, lambda: list(library.get_tokens())) if _matches(token, uri)]
    if len(found) != 1:
        raise TokenError("token_absent" if not found else "token_count", f"{len(found)} tokens match the URI")
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


def has_ed25519(found: Any) -> bool:
    """Whether the token can sign with Ed25519 itself. Raises TokenError("key_kind") if it has no P-256 either."""
    mechanisms = ask(Call.SLOTS, found.slot.get_mechanisms)
    if Mechanism.EDDSA not in mechanisms and Mechanism.ECDSA not in mechanisms:
        raise TokenError("key_kind", "the token has neither CKM_EDDSA nor CKM_ECDSA")
    return Mechanism.EDDSA in mechanisms


def kind_of(found: Any) -> str:
    """Hold a token to be software unless it says that it is hardware: SoftHSM keeps its keys in files.

    A TPM in software says that it is hardware, as a TPM does: here nobody can tell them apart.
    """
    if not found.slot.flags & SlotFlag.HW_SLOT:
        return SOFTWARE
    return ON_TOKEN if has_ed25519(found) else SEALED


def label_of(family: str, generation: int) -> str:
    """Return the label of a generation, counted from 1."""
    return family if generation == 1 else f"{family}.{generation}"


def by_generation(session: Any, family: str, kind: ObjectClass) -> dict[int, list[Any]]:
    """Return the objects of one class that belong to the family."""

    def find() -> list[tuple[int, Any]]:
        items = list(session.get_objects({Attribute.CLASS: kind}))
        return [(generation, item) for item in items for generation in _generation(family, _label(item))]

    found = defaultdict(list)
    for generation, item in ask(Call.FIND, find):
        found[generation].append(item)
    return found


def _label(item: Any) -> str:
    """Return an object's label; "" for one that has none or is no text: others may use the token too."""
    try:
        return str(item[Attribute.LABEL])
    except (AttributeTypeInvalid, UnicodeDecodeError):
        return ""


def _generation(family: str, label: str) -> Iterator[int]:
    if label == family:
        yield 1
    elif label.startswith(family + ".") and _LATER.fullmatch(label, len(family) + 1):
        yield int(label[len(family) + 1 :])


def pairs_of(session: Any, found: Any, uri: TokenUri) -> tuple[Pair, ...]:
    """Read the family. A later generation that was never finished, for want of one of its objects, is passed over."""
    on_token = has_ed25519(found)
    classes = [ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY] + ([] if on_token else [ObjectClass.DATA])
    objects = [by_generation(session, uri.object, kind) for kind in classes]
    pairs: list[Pair] = []
    for generation in sorted({1}.union(*objects)):
        held = [items.get(generation, []) for items in objects]
        counts = [len(items) for items in held]
        if generation > 1 and min(counts) == 0 and max(counts) == 1:
            continue
        if set(counts) != {1}:
            names = ("private keys", "public keys", "seeds")
            seen = ", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=False))
            raise TokenError("key_count", f"generation {generation} must be exactly one key pair, found {seen}")
        pairs.append(_pair(held, kind_of(found), label_of(uri.object, generation), generation))
    return tuple(pairs)


def _pair(held: list[list[Any]], kind: str, label: str, generation: int) -> Pair:
    private, public = held[0][0], held[1][0]

    def read() -> Pair:
        _refuse_open(private)
        if len(held) == 2:  # noqa: PLR2004 - no seed beside it
            return OnTokenPair.read(private, public, kind=kind, label=label, generation=generation)
        return SealedPair.read(private, public, held[2][0], kind=kind, label=label, generation=generation)

    return ask(Call.ATTRIBUTE, read)


def _refuse_open(private: Any) -> None:
    """Refuse a key that may leave the token, or could once, and one that came from elsewhere."""
    try:
        closed = all(private[attribute] == wanted for attribute, wanted in _CLOSED.items())
        made_here = private[Attribute.LOCAL]
    except AttributeTypeInvalid:
        closed = made_here = False
    if not made_here:
        raise TokenError("key_foreign", "the key was not made on this token")
    if not closed:
        raise TokenError("key_open", "the key is not sensitive, or may leave the token, or could before")


def read_pin(file: Path) -> str:
    """Read the PIN. Raises PinError where there is none; its content never stands in a message."""
    try:
        return read_secret(file, key="token.pin_file")
    except SecretFileError as exc:
        raise PinError(f"pin_{exc.fault}", f"expected {exc.expected}") from exc
