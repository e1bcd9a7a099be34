"""A throwaway SoftHSM token with a non-extractable Ed25519 key."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
)
LABEL = "actod"
KEY = "actod-ed25519"


@dataclass(frozen=True)
class SoftToken:
    """The token: its folder, URI, PIN file, and the environment in which its library finds it."""

    folder: Path
    uri: str
    pin_file: Path
    environment: Mapping[str, str]
    pin: str = field(repr=False)

    def close(self) -> None:
        """End what runs for the token: here nothing."""


def module() -> Path:
    """Return the path of SoftHSM's module. Raises FileNotFoundError where it is not installed."""
    for path in MODULES:
        if path.exists():
            return path
    raise FileNotFoundError("SoftHSM is missing: apt-get install softhsm2")


def make_token(folder: Path, *, keys: int = 1) -> SoftToken:
    """Make a token in `folder` and `keys` keys on it, all with the same label (0 or 2 for tests of refusals)."""
    tokens = folder / "tokens"
    tokens.mkdir(mode=0o700, parents=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n", encoding="utf-8"
    )
    pin = secrets.token_hex(8)
    pin_file = folder / "pin"
    with os.fdopen(os.open(pin_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(pin)
    environment = {"SOFTHSM2_CONF": str(configuration)}
    uri = f"pkcs11:token={LABEL};object={KEY}?module-path={module()}"
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", pin, "--so-pin", secrets.token_hex(8)],
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    script = (
        "import sys; from actod.keys import provision\n"
        f"for _ in range({keys}): provision.make_key(sys.argv[1], pin_file=sys.argv[2])\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, uri, str(pin_file)],
        env=os.environ | environment,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    return SoftToken(folder, uri, pin_file, environment, pin)
