"""The API key and the wallet address: files that others cannot read, read anew for each use.

A file is ours or root's, and 0400 or 0600. Below systemd's credentials folder the group bits are the mask of an access
list (systemd.exec(5), credentials), so there only the others' bits count.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from actod.errors import ConfigError, TransientError

_LARGEST_BYTES = 4096
_GROUP_AND_OTHERS = 0o077
_OTHERS = 0o007


class Secret:
    """A secret in memory, which no repr, f-string or log line shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """Return the text, for the one line that puts it on the wire."""
        return self._text


class CredentialFile:
    """One secret in a file. `key` is the configuration key that names it. Raises ConfigError when it is not usable."""

    def __init__(self, path: Path, *, key: str) -> None:
        self._path, self._key = path, key
        self._read()

    def __repr__(self) -> str:
        return f"CredentialFile({str(self._path)!r})"

    def read(self) -> Secret:
        """Return what the file holds now. Raises TransientError("credential_unreadable"): an operator may mend it."""
        try:
            return self._read()
        except ConfigError as exc:
            raise TransientError("credential_unreadable", f"{self._key}: expected {exc.expected}") from exc

    def _read(self) -> Secret:
        data = _read_private(self._path, self._key)
        try:
            text = data.decode("ascii").rstrip("\r\n") if len(data) <= _LARGEST_BYTES else ""
        except UnicodeDecodeError:
            text = ""
        if not text or not text.isprintable() or " " in text:
            # Neither the content nor the decoder's error, which holds it, may travel on.
            raise ConfigError(
                key=self._key,
                expected="one line of printable ASCII without spaces",
                found=str(self._path),
                fix=f"write the secret alone into {self._path}",
            )
        return Secret(text)


def check_private(path: Path, *, key: str) -> None:
    """Raise ConfigError unless a file can be read by us and by nobody else."""
    _read_private(path, key)


def _read_private(path: Path, key: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            data = file.read(_LARGEST_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as exc:
        raise ConfigError(
            key=key,
            expected="a file that we can read",
            found=f"{path}: {exc.strerror or 'an error'}",
            fix=f"make {path} a file of ours with mode 0600, or pass it as a systemd credential",
        ) from exc
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(key=key, expected="a regular file", found=str(path), fix="write the secret into a file")
    if status.st_mode & (_OTHERS if _is_systemd_credential(path) else _GROUP_AND_OTHERS):
        raise ConfigError(
            key=key,
            expected="a file that only its owner can read",
            found=f"{path} with mode {stat.S_IMODE(status.st_mode):04o}",
            fix=f"chmod 600 {path}",
        )
    if status.st_uid not in {0, os.geteuid()}:
        raise ConfigError(key=key, expected="a file of ours or of root", found=str(path), fix=f"chown it: {path}")
    return data


def _is_systemd_credential(path: Path) -> bool:
    """Whether the file lies in this unit's credentials folder, which systemd names in the environment."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return bool(folder) and path.parent == Path(folder or "/")
