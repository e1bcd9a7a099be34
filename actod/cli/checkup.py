"""The checks of `actod check` for programs that run them by themselves: maintenance and diagnostics, without the network."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from actod.cli.checks.check import Line
from actod.cli.checks.registry import run_checks
from actod.config import Config
from actod.secretfile import CREDENTIALS_OF_THE_UNIT


def checkup(config: Config, file: Path, *, only: Collection[str] = ()) -> Iterator[Line]:
    """Run checks one after the other. One that stumbles over another unit's credentials, which systemd hides, is skipped."""
    hidden = not os.access(CREDENTIALS_OF_THE_UNIT, os.X_OK)
    for line in run_checks(config, file, only=only, offline=True):
        if hidden and str(CREDENTIALS_OF_THE_UNIT) in line.detail:
            yield replace(line, level="skip", detail="its file is a credential of the daemon's unit", remedy="")
        else:
            yield line
