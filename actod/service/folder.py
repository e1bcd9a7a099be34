"""The state folder: ours, 0700, and on a disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from actod.errors import ConfigError


def own_folder(path: Path) -> None:
    """Make the folder if need be. Raises ConfigError if it is not ours alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = path.stat()
    except OSError as exc:
        raise ConfigError(
            key="state_directory",
            expected="a folder that we can make and use",
            found=exc.strerror or str(path),
            fix=f"install -d -m 0700 -o $(id -un) {path}",
        ) from exc
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise ConfigError(
            key="state_directory",
            expected="a folder of our own, mode 0700",
            found=f"{path}, mode {seen.st_mode & 0o777:o}",
            fix=f"chown {os.geteuid()} {path} && chmod 700 {path}",
        )
