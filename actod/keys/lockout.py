"""How near a TPM is to a lockout, and how long one lasts: wrong PINs and unclean stops count, and time forgives them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

_TOOL = "tpm2_getcap"
_TIMEOUT_SECONDS = 5.0
_TCTI = "TPM2_PKCS11_TCTI"
_NAMES = ("inLockout", "TPM2_PT_LOCKOUT_COUNTER", "TPM2_PT_MAX_AUTH_FAIL", "TPM2_PT_LOCKOUT_INTERVAL")
_PROPERTY = re.compile(rf"^\s*({'|'.join(_NAMES)}):\s*(0x[0-9A-Fa-f]{{1,8}}|[01])\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Protection:
    """A TPM's protection against guesses: it locks itself at `most` failures, and forgives one in each interval."""

    locked: bool
    failures: int
    most: int
    interval_seconds: int

    @property
    def seconds_left(self) -> float:
        """Return how long the lockout lasts at most, 0 if there is none. The TPM counts only while it has power."""
        return float(max(self.failures - self.most + 1, 1) * self.interval_seconds) if self.locked else 0.0


def ask_tpm() -> Protection | None:
    """Ask the TPM of the PKCS#11 library, for up to 5 s; None if it, or the tool for it, is not there."""
    passed = ("PATH", "DBUS_SESSION_BUS_ADDRESS", "TPM2TOOLS_TCTI")
    environment = {name: os.environ[name] for name in passed if name in os.environ}
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


def read(text: str) -> Protection | None:
    """Read what tpm2_getcap says; None if it says something else."""
    said = {name: int(value, 0) for name, value in _PROPERTY.findall(text)}
    if set(said) != set(_NAMES):
        return None
    locked, failures, most, interval = (said[name] for name in _NAMES)
    return Protection(bool(locked), failures, most, interval)
