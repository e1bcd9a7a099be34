"""Making keys on a token that is there already: what `actod keys init` does."""

from __future__ import annotations

from pathlib import Path

from actod.keys.token import find_token, generate_ed25519, load_library, read_pin, translated
from actod.keys.uri import parse


def make_key(uri: str, *, pin_file: Path | str) -> bytes:
    """Make the Ed25519 key that the URI names; return its 32-byte public key. Raises TransientError, ConfigError."""
    wanted = parse(uri)
    slot = find_token(load_library(wanted), wanted)
    with translated():
        session = slot.open(rw=True, user_pin=read_pin(Path(pin_file)))
    try:
        return generate_ed25519(session, label=wanted.object)
    finally:
        session.close()
