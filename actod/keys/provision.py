"""Making keys on a token that is there already: what `actod keys init` does."""

from __future__ import annotations

from pathlib import Path

from actod.errors import StopError
from actod.keys.token import close_quietly, find_objects, find_token, generate_ed25519, load_library, log_in, read_pin
from actod.keys.uri import parse


def make_key(uri: str, *, pin_file: Path | str, beside_others: bool = True) -> bytes:
    """Make the Ed25519 key that the URI names; return its 32-byte public key. Raises TransientError, ConfigError.

    Unless `beside_others`, raises StopError("key_exists") where there is a key of this label: with two, none is used.
    """
    wanted = parse(uri)
    session = log_in(find_token(load_library(wanted), wanted), pin=read_pin(Path(pin_file)), writable=True)
    try:
        if not beside_others and any(find_objects(session, wanted)):
            raise StopError("key_exists", f"the token holds a key with the label {wanted.object!r}; it is kept")
        return generate_ed25519(session, label=wanted.object)
    finally:
        close_quietly(session)
