"""The state folder: ours alone, 0700."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from actod.errors import ConfigError


def own_folder(path: Path) -> None:
    """Make the folder if need be. Raises ConfigError if it is not ours alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _unusable(path, exc) from exc
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raise ConfigError unless the folder is there and ours alone."""
    try:
        seen = path.stat()
    except OSError as exc:
        raise _unusable(path, exc) from exc
    if not stat.S_ISDIR(seen.st_mode) or seen.st_mode & 0o077:
        raise ConfigError(
            key="state_directory",
            expected="a folder of mode 0700",
            found=f"{path}, mode {stat.S_IMODE(seen.st_mode):04o}",
            fix=f"chmod 700 {path}",
        )
    if seen.st_uid != os.geteuid():
        raise ConfigError(
            key="state_directory",
            expected="a folder of our own",
            found=f"{path}, which belongs to user {seen.st_uid}; we are user {os.geteuid()}",
            fix=f"sudo -u '#{seen.st_uid}' actod ...   # the same command, as the user to whom it belongs",
        )


def act_as_owner(path: Path) -> None:
    """Have root, from here on, act as the user of the folder: what root left there the daemon could not read."""
    if os.geteuid() == 0 and path.is_dir():
        seen = path.stat()
        os.setegid(seen.st_gid)
        os.seteuid(seen.st_uid)


def _unusable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError(
        key="state_directory",
        expected="a folder that we can make and use",
        found=f"{path}: {exc.strerror or 'an error'}",
        fix=f"install -d -m 0700 -o $(id -un) {path}",
    )
