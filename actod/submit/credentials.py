"""The API key and the wallet address: read anew for each use, so that a changed file needs no restart."""

from __future__ import annotations

from pathlib import Path

from actod.errors import ConfigError, TransientError
from actod.secretfile import read_secret


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
        text = read_secret(self._path, key=self._key)
        if not text.isascii() or " " in text:
            raise ConfigError(
                key=self._key,
                expected="one line of printable ASCII without spaces",
                found=str(self._path),
                fix=f"write the secret alone into {self._path}",
            )
        return Secret(text)
