"""Making keys on a token that is there already: what `actod keys init` and a rotation do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nacl import bindings
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.constants import DEFAULT

from actod.errors import StopError
from actod.keys import memory
from actod.keys.healing import Call, ask
from actod.keys.pairs import ED25519_PARAMETERS, ED25519_POINT_BYTES, P256_PARAMETERS, SEED_BYTES, Pair, point_of
from actod.keys.token import (
    by_generation,
    close_quietly,
    find_token,
    has_ed25519,
    label_of,
    load_library,
    log_in,
    pairs_of,
    read_pin,
)
from actod.keys.uri import TokenUri, parse

_APPLICATION = "actod"  # CKA_APPLICATION of the seed, for who lists the token's objects
_CLOSED = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
# tpm2-pkcs11 1.9 refuses an EC key that may do more than sign, and what it had loaded by then stays in the TPM's few slots.
_SIGN_ONLY = {Attribute.DECRYPT: DEFAULT, Attribute.UNWRAP: DEFAULT, Attribute.DERIVE: DEFAULT}
_VERIFY_ONLY = {Attribute.ENCRYPT: DEFAULT, Attribute.WRAP: DEFAULT}


def make_key(uri: str, *, pin_file: Path | str, beside_others: bool = True) -> bytes:
    """Make the first generation that the URI names; return its 32-byte Ed25519 key. Raises TransientError, ConfigError.

    Unless `beside_others`, only what is missing is made, as after a power cut in the middle, and StopError("key_exists") is
    raised where nothing is: with two of a label, none is used.
    """
    wanted = parse(uri)
    library = load_library(wanted)
    session = None
    try:
        found = find_token(library, wanted)
        session = log_in(found, pin=read_pin(Path(pin_file)), writable=True)
        on_token = has_ed25519(found)
        both = {"pair": True, "seed": True}
        missing = both if beside_others else _missing(session, wanted.object, 1, on_token=on_token)
        if missing is None:
            raise StopError("key_exists", f"the token holds a key with the label {wanted.object!r}; it is kept")
        made = _make(session, wanted.object, on_token=on_token, **missing)
        return made or _first_of(pairs_of(session, found, wanted))
    finally:
        close_quietly(library, session)


def _first_of(pairs: tuple[Pair, ...]) -> bytes:
    """Return the first generation's public key, and let go of what is secret."""
    for pair in pairs:
        pair.forget()
    return pairs[0].key.ed25519


def make_generation(library: Any, uri: TokenUri, *, pin: str, generation: int) -> None:
    """Make this generation, or what it lacks of one that was never finished; nothing where it is there."""
    found = find_token(library, uri)
    session = log_in(found, pin=pin, writable=True)
    try:
        on_token = has_ed25519(found)
        missing = _missing(session, uri.object, generation, on_token=on_token)
        if missing is not None:
            _make(session, label_of(uri.object, generation), on_token=on_token, **missing)
    finally:
        close_quietly(library, session)


def _missing(session: Any, family: str, generation: int, *, on_token: bool) -> dict[str, bool] | None:
    """Return what has to be made, or None if nothing can: what is there is never made a second time."""
    classes = (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY, ObjectClass.DATA)
    private, public, seed = (bool(by_generation(session, family, kind).get(generation)) for kind in classes)
    if private != public or (private and (seed or on_token)):
        return None
    return {"pair": not private, "seed": not seed}


def _make(session: Any, label: str, *, on_token: bool, pair: bool, seed: bool) -> bytes:
    """Make what is asked for; return the Ed25519 public key, or nothing if it is only the token's P-256."""
    if on_token:
        public = _generate(session, label, KeyType.EC_EDWARDS, ED25519_PARAMETERS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN)
        return point_of(public, ED25519_POINT_BYTES)
    if pair:
        _generate(session, label, KeyType.EC, P256_PARAMETERS, Mechanism.EC_KEY_PAIR_GEN)
    return _make_seed(session, label) if seed else b""


def _generate(session: Any, label: str, kind: KeyType, parameters: bytes, mechanism: Mechanism) -> Any:
    """Make a sensitive key pair that cannot leave the token; return its public key."""

    def generate() -> Any:
        local = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: parameters}, local=True)
        public, _ = local.generate_keypair(
            mechanism=mechanism,
            store=True,
            label=label,
            public_template=_VERIFY_ONLY,
            private_template=_CLOSED | _SIGN_ONLY,
        )
        return public

    return ask(Call.MAKE, generate)


def _make_seed(session: Any, label: str) -> bytes:
    """Keep a new Ed25519 seed on the token, readable only with the PIN; return the public key."""
    seed = os.urandom(SEED_BYTES)
    template = {
        Attribute.CLASS: ObjectClass.DATA,
        Attribute.TOKEN: True,
        Attribute.PRIVATE: True,
        Attribute.MODIFIABLE: False,
        Attribute.LABEL: label,
        Attribute.APPLICATION: _APPLICATION,
        Attribute.VALUE: seed,
    }
    ask(Call.MAKE, lambda: session.create_object(template))
    public_key, secret = bindings.crypto_sign_seed_keypair(seed)
    for used in (seed, secret):
        memory.wipe(used)
    return bytes(public_key)
