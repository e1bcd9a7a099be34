"""The open file: its lock, its opening, its repair. What every call shares stands in `frame.py`.

Runs on one thread; knows nothing of asyncio. What can be done with it stands in `sqlite.py`.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog

from actod.config import SealConfig, StoreConfig
from actod.durable import sync_folder
from actod.errors import IntegrityError
from actod.ports import Clock
from actod.store import repair
from actod.store.checkpoint import Known
from actod.store.faults import DamageError, named, translated
from actod.store.frame import StoreFrame, Witness
from actod.store.journal import Journal
from actod.store.ledger import Ledger
from actod.store.lock import FolderLock
from actod.store.outbox import Outbox
from actod.store.recent import Recent
from actod.store.salvage import Repair
from actod.store.schema import DATABASE_NAME, PLACES, connect, live_bytes, sync_way

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_CHECKED_BYTES = 16 << 20  # after an unclean stop: what is checked whole before the start, 0.1 s on a Raspberry Pi
_COUNTED = 20_000  # bundles that are counted at the start; what is missing beyond is noticed when its turn comes


class StoreFile(StoreFrame):
    """Holds the folder from construction to `close`. Arguments are those of `SqliteSpool.open`."""

    def __init__(
        self,
        *,
        folder: Path,
        seal: SealConfig,
        store: StoreConfig,
        clock: Clock,
        witness: Witness,
        device_id: str = "",
        known: Mapping[str, Any] | None = None,
        compress: bool = True,
    ) -> None:
        super().__init__(folder=folder, seal=seal, store=store, clock=clock, witness=witness, compress=compress)
        self._known = Known.read(known)
        self._device_id, self._archived = device_id, True
        with named(folder), translated():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            self._lock = FolderLock(folder)
            try:
                self._open()
            except BaseException:
                if self._connection:
                    self._connection.close()
                self._lock.release()
                raise

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        path = self._folder / DATABASE_NAME
        repair.finish(self._folder, self._shares)
        unclean = path.with_name(path.name + "-wal").exists()
        try:
            with translated():
                if not path.exists() and not unclean and not self._known and not self._lock.noted()[1]:
                    self._begin(path)
                else:
                    self._connection = connect(path, self._shares)
                    self._load()
                    if unclean and path.stat().st_size <= _CHECKED_BYTES:
                        self._check()
                    self._keep_to_share(path)
                self._resume()
        except IntegrityError as exc:
            if exc.reason not in ("store_damaged", "store_failed"):  # SQLite has no better word for some damage
                raise
            self._mend(exc)
            self._resume()

    def _begin(self, path: Path) -> None:
        """Genesis: a new store, a new device id, the first epoch; whole before it has its name."""
        sync_way(self._folder)  # before the name is there: a kill after it would never come back to this
        with repair.building(self._folder) as connection:
            ledger = Ledger(connection)
            ledger.write_state("store", {"device": self._draw_device(), "epoch": 1})
            ledger.write_state("counters", {})
        (self._folder / repair.BUILDING).rename(path)
        sync_folder(self._folder)
        self._connection = connect(path, self._shares)
        self.genesis = True
        self._load()

    def _draw_device(self) -> str:
        return self._device_id or self._lock.noted()[0] or f"d-{secrets.token_hex(8)}"

    def _load(self) -> None:
        """Read what is kept in memory. Raises DamageError."""
        connection = self._db
        self._ledger, self._outbox = Ledger(connection), Outbox(connection)
        self._state = self._ledger.state("store")
        self._counters = self._ledger.state("counters")
        self.heard = (self._counters.get("audit_n", 0), self._counters.get("audit_mark", 0))
        self._chains = self._ledger.chains()
        self.memory = self._ledger.memory()
        self.identities = self._ledger.identities()
        self._ledger.losses()
        self._journal = Journal(connection, self._seal, self._clock.boot_id(), compress=self._compress)
        if self._journal.messages() != self._counters.get("journal", 0):
            raise DamageError("store_damaged", "journal rows are missing")
        for place, name in PLACES.items():
            if self._outbox.count(place, most=_COUNTED) < min(_COUNTED, self._counters.get(name, 0)):
                raise DamageError("store_damaged", "bundles are missing")
        self._recent = Recent()
        for number, entries in connection.execute("SELECT id, entries FROM recent ORDER BY id"):
            self._recent.restore(number, entries)
        self._stale = self._recent.trim()
        self._forget_all()
        self._begun, self._owed = "", None

    def _check(self) -> None:
        verdict = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise DamageError("store_damaged", "quick_check")

    def _keep_to_share(self, path: Path) -> None:
        """Build a file anew that a larger cap let grow, without its archive: a database never shrinks by itself."""
        size = path.stat().st_size
        if size <= self._shares.database:
            return
        if self._counters.get("archive", 0) or live_bytes(self._db) < size * 3 // 4:
            self._archived = False
            raise DamageError("store_damaged", "the file is larger than its share of store.max_bytes")
        _log.warning("more is queued than store.max_bytes allows now; nothing is taken in until it is delivered")

    def _mend(self, damage: Exception) -> None:
        """Repair the file and open the new one."""
        _log.error("the store is damaged and is being repaired", reason=str(damage))
        self._damage = damage
        if self._connection:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._cold.close()
        wall_ns = self._clock.now().wall_ns
        found = repair.repair(
            self._folder,
            known=self._known,
            device=self._draw_device(),
            wall_ns=wall_ns,
            shares=self._shares,
            archived=self._archived,
        )
        self._archived = True
        self._connection = connect(self._folder / DATABASE_NAME, self._shares)
        self._load()
        self._damage, self.repaired, self._mended = None, found, True
        self._tally.damaged(found.lost)
        _log.warning("the store was repaired", kept=found.kept, lost=found.lost, new_epoch=found.new_epoch)

    def _resume(self) -> None:
        """Take over what the audit log knows better, and tell it where the store stands."""
        known, state = self._known, self._state
        _device, noted = self._lock.noted()
        if self._device_id and self._device_id != state["device"]:
            state = self._next_epoch("device_renamed") | {"device": self._device_id}
        elif known and known.device != state["device"]:
            state = self._next_epoch("foreign_audit_log", above=known.epoch)
        elif known and known.epoch > state["epoch"]:
            state = self._next_epoch("older_store", above=known.epoch)
        elif noted > state["epoch"] or (noted == state["epoch"] and self.repaired and self.repaired.new_epoch):
            state = self._next_epoch("damaged" if self.repaired else "older_store", above=noted)
        with self._transaction():
            if state is not self._state:
                self._enter(state)
            elif known:
                self._catch_up(known)
            self._add("opens", 1)
        self._entered(state)
        sync_folder(self._folder)
        self._lock.note(self.device, self.epoch)
        self._tell("checkpoint.opened", self._mended_fields(), full=True)

    def _catch_up(self, known: Known) -> None:
        """Go on from the audit log where the file is older (its WAL is gone, it was restored); count what is gone."""
        lost = known.last - self._counters.get("last", 0)
        if lost > 0:
            untold = known.losses - self._counters.get("losses", 0)
            self._lose("damaged", "_store", "normal", lost)
            if untold > 0:
                self._lose("damaged", "_ledger", "normal", untold)
            self._counters["last"] = known.last
            self._add("settled", lost)
            self.repaired = Repair(0, lost=lost)
        forgotten = {digest: robot for digest, robot in known.identities.items() if digest not in self.identities}
        self._ledger.write_identities(forgotten)
        self.identities |= forgotten
        self._counters["device_seq"] = max(self._counters.get("device_seq", 0), known.device_seq)
        for robot, head in known.heads.items():
            if head > self._chains.get(robot, (0, "")):
                self._chains[robot] = head
                self._ledger.write_chain(robot, *head)
        self._counters["chains"] = len(self._chains)

    def close(self) -> None:
        """Checkpoint, close the file, give the folder up."""
        try:
            with translated():
                self._db.close()
        finally:
            self._cold.close()
            self._lock.release()

    def run(self, work: Callable[[], T]) -> T:
        """Call a method of the store. A damaged file is repaired, and the call made once more."""
        with named(self._folder), translated():
            if self._damage is None:
                try:
                    with translated():
                        self._settle_witness()
                        return work()
                except DamageError as exc:
                    self._known = Known.read(self._fields(full=True))  # memory knows what was committed
                    self._damage = exc
            self._mend(self._damage)
            self._tell("checkpoint.opened", self._mended_fields(), full=True)
            return work()
