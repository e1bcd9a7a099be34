"""Repair: build a new store from each good row of a damaged one, count what is gone, and put it in its place.

The order makes every crash point safe: the new file is written and fsynced under a name that says it is not whole
(`spool.building`), renamed to `spool.repaired.<n>`, and only then are the damaged files moved to `damaged/<n>/` and
the new one takes their name. A start that finds `spool.repaired.<n>` goes on from there; before that name exists
nothing of the old store was touched, and the repair begins anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actod.durable import sync_folder
from actod.errors import ActodError
from actod.shares import Shares
from actod.store.checkpoint import Known
from actod.store.faults import UNREADABLE
from actod.store.salvage import Rebuild, Repair
from actod.store.schema import DATABASE_NAME, PAGE_BYTES, check_schema, create

BUILDING = "spool.building"
_REPAIRED, _DAMAGED = "spool.repaired.", "damaged"
_SIDES = ("-wal", "-shm", "-journal")
_INTERIOR = 5  # a page of a table's tree that points to pages
_NAME_BYTES = 4096  # what a file may take beside its blocks: its entry in the folder, and the folder's own growth


def finish(folder: Path, shares: Shares) -> None:
    """Go on with a repair that was cut off after its new file was whole; keep what was damaged as far as its share goes."""
    for repaired in sorted(folder.glob(f"{_REPAIRED}*")):
        if repaired.name.endswith(_SIDES):
            continue
        number = repaired.name.removeprefix(_REPAIRED)
        target = folder / _DAMAGED / number
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for side in (*_SIDES, ""):
            with contextlib.suppress(FileNotFoundError):
                (folder / (DATABASE_NAME + side)).rename(target / (DATABASE_NAME + side))
        sync_folder(target)
        sync_folder(folder)
        repaired.rename(folder / DATABASE_NAME)
        sync_folder(folder)
        _keep_newest(folder, most_bytes=shares.database)


def _keep_newest(folder: Path, *, most_bytes: int) -> None:
    """Remove what was set aside before, oldest first, until the rest fits; of one store the WAL goes before the file."""
    files = [path for path in (folder / _DAMAGED).rglob("*") if path.is_file()]
    files.sort(key=lambda path: (_number(path), path.name == DATABASE_NAME, path.name))
    total = sum(_disk_bytes(path) for path in files)
    for path in files:
        if total <= most_bytes:
            break
        total -= _disk_bytes(path)
        path.unlink()
    for emptied in (path for path in (folder / _DAMAGED).glob("*/") if not any(path.iterdir())):
        emptied.rmdir()


def _number(path: Path) -> int:
    """Return which repair set a file aside; 0 for pieces of one."""
    return int(path.parent.name) if path.parent.name.isdigit() else 0


def _disk_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512 + _NAME_BYTES


def repair(folder: Path, *, known: Known | None, device: str, wall_ns: int, shares: Shares, archived: bool = True) -> Repair:
    """Build and install the new store. `device` names it where neither the old one nor `known` can.

    Without `archived`, and where the disk is too full for it, what was delivered is left out; what earlier repairs set
    aside goes before. Raises sqlite3.Error or OSError if that does not help: nothing was changed.
    """
    damaged = folder / _DAMAGED
    damaged.mkdir(mode=0o700, exist_ok=True)
    number = 1 + max((int(path.name) for path in damaged.iterdir() if path.name.isdigit()), default=0)
    present = sum(_disk_bytes(path) for path in _files_of(folder / DATABASE_NAME))
    _keep_newest(folder, most_bytes=max(0, 2 * shares.database + shares.wal - 2 * present))
    for again in (True, False):
        result = Repair(number)
        try:
            with building(folder) as new, contextlib.closing(_open_damaged(folder / DATABASE_NAME, shares)) as old:
                Rebuild(old, new, result).run(known=known, device=device, wall_ns=wall_ns, archived=archived)
        except (sqlite3.Error, OSError) as exc:
            if not again or not _is_full(exc):
                raise
            archived = False
            _keep_newest(folder, most_bytes=0)
        else:
            break
    (folder / BUILDING).rename(folder / f"{_REPAIRED}{number}")
    sync_folder(folder)
    finish(folder, shares)
    return result


def _files_of(path: Path) -> list[Path]:
    return [file for side in ("", *_SIDES) if (file := path.with_name(path.name + side)).exists()]


def _is_full(exc: sqlite3.Error | OSError) -> bool:
    if isinstance(exc, OSError):
        return exc.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


@contextlib.contextmanager
def building(folder: Path) -> Iterator[sqlite3.Connection]:
    """Fill an empty store under a name that says it is not whole; it is synced when the block ends."""
    for stale in folder.glob(f"{BUILDING}*"):
        stale.unlink()
    new = create(folder / BUILDING)
    try:
        new.execute("PRAGMA journal_mode=OFF")  # the file counts only once it is whole and synced
        new.execute("PRAGMA synchronous=OFF")
        new.execute("BEGIN")
        yield new
        new.execute("COMMIT")
        new.execute("PRAGMA journal_mode=WAL")
        new.close()
    except BaseException:
        new.close()
        with contextlib.suppress(OSError):
            (folder / BUILDING).unlink()  # on a full disk it would keep the next attempt from its room
        raise
    with (folder / BUILDING).open("rb") as file:
        os.fsync(file.fileno())


def keep_bytes(folder: Path, name: str, data: Any, shares: Shares) -> None:
    """Keep damaged content for an expert, if the disk and the share of what is damaged have room."""
    damaged = folder / _DAMAGED
    with contextlib.suppress(OSError):
        damaged.mkdir(mode=0o700, exist_ok=True)
        held = sum(_disk_bytes(path) for path in damaged.rglob("*") if path.is_file())
        if not isinstance(data, bytes) or held + len(data) + 2 * _NAME_BYTES > shares.database:
            return
        descriptor = os.open(damaged / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def _open_damaged(path: Path, shares: Shares) -> sqlite3.Connection:
    """Open what is there; an empty store in memory where there is nothing that SQLite can open."""
    if not path.exists():
        return _connect("file::memory:")
    source = f"{path.absolute().as_uri()}?mode=rw"
    connection = _connect(source)
    with contextlib.suppress(ActodError, *UNREADABLE):
        check_schema(connection)
        return connection
    connection.close()
    _restore_schema(path, shares)
    return _connect(source)


def _connect(source: str) -> sqlite3.Connection:
    connection = sqlite3.connect(source, uri=True, isolation_level=None, timeout=5.0)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    with contextlib.suppress(*UNREADABLE):
        connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def _restore_schema(path: Path, shares: Shares) -> None:
    """Put the pages that say where the tables are back into a file that does not say it any more.

    They are the same in every store, as `create` makes them: without them not one row could be read. What stood there is
    kept. Rows of a store that was laid out otherwise would not match their digests.
    """
    new = path.with_name(BUILDING).read_bytes()
    size = max(path.stat().st_size, len(new)) // PAGE_BYTES
    with path.open("r+b") as file:
        for number in _schema_pages(new):
            page = bytearray(new[(number - 1) * PAGE_BYTES : number * PAGE_BYTES])
            if number == 1:
                page[18:20] = b"\2\2"  # it is in WAL mode, https://www.sqlite.org/fileformat2.html#the_database_header
                page[28:32] = size.to_bytes(4)
            file.seek((number - 1) * PAGE_BYTES)
            keep_bytes(path.parent, f"page-{number}", file.read(PAGE_BYTES), shares)
            file.seek((number - 1) * PAGE_BYTES)
            file.write(page)


def _schema_pages(data: bytes) -> list[int]:
    """Return the pages of the tree of tables, whose root is page 1 behind the header: itself, or it and its leaves."""
    if data[100] != _INTERIOR:
        return [1]
    cells = range(112, 112 + 2 * int.from_bytes(data[103:105]), 2)
    pointers = [int.from_bytes(data[cell : cell + 2]) for cell in cells] + [108]
    return [1, *(int.from_bytes(data[at : at + 4]) for at in pointers)]
