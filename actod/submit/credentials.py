"""API keys and the wallet address: read anew for each use, so that a changed file needs no restart.

An API key's file may say under the key what it is for: `for prod collector.example`, the environment and the host of the
collector. It is a label against mistakes, not a defence: who can write the file can write the label. In prod it must be
there. While a rotation goes on, the old key stays beside the new one under the name `<file>.previous`.
"""

from __future__ import annotations

from pathlib import Path

from actod.errors import ConfigError, TransientError
from actod.secretfile import SecretFileError, read_labelled

PREVIOUS = ".previous"


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
    """One secret in a file. `key` is the configuration key that names it. Raises ConfigError when it is not usable.

    `purpose` is the label that must not be another; `labelled` says whether it must be there.
    """

    def __init__(self, path: Path, *, key: str, purpose: str = "", labelled: bool = False) -> None:
        self.path, self.key = path, key
        self._purpose, self._labelled = purpose, labelled
        self._accepted: Secret | None = None
        self._read(path)

    def __repr__(self) -> str:
        return f"CredentialFile({str(self.path)!r})"

    def read(self) -> Secret:
        """Return what the file holds now. Raises TransientError("credential_unreadable"): an operator may mend it."""
        try:
            return self._read(self.path)
        except ConfigError as exc:
            raise TransientError("credential_unreadable", f"{self.key}: expected {exc.expected}") from exc

    def previous(self) -> Secret | None:
        """Return the secret that a rotation under way has replaced, None if there is none."""
        try:
            return self._read(self.path.with_name(self.path.name + PREVIOUS))
        except ConfigError:
            return None

    def accepted(self, secret: Secret) -> None:
        """Note that the server took a secret."""
        self._accepted = secret

    @property
    def proven(self) -> bool:
        """Whether the server took what the file holds now."""
        try:
            return self._accepted is not None and self._read(self.path) == self._accepted
        except ConfigError:
            return False

    def _read(self, path: Path) -> Secret:
        text, label = read_labelled(path, key=self.key)
        if not text.isascii() or " " in text:
            raise SecretFileError(
                "malformed",
                key=self.key,
                expected="one line of printable ASCII without spaces",
                found=str(path),
                fix=f"write the secret alone into {path}",
            )
        if self._purpose and label != self._purpose and (label or self._labelled):
            raise SecretFileError(
                "misplaced",
                key=self.key,
                expected=f"a key for {self._purpose}",
                found=f"one for {label[:80]!r}" if label else "one that does not say what it is for",
                fix=f"write the right key, and under it the line: for {self._purpose}",
            )
        return Secret(text)


def api_key_file(path: Path, *, key: str, environment: str, host: str) -> CredentialFile:
    """Return the file of an API key, bound to an environment and a host. Raises ConfigError."""
    return CredentialFile(path, key=key, purpose=f"{environment} {host}", labelled=environment == "prod")


def keep_apart(*files: CredentialFile) -> None:
    """Hold each scope to a key of its own. Raises ConfigError if two files hold the same one."""
    for index, file in enumerate(files):
        for other in files[:index]:
            if file.read() == other.read():
                raise ConfigError(
                    key=file.key,
                    expected=f"another key than {other.key}",
                    found="the same one",
                    fix="have the server issue a key for each scope: one that leaks opens nothing else",
                )
