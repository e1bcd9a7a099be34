"""The files of a credential's rotation: `<file>.next`, then `<file>` with the old one as `<file>.previous`.

At each moment, whatever power does, `<file>` is whole, and is the old credential or the new one. The old one is there,
under one name or the other, until `end`.
"""

from __future__ import annotations

import os
from pathlib import Path

from actod.durable import sync_folder, write_whole
from actod.errors import ConfigError, RejectedError
from actod.submit.credentials import PREVIOUS

_NEXT = ".next"
_SYSTEMD_FOLDERS = (Path("/run/credentials"), Path("/run/systemd"))


def begin(path: Path, *, key: str, secret: str, label: str) -> Path:
    """Write the new credential beside the old one, and return where. Raises ConfigError, RejectedError, OSError."""
    if any(path.is_relative_to(folder) for folder in (*_SYSTEMD_FOLDERS, *_own_credentials())):
        raise ConfigError(
            key=key,
            expected="a file that we can replace",
            found=f"{path}, a systemd credential, which stays as it is until the unit starts anew",
            fix="replace the file that LoadCredential= or LoadCredentialEncrypted= names, and restart actod",
        )
    if previous(path).exists() and previous(path).samefile(path):
        end(path)  # the power went before the new one was in place
    if previous(path).exists():
        raise RejectedError("rotation_under_way", f"{previous(path)} is still there: end that rotation first (`finish`)")
    staged = path.with_name(path.name + _NEXT)
    write_whole(staged, text_of(secret, label), like=path)
    return staged


def text_of(secret: str, label: str) -> bytes:
    """Return what a credential's file holds: the secret, and under it what it is for ("" for one without a label)."""
    return f"{secret}\nfor {label}\n".encode() if label else f"{secret}\n".encode()


def swap(path: Path) -> None:
    """Put the new credential in place of the old one. Raises OSError."""
    os.link(path, previous(path))
    sync_folder(path.parent)
    path.with_name(path.name + _NEXT).rename(path)
    sync_folder(path.parent)


def abandon(path: Path) -> None:
    """Remove a new credential that was not put in place."""
    path.with_name(path.name + _NEXT).unlink(missing_ok=True)


def end(path: Path) -> None:
    """Remove the old credential. Raises OSError."""
    previous(path).unlink(missing_ok=True)
    sync_folder(path.parent)


def previous(path: Path) -> Path:
    """Return where the old credential is while a rotation is under way."""
    return path.with_name(path.name + PREVIOUS)


def _own_credentials() -> tuple[Path, ...]:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return (Path(folder),) if folder else ()
