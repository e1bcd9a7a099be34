"""The small tables: state, counters, chain heads, identities, and the losses that no bundle carried yet.

Each row carries a digest, since SQLite has none: a flipped bit in a chain head must not be signed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from actod.model import Loss
from actod.store.chunk import digest
from actod.store.faults import DamageError
from actod.store.schema import STATE_ROWS

MAX_LOSS_LINES = 64  # in one bundle; the rest waits for the next

Chain = tuple[int, str]  # (seq, payload_hash) of the last bundle


def robot_key(robot_id: str | None) -> str:
    """Write a chain's name as JSON text; null is the device's own."""
    return orjson.dumps(robot_id).decode()


class Ledger:
    """Reads and writes the small tables of one connection. Writes happen inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def state(self, key: str) -> dict[str, Any]:
        """Return a state row. Raises DamageError if it is missing or damaged."""
        row = self._connection.execute("SELECT value, digest FROM state WHERE at=?", (STATE_ROWS[key],)).fetchone()
        if row is None or digest((key, row[0])) != row[1]:
            raise DamageError("store_damaged", f"state row {key}")
        value: dict[str, Any] = orjson.loads(row[0])
        return value

    def memory(self) -> dict[str, Any]:
        """Return what collect remembers, {} before its first commit. Raises DamageError."""
        there = self._connection.execute("SELECT 1 FROM state WHERE at=?", (STATE_ROWS["memory"],)).fetchone()
        return self.state("memory") if there else {}

    def write_state(self, key: str, value: Mapping[str, Any]) -> None:
        """Replace a state row."""
        text = orjson.dumps(value).decode()
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?,?,?)", (STATE_ROWS[key], text, digest((key, text))))

    def chains(self) -> dict[str, Chain]:
        """Return each chain's (seq, head) by robot key. Raises DamageError."""
        return {robot: (seq, head) for robot, seq, head in self._checked("SELECT robot, seq, head, mark FROM chain")}

    def write_chain(self, robot: str, seq: int, head: str) -> None:
        """Advance one chain."""
        row = (robot, seq, head)
        self._connection.execute("INSERT OR REPLACE INTO chain VALUES (?,?,?,?)", (*row, digest(row)))

    def identities(self) -> dict[str, str]:
        """Return the robot ids drawn so far, by keyed digest. Raises DamageError."""
        return dict(self._checked("SELECT digest, robot_id, mark FROM identity"))

    def write_identities(self, identities: Mapping[str, str]) -> None:
        """Add robot ids; one that is known stays as it is."""
        rows = [(*item, digest(item)) for item in identities.items()]
        self._connection.executemany("INSERT OR IGNORE INTO identity VALUES (?,?,?)", rows)

    def losses(self, limit: int = -1) -> list[Loss]:
        """Return the pending lines, oldest first. Raises DamageError."""
        columns = "reason, class, route, count, first_wall, last_wall, mark"
        query = f"SELECT {columns} FROM loss ORDER BY first_wall LIMIT ?"  # noqa: S608 - fixed words
        return [Loss(*row) for row in self._checked(query, (limit,))]

    def add_losses(self, losses: Iterable[Loss]) -> None:
        """Count losses in, merging those of one (reason, class, route)."""
        for loss in losses:
            old = self._pending(loss)
            if old:
                first, last = min(old.first_wall_ns, loss.first_wall_ns), max(old.last_wall_ns, loss.last_wall_ns)
                self._write(loss, old.count + loss.count, first, last)
            else:
                self._write(loss, loss.count, loss.first_wall_ns, loss.last_wall_ns)

    def take_losses(self, losses: Iterable[Loss]) -> bool:
        """Take out what a sealed bundle carries; what was counted since stays. False if it is not all there."""
        whole = True
        for loss in losses:
            old = self._pending(loss)
            if old is None or old.count < loss.count:
                whole = False
            elif old.count > loss.count:
                self._write(loss, old.count - loss.count, max(loss.last_wall_ns, old.first_wall_ns), old.last_wall_ns)
            else:
                where = "WHERE reason=? AND class=? AND route=?"
                self._connection.execute(
                    f"DELETE FROM loss {where}",  # noqa: S608 - fixed words
                    (loss.reason, loss.traffic_class, loss.route),
                )
        return whole

    def _pending(self, loss: Loss) -> Loss | None:
        key = (loss.reason, loss.traffic_class, loss.route)
        query = (
            "SELECT reason, class, route, count, first_wall, last_wall, mark FROM loss"
            " WHERE reason=? AND class=? AND route=?"
        )
        return next((Loss(*row) for row in self._checked(query, key)), None)

    def _write(self, loss: Loss, count: int, first_wall_ns: int, last_wall_ns: int) -> None:
        key = (str(loss.reason), str(loss.traffic_class), str(loss.route))  # an enum's repr would change the digest
        row = (*key, count, first_wall_ns, last_wall_ns)
        self._connection.execute("INSERT OR REPLACE INTO loss VALUES (?,?,?,?,?,?,?)", (*row, digest(row)))

    def _checked(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        rows = self._connection.execute(query, parameters).fetchall()
        for row in rows:
            if digest(row[:-1]) != row[-1]:
                raise DamageError("store_damaged", "a row does not match its digest")
        return [row[:-1] for row in rows]
