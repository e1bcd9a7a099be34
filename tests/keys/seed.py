"""The seed of a sealed key, as its token gives it with the PIN, and where it stands in files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from hil.parts.scan import _base64
from hil.parts.softhsm import SoftToken
from hil.rig import ROOT

# URI and PIN file stand in argv; prints the seed in hexadecimal
READER = """
    import sys
    from pathlib import Path
    from pkcs11 import Attribute, ObjectClass
    from actod.keys import token, uri
    wanted = uri.parse(sys.argv[1])
    library = token.load_library(wanted)
    session = token.log_in(token.find_token(library, wanted), pin=token.read_pin(Path(sys.argv[2])))
    (found,) = session.get_objects({Attribute.CLASS: ObjectClass.DATA})
    print(found[Attribute.VALUE].hex())
    token.close_quietly(library, session)
"""


def seed_of(token: SoftToken) -> bytes:
    command = [sys.executable, "-c", textwrap.dedent(READER), token.uri, str(token.pin_file)]
    environment = os.environ | token.environment | {"PYTHONPATH": str(ROOT)}
    return bytes.fromhex(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def forms(secret: bytes) -> list[bytes]:
    """Return the secret raw, its halves, hexadecimal and base64 wherever it begins in it."""
    text = [secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()]
    plain = list(_base64(secret))
    safe = [form.replace(b"+", b"-").replace(b"/", b"_") for form in plain]
    return [secret, secret[:16], secret[16:], *text, *plain, *safe]


def found(places: list[Path], secret: bytes) -> set[tuple[str, bytes]]:
    """Return in which files of these folders which forms stand."""
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    assert files
    return {(file.name, form) for file in files for form in forms(secret) if form in file.read_bytes()}
