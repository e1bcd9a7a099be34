"""What a machine says of itself, for one configuration that many robots share: `client_id = "actod-{machine_id}"`.

`{machine_id}` is 32 hex characters that are this machine's and this program's: systemd keeps the machine's own id to be
confidential (machine-id(5)), so it is only the key of a hash, as in `systemd-id128 machine-id --app-specific=`.
"""

from __future__ import annotations

import hmac
import re
import socket
from collections.abc import Callable
from pathlib import Path

from actod.errors import ConfigError

KEYS = frozenset({"device.id", "mqtt.client_id", "mqtt.username"})  # elsewhere a brace is a brace
_PROGRAM = bytes.fromhex("58d40d33090f42caa000b0d15808c7d1")
_FACT = re.compile(r"\{([^{}]*)\}")


def fill_in(text: str, *, key: str, file: str, machine_id_file: Path = Path("/etc/machine-id")) -> str:
    """Return the text with each `{fact}` replaced. Raises ConfigError for one that there is not."""
    facts: dict[str, Callable[[], str]] = {
        "machine_id": lambda: _machine_id(machine_id_file),
        "hostname": lambda: socket.gethostname().partition(".")[0],
    }

    def value(found: re.Match[str]) -> str:
        try:
            return facts[found[1]]()
        except (KeyError, OSError, ValueError) as exc:
            words = " or ".join(f"{{{name}}}" for name in facts)
            raise ConfigError(
                file=file,
                key=key,
                expected=f"a fact of this machine: {words}",
                found=found[0],
                fix="write one, or a plain text",
            ) from exc

    return _FACT.sub(value, text)


def _machine_id(file: Path) -> str:
    machine = bytes.fromhex(file.read_text(encoding="ascii").strip())
    digest = bytearray(hmac.digest(machine, _PROGRAM, "sha256")[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x40, digest[8] & 0x3F | 0x80  # a UUID of version 4, as systemd makes it one
    return digest.hex()
