"""The file's layout, and how it is opened. Everything here runs on the store's thread.

VERSION counts the layouts that the version of actod before could not use. What it can pass over does not raise it: another
table, another row of `state`, another member of its JSON. So an update can be taken back; a file that really is beyond a
version is refused by name and left alone, never repaired. A new VERSION is reached as a repair is: the rows are copied to a
new file, which gets the name once it is whole and synced (`repair.py`), so that a power cut leaves the one or the other.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from actod.durable import sync_folder
from actod.errors import IntegrityError
from actod.shares import Shares
from actod.store.faults import DamageError

DATABASE_NAME = "spool.db"
VERSION = 1
APPLICATION_ID = 0x41637400  # "Act", and the version once more: a flipped bit is no newer actod
PAGE_BYTES = 512  # a commit rewrites a page for each table it touches: small pages wear the card least
CHECKPOINT_PAGES = 8192  # 4 MiB of WAL: what is journaled and sealed meanwhile is checkpointed once
BUSY_MS = 5000  # a command that reads beside the daemon ends sooner
_FRAME_BYTES = PAGE_BYTES + 24  # in the WAL, https://www.sqlite.org/fileformat2.html#the_write_ahead_log
_CACHE_KIB = 1024

OUTBOX, ARCHIVE, QUARANTINE = 0, 1, 2  # bundle.place
PLACES = {OUTBOX: "outbox", ARCHIVE: "archive", QUARANTINE: "quarantine"}

# A journal row's body stays where it is when the bundle is sealed and archived: the bundle names its chunks, and holds
# only the bytes of the envelope before (head) and after (tail) the events. Each event is written once.
# `at` packs a compound key into the rowid: a row of a WITHOUT ROWID table spills into a second page at 231 bytes.
TABLES = {
    "state": "at INTEGER PRIMARY KEY, value TEXT NOT NULL, digest BLOB NOT NULL",
    "identity": "digest TEXT PRIMARY KEY, robot_id TEXT NOT NULL, mark BLOB NOT NULL",
    "chain": "robot TEXT PRIMARY KEY, seq INTEGER NOT NULL, head TEXT NOT NULL, mark BLOB NOT NULL",
    "loss": "reason TEXT, class TEXT, route TEXT, count INTEGER NOT NULL, first_wall INTEGER NOT NULL,"
    " last_wall INTEGER NOT NULL, mark BLOB NOT NULL, PRIMARY KEY (reason, class, route)",
    "recent": "id INTEGER PRIMARY KEY, entries BLOB NOT NULL",
    "journal": "at INTEGER PRIMARY KEY, id INTEGER NOT NULL, key TEXT NOT NULL, boot_id TEXT NOT NULL,"
    " count INTEGER NOT NULL, bytes INTEGER NOT NULL, masked TEXT NOT NULL, marks TEXT NOT NULL,"
    " first_wall INTEGER NOT NULL, last_wall INTEGER NOT NULL, monotonic INTEGER NOT NULL,"
    " digest BLOB NOT NULL, mark BLOB NOT NULL",
    "chunk": "id INTEGER PRIMARY KEY, body BLOB NOT NULL",
    "wrap": "id INTEGER PRIMARY KEY, head BLOB NOT NULL, tail BLOB NOT NULL",
    "bundle": "at INTEGER PRIMARY KEY, proof_id TEXT NOT NULL, payload_hash TEXT NOT NULL, robot TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, seq INTEGER NOT NULL, device_seq INTEGER NOT NULL, count INTEGER NOT NULL,"
    " size INTEGER NOT NULL, losses INTEGER NOT NULL, chunks TEXT NOT NULL, sealed_wall INTEGER NOT NULL,"
    " settled_wall INTEGER, note TEXT, digest BLOB NOT NULL, mark BLOB NOT NULL",
}
_WITHOUT_ROWID = {"identity", "chain", "loss"}
STATE_ROWS = {"store": 1, "counters": 2, "memory": 3}  # the last only once there is something to remember
STREAM_SHIFT = 44  # journal.at = stream << 44 | id
RANK_SHIFT, PLACE_SHIFT = 56, 58  # bundle.at = place << 58 | rank << 56 | id


def create(path: Path) -> sqlite3.Connection:
    """Make an empty store at `path`, 0600 from the first byte. The file must not exist."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = _open(path)
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum=NONE")
    connection.execute("PRAGMA journal_mode=WAL")
    _harden(connection)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID + VERSION}")
    connection.execute(f"PRAGMA user_version={VERSION}")
    for statement in _statements():
        connection.execute(statement)
    connection.execute("COMMIT")
    return connection


def connect(path: Path, shares: Shares) -> sqlite3.Connection:
    """Open an existing store, held to its shares. Raises DamageError if it is not whole, IntegrityError if newer."""
    if not path.exists():
        raise DamageError("store_damaged", "the file is gone")
    connection = _open(path)
    try:
        check_schema(connection)
        _harden(connection)
        _limit(connection, shares)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing store to read it, beside a daemon that writes, or alone. Raises as `connect`."""
    alone = not path.with_name(path.name + "-wal").exists()
    connection = _open(path, "?mode=ro&immutable=1" if alone else "?mode=ro")
    try:
        connection.execute("PRAGMA query_only=ON")
        check_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_schema(connection: sqlite3.Connection) -> None:
    """Compare application id, version and tables with what this version makes."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID + version
    if ours and version > VERSION:
        raise IntegrityError("store_newer", f"schema {version} was made by a newer actod. Fix: install that version")
    found = {row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}
    if not ours or version != VERSION or not found >= set(_statements()):
        raise DamageError("store_damaged", "the tables are not those that actod makes")


def sync_way(folder: Path) -> None:
    """Make the names that lead to `folder` durable: whoever made it may have made those above it too."""
    device = folder.stat().st_dev
    for parent in folder.resolve().parents:
        if parent.stat().st_dev != device:
            return  # a mount point was there before us
        with contextlib.suppress(PermissionError):  # one that we cannot read we cannot have made
            sync_folder(parent)


def _statements() -> list[str]:
    return [
        f"CREATE TABLE {name} ({columns})" + (" WITHOUT ROWID" if name in _WITHOUT_ROWID else "")
        for name, columns in TABLES.items()
    ]


def _open(path: Path, query: str = "?mode=rw") -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}{query}", uri=True, isolation_level=None, timeout=BUSY_MS / 1000, cached_statements=64
    )
    connection.text_factory = _text
    return connection


def _limit(connection: sqlite3.Connection, shares: Shares) -> None:
    """Hold the file and its WAL to their shares: SQLite itself refuses what would go beyond the first."""
    pages = min(CHECKPOINT_PAGES, shares.wal // 2 // _FRAME_BYTES)
    connection.execute(f"PRAGMA wal_autocheckpoint={pages}")
    connection.execute(f"PRAGMA journal_size_limit={min(2 * CHECKPOINT_PAGES * PAGE_BYTES, shares.wal // 2)}")
    connection.execute(f"PRAGMA max_page_count={shares.database // PAGE_BYTES}")


def _harden(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    connection.execute("PRAGMA secure_delete=OFF")  # Debian's default would write each freed page once more
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA temp_store=MEMORY")


def live_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages in use; free ones are used again, as the file itself never shrinks."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(pages - free) * PAGE_BYTES


def _text(raw: bytes) -> str:
    """Damaged text is still text: its digest tells."""
    return raw.decode("utf-8", "surrogateescape")
