"""A random key in a file of its own: made once, 0600 from the first byte, durable before it is used."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from actod.durable import write_whole
from actod.errors import IntegrityError, TransientError


def read_or_make(path: Path, *, size_bytes: int = 32) -> bytes:
    """Return the key in `path`, making it where there is none.

    Raises IntegrityError for a file that cannot be ours, and TransientError where it cannot be made (full disk).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            key = file.read(size_bytes + 1) if stat.S_ISREG(status.st_mode) else b""
    except FileNotFoundError:
        return _made(path, size_bytes)
    except OSError as exc:  # a link, too: whoever can place one could choose the key
        raise IntegrityError("key_file_unreadable", f"{path}: {exc.strerror}. Fix: make it a file of ours") from exc
    if status.st_uid != os.geteuid():
        raise IntegrityError("key_file_foreign", f"{path} belongs to user {status.st_uid}. Fix: chown {os.geteuid()} {path}")
    if status.st_mode & 0o077:
        raise IntegrityError("key_file_open", f"{path} can be read by others. Fix: chmod 600 {path}")
    if len(key) != size_bytes:
        fix = "restore it from a copy, or remove it: a new key is made, and what it derives changes"
        raise IntegrityError("key_file_short", f"{path} must hold {size_bytes} bytes. Fix: {fix}")
    return key


def _made(path: Path, size_bytes: int) -> bytes:
    try:
        return _make(path, size_bytes)
    except OSError as exc:
        raise TransientError("key_file_unwritable", f"{path}: {exc.strerror}") from exc


def _make(path: Path, size_bytes: int) -> bytes:
    key = secrets.token_bytes(size_bytes)
    write_whole(path, key)
    return key
