"""A secret in a file that others cannot read: PIN, API key, broker password. The one reader for all of them.

A file is ours or root's, and 0400 or 0600. Below systemd's credentials folder the group bits are the mask of an access
list (systemd.exec(5), credentials), so there only the others' bits count.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from actod.errors import ConfigError

CREDENTIALS_OF_THE_UNIT = Path("/run/credentials/actod.service")  # for commands that run beside it; only root writes there
_LARGEST_BYTES = 4096
_GROUP_AND_OTHERS = 0o077
_OTHERS = 0o007
_LABEL = b"for "


class SecretFileError(ConfigError):
    """The file cannot be used. `fault` is unreadable, irregular, open, foreign, empty or malformed."""

    def __init__(self, fault: str, *, key: str, expected: str, fix: str, found: str) -> None:
        super().__init__(key=key, expected=expected, fix=fix, found=found)
        self.fault = fault


def read_secret(path: Path, *, key: str) -> str:
    """Return the text of a secret file without its line end; `key` is the configuration key that names the file.

    Raises SecretFileError, which never holds what the file holds.
    """
    return _checked(read_private(path, key), path, key)


def read_labelled(path: Path, *, key: str) -> tuple[str, str]:
    """Return a secret, and what a second line `for ...` says that it is for ("" without one). As `read_secret`."""
    secret, label = _split(read_private(path, key))
    return _checked(secret, path, key), _checked(label, path, key) if label else ""


def _split(data: bytes) -> tuple[bytes, bytes]:
    secret, _, second = data.rstrip(b"\r\n").partition(b"\n")
    label = second.removeprefix(_LABEL)
    return (secret.rstrip(b"\r"), label) if second.startswith(_LABEL) else (data, b"")


def _checked(data: bytes, path: Path, key: str) -> str:
    try:
        text = data.decode("utf-8").rstrip("\r\n") if len(data) <= _LARGEST_BYTES else "\0"
    except UnicodeDecodeError:
        text = "\0"
    # Raised outside of the handler: the decoder's error holds the bytes.
    if not text:
        raise SecretFileError(
            "empty", key=key, expected="a secret", found=f"{path}, which is empty", fix=f"write the secret to {path}"
        )
    if not text.isprintable():
        raise SecretFileError(
            "malformed",
            key=key,
            expected="one line of printable UTF-8 text",
            found=str(path),
            fix=f"write the secret alone into {path}",
        )
    return text


def load_identity(context: ssl.SSLContext, certificate_file: Path, private_key_file: Path | None, *, section: str) -> None:
    """Load a client certificate and its key, which only we may read. `section` is the configuration's. Raises ConfigError.

    An encrypted key is refused: OpenSSL would ask for its passphrase on a terminal.
    """
    read_private(private_key_file or certificate_file, f"{section}.private_key_file")

    def refuse() -> str:
        raise ValueError("an encrypted private key")

    try:
        context.load_cert_chain(certificate_file, private_key_file, password=refuse)
    except (OSError, ssl.SSLError, ValueError) as exc:
        raise ConfigError(
            key=f"{section}.certificate_file",
            expected="a PEM certificate and its unencrypted private key",
            found=str(certificate_file),
            fix=f"check {section}.certificate_file and {section}.private_key_file",
        ) from exc


def read_private(path: Path, key: str) -> bytes:
    """Return what a file holds that only we can read. Raises SecretFileError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            data = file.read(_LARGEST_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as exc:
        raise SecretFileError(
            "unreadable",
            key=key,
            expected="a file that we can read",
            found=f"{path}: {exc.strerror or 'an error'}",
            fix=f"make {path} a file of ours with mode 0600, or pass it as a systemd credential",
        ) from exc
    if not stat.S_ISREG(status.st_mode):
        raise SecretFileError(
            "irregular", key=key, expected="a regular file", found=str(path), fix=f"write the secret into a file {path}"
        )
    if status.st_mode & (_OTHERS if is_systemd_credential(path) else _GROUP_AND_OTHERS):
        raise SecretFileError(
            "open",
            key=key,
            expected="a file that only its owner can read",
            found=f"{path} with mode {stat.S_IMODE(status.st_mode):04o}",
            fix=f"chmod 600 {path}",
        )
    if status.st_uid not in {0, os.geteuid()}:
        raise SecretFileError(
            "foreign",
            key=key,
            expected="a file of ours or of root",
            found=f"{path}, of user {status.st_uid}",
            fix=f"chown {os.geteuid()} {path}",
        )
    return data


def is_systemd_credential(path: Path) -> bool:
    """Whether the file lies in this unit's credentials folder, which systemd names in the environment, or the daemon's."""
    return path.parent in {Path(os.environ.get("CREDENTIALS_DIRECTORY") or CREDENTIALS_OF_THE_UNIT), CREDENTIALS_OF_THE_UNIT}
