"""How long a TPM stays locked after too many wrong PINs or unclean stops; each recovery interval forgives one."""

from __future__ import annotations

import os
import re
import subprocess

_TOOL = "tpm2_getcap"
_TIMEOUT_SECONDS = 5.0
_TCTI = "TPM2_PKCS11_TCTI"
_PROPERTY = re.compile(
    r"^\s*(inLockout|TPM2_PT_LOCKOUT_COUNTER|TPM2_PT_MAX_AUTH_FAIL|TPM2_PT_LOCKOUT_INTERVAL):\s*(\S+)", re.MULTILINE
)


def seconds_left() -> float | None:
    """Ask the TPM of the PKCS#11 library how long its lockout lasts at most; 0 if there is none, None if it cannot be asked.

    Blocks for up to 5 s. The TPM counts only while it has power.
    """
    environment = {
        name: os.environ[name] for name in ("PATH", "DBUS_SESSION_BUS_ADDRESS", "TPM2TOOLS_TCTI") if name in os.environ
    }
    if _TCTI in os.environ:
        environment["TPM2TOOLS_TCTI"] = os.environ[_TCTI]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [_TOOL, "properties-variable"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read(done.stdout)


def read(text: str) -> float | None:
    """Read what tpm2_getcap says of the dictionary-attack protection; None if it says something else."""
    said = {
        name: int(value, 0)
        for name, value in _PROPERTY.findall(text)
        if re.fullmatch(r"0x[0-9A-Fa-f]{1,8}|[0-9]{1,9}", value)
    }
    if len(said) != len(("inLockout", "counter", "most", "interval")):
        return None
    if not said["inLockout"]:
        return 0.0
    over = said["TPM2_PT_LOCKOUT_COUNTER"] - said["TPM2_PT_MAX_AUTH_FAIL"] + 1
    return float(max(over, 1) * said["TPM2_PT_LOCKOUT_INTERVAL"])
