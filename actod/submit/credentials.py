"""The API key and the wallet address: files that only we can read, read again when they change."""

from __future__ import annotations

import os
from pathlib import Path

from actod.errors import ConfigError


class Credential:
    """One secret in a file. Its repr and every error name the file, never the content."""

    def __init__(self, path: Path, *, key: str) -> None:
        self._path, self._key = path, key
        self._seen: tuple[int, int, int] = (0, 0, 0)
        self._value = ""
        self.read()

    def __repr__(self) -> str:
        return f"Credential({self._path})"

    @property
    def value(self) -> str:
        """Return the secret as last read."""
        return self._value

    def read(self) -> bool:
        """Read the file if it changed; return whether the secret did. Raises ConfigError."""
        try:
            seen = self._path.stat()
            text = self._path.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise self._refused("a readable file", f"make {self._path} readable by us, mode 0600") from exc
        if seen.st_mode & 0o077:
            raise self._refused("a file that only its owner can read", f"chmod 600 {self._path}")
        if seen.st_uid not in {0, os.geteuid()}:
            raise self._refused("a file of ours or of root", f"chown it: {self._path}")
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise self._refused("one line of printable text", f"write the secret alone into {self._path}")
        changed = text != self._value
        self._value = text
        return changed

    def _refused(self, expected: str, fix: str) -> ConfigError:
        return ConfigError(key=self._key, expected=expected, found=str(self._path), fix=fix)
