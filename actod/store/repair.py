"""Repair: build a new store from each good row of a damaged one, count what is gone, and put it in its place.

The order makes every crash point safe: the new file is written and fsynced under a name that says it is not whole
(`spool.building`), renamed to `spool.repaired.<n>`, and only then are the damaged files moved to `damaged/<n>/` and
the new one takes their name. A start that finds `spool.repaired.<n>` goes on from there; before that name exists
nothing of the old store was touched, and the repair begins anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actod.durable import sync_folder
from actod.errors import ActodError
from actod.store.checkpoint import Known
from actod.store.faults import UNREADABLE
from actod.store.salvage import Rebuild, Repair
from actod.store.schema import DATABASE_NAME, PAGE_BYTES, check_schema, create

BUILDING = "spool.building"
_REPAIRED, _DAMAGED = "spool.repaired.", "damaged"
_SIDES = ("-wal", "-shm", "-journal")
_INTERIOR = 5  # a page of a table's tree that points to pages
_KEPT = 3  # damaged stores that are kept for an expert


def finish(folder: Path) -> None:
    """Go on with a repair that was cut off after its new file was whole."""
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
        kept = [path for path in (folder / _DAMAGED).iterdir() if path.name.isdigit()]
        for old in sorted(kept, key=lambda path: int(path.name))[:-_KEPT]:
            shutil.rmtree(old)


def repair(folder: Path, *, known: Known | None, device: str, wall_ns: int) -> Repair:
    """Build and install the new store. `device` names it where neither the old one nor `known` can.

    Raises sqlite3.Error or OSError (full disk): nothing was changed.
    """
    damaged = folder / _DAMAGED
    damaged.mkdir(mode=0o700, exist_ok=True)
    number = 1 + max((int(path.name) for path in damaged.iterdir() if path.name.isdigit()), default=0)
    result = Repair(number)
    with building(folder) as new, contextlib.closing(_open_damaged(folder / DATABASE_NAME)) as old:
        Rebuild(old, new, result).run(known=known, device=device, wall_ns=wall_ns)
    (folder / BUILDING).rename(folder / f"{_REPAIRED}{number}")
    sync_folder(folder)
    finish(folder)
    return result


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
    finally:
        new.close()
    with (folder / BUILDING).open("rb") as file:
        os.fsync(file.fileno())


def keep_bytes(folder: Path, name: str, data: Any) -> None:
    """Keep damaged content for an expert, if the disk has room."""
    damaged = folder / _DAMAGED
    with contextlib.suppress(OSError):
        damaged.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(damaged / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data if isinstance(data, bytes) else b"")


def _open_damaged(path: Path) -> sqlite3.Connection:
    """Open what is there; an empty store in memory where there is nothing that SQLite can open."""
    if not path.exists():
        return _connect("file::memory:")
    source = f"{path.absolute().as_uri()}?mode=rw"
    connection = _connect(source)
    with contextlib.suppress(ActodError, *UNREADABLE):
        check_schema(connection)
        return connection
    connection.close()
    _restore_schema(path)
    return _connect(source)


def _connect(source: str) -> sqlite3.Connection:
    connection = sqlite3.connect(source, uri=True, isolation_level=None, timeout=5.0)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    with contextlib.suppress(*UNREADABLE):
        connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def _restore_schema(path: Path) -> None:
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
            keep_bytes(path.parent, f"page-{number}", file.read(PAGE_BYTES))
            file.seek((number - 1) * PAGE_BYTES)
            file.write(page)


def _schema_pages(data: bytes) -> list[int]:
    """Return the pages of the tree of tables, whose root is page 1 behind the header: itself, or it and its leaves."""
    if data[100] != _INTERIOR:
        return [1]
    cells = range(112, 112 + 2 * int.from_bytes(data[103:105]), 2)
    pointers = [int.from_bytes(data[cell : cell + 2]) for cell in cells] + [108]
    return [1, *(int.from_bytes(data[at : at + 4]) for at in pointers)]
