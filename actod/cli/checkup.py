"""The checks of `actod check` for programs: maintenance and diagnostics run them, without the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actod.cli.check import checks
from actod.config import Config

_SECRETS = (
    "token.pin_file",
    "collector.api_key_file",
    "collector.wallet_file",
    "collector.monitor_api_key_file",
    "fleet.api_key_file",
    "mqtt.password_file",
)
IDS = frozenset(
    {
        *(f"secret {key}" for key in _SECRETS),
        "configuration",
        "no secret in configuration",
        "state folder",
        "token",
        "tpm lockout",
        "key age",
        "audit log",
        "store",
        "clock",
    }
)


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: level is ok, warn or fail."""

    id: str
    level: str
    detail: str
    remedy: str


def checkup(config: Config, file: Path) -> Iterator[Checked]:
    """Run the checks that need no network, one after the other."""
    for line in checks(config, file, offline=True):
        yield Checked(line.name, line.level, line.detail, line.remedy)
