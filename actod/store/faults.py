"""Where SQLite's and the kernel's errors enter: each becomes one of our verdicts, once."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from actod.errors import ActodError, IntegrityError, TransientError

_PRIMARY = 0xFF  # https://www.sqlite.org/rescode.html: the low byte is the primary code
_IOERR_SHORT_READ = 522  # a page that should be there is not: the file was truncated
_IOERR_CORRUPTFS = 8458
_TRANSIENT = {
    sqlite3.SQLITE_FULL: "disk_full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_IOERR: "io_error",
    sqlite3.SQLITE_CANTOPEN: "io_error",
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_NOMEM: "no_memory",
    sqlite3.SQLITE_PERM: "not_permitted",
}
_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_TOOBIG,  # a length that no row of ours has
    sqlite3.SQLITE_CONSTRAINT,  # a number that we never used is taken: an old page came back to life
}
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)  # the second where SQLite's message quotes a damaged schema
_READ_ONLY = "the disk of the state folder is mounted read-only"
_ERRNO = {errno.ENOSPC: "disk_full", errno.EDQUOT: "disk_full", errno.EROFS: "read_only"}


class DamageError(IntegrityError):
    """The store's file is damaged. The store repairs itself; only damage that it cannot repair is seen outside."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise TransientError, DamageError or IntegrityError for what SQLite and the kernel raise inside the block."""
    try:
        yield
    except ActodError:
        raise
    except sqlite3.Error as exc:
        raise _verdict(exc) from exc
    except UnicodeDecodeError as exc:
        raise DamageError("store_damaged", "the schema is no text") from exc
    except OSError as exc:
        raise TransientError(_ERRNO.get(exc.errno or 0, "io_error"), "the state folder cannot be written") from exc


@contextlib.contextmanager
def named(folder: Path) -> Iterator[None]:
    """Give a disk's refusal the name that tells what to do: no inodes left, or mounted read-only."""
    try:
        yield
    except TransientError as exc:
        if exc.reason not in ("disk_full", "io_error"):
            raise
        try:
            disk = os.statvfs(folder)
        except OSError:
            raise exc from None
        if disk.f_flag & os.ST_RDONLY:
            raise TransientError("read_only", _READ_ONLY) from exc
        if disk.f_files and not disk.f_favail:
            raise TransientError("no_inodes", "the disk of the state folder has no inode for another file") from exc
        raise


def refuse_read_only(folder: Path) -> None:
    """Raise TransientError("read_only") if the disk is mounted so.

    Where a disk became read-only under open files, ext4 may say of each fsync that it is done, and write nothing.
    """
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise TransientError("read_only", _READ_ONLY)


def _verdict(exc: sqlite3.Error) -> ActodError:
    code = getattr(exc, "sqlite_errorcode", 0)  # absent where Python itself, not SQLite, found the fault
    name = getattr(exc, "sqlite_errorname", type(exc).__name__)
    if code & _PRIMARY in _DAMAGE or code in (_IOERR_SHORT_READ, _IOERR_CORRUPTFS):
        return DamageError("store_damaged", name)
    if reason := _TRANSIENT.get(code & _PRIMARY):
        return TransientError(reason, name)
    return IntegrityError("store_failed", name)
