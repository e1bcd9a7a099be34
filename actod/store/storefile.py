"""The open file: its lock, what of it is kept in memory, transactions, witness and repair.

Runs on one thread; knows nothing of asyncio. What can be done with it stands in `sqlite.py`.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import structlog

from actod.config import SealConfig, StoreConfig
from actod.durable import sync_folder
from actod.errors import IntegrityError
from actod.model import Bundle, Group, Loss, TrafficClass
from actod.ports import Clock
from actod.store import repair
from actod.store.checkpoint import Known, full_every
from actod.store.faults import DamageError, translated
from actod.store.journal import Cut, Journal
from actod.store.ledger import Chain, Ledger, robot_key
from actod.store.lock import FolderLock
from actod.store.outbox import Outbox, Sealed
from actod.store.recent import Recent
from actod.store.salvage import Repair
from actod.store.schema import DATABASE_NAME, OUTBOX, connect, sync_way

T = TypeVar("T")
Witness = Callable[[str, Mapping[str, Any]], None]

_log = structlog.get_logger(__name__)
_CHECKED_BYTES = 16 << 20  # after an unclean stop: what is checked whole before the start, 0.1 s on a Raspberry Pi
_COUNTED = 20_000  # bundles that are counted at the start; what is missing beyond is noticed when its turn comes


class StoreFile:
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
        self._folder, self._seal, self._clock, self._witness = folder, seal, clock, witness
        self._compress = compress
        self._most_bytes = store.max_bytes * 3 // 4  # the rest: WAL, audit log, damaged stores
        self._archive_bytes = store.max_bytes // 4
        self._known = Known.read(known)
        self._device_id = device_id
        self._lines = 0
        self._connection: sqlite3.Connection | None = None
        self._damage: Exception | None = None
        self._mended = False
        self.genesis = False
        self.repaired: Repair | None = None
        with translated():
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
        repair.finish(self._folder)
        unclean = path.with_name(path.name + "-wal").exists()
        try:
            with translated():
                if not path.exists() and not unclean and not self._known:
                    self._begin(path)
                else:
                    self._connection = connect(path)
                    self._load()
                    if unclean and path.stat().st_size <= _CHECKED_BYTES:
                        self._check()
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
        self._connection = connect(path)
        self.genesis = True
        self._load()

    def _draw_device(self) -> str:
        return self._device_id or f"d-{secrets.token_hex(8)}"

    def _load(self) -> None:
        """Read what is kept in memory. Raises DamageError."""
        connection = self._db
        self._ledger, self._outbox = Ledger(connection), Outbox(connection)
        self._state = self._ledger.state("store")
        self._counters: dict[str, int] = self._ledger.state("counters")
        self.memory = self._ledger.memory()
        self._chains: dict[str, Chain] = self._ledger.chains()
        self.identities = self._ledger.identities()
        self._ledger.losses()
        self._journal = Journal(connection, self._seal, self._clock.boot_id(), compress=self._compress)
        if self._journal.messages() != self._counters.get("journal", 0):
            raise DamageError("store_damaged", "journal rows are missing")
        if self._outbox.count(OUTBOX, most=_COUNTED) < min(_COUNTED, self._counters.get("outbox", 0)):
            raise DamageError("store_damaged", "bundles are missing")
        self._recent = Recent()
        for number, entries in connection.execute("SELECT id, entries FROM recent ORDER BY id"):
            self._recent.restore(number, entries)
        self._stale = self._recent.trim()
        self._bundle: Bundle | None = None
        self._cut: Cut | None = None
        self._out: dict[str, Sealed] = {}
        self._taken: set[int] = set()
        self._deferred: dict[TrafficClass, int] = {}
        self._committed: Group | None = None
        self._put: str = ""
        self._begun: str = ""
        self._owed: tuple[str, dict[str, Any]] | None = None

    def _check(self) -> None:
        verdict = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise DamageError("store_damaged", "quick_check")

    def _mend(self, damage: Exception) -> None:
        """Repair the file and open the new one."""
        _log.error("the store is damaged and is being repaired", reason=str(damage))
        self._damage = damage
        if self._connection:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        wall_ns = self._clock.now().wall_ns
        found = repair.repair(self._folder, known=self._known, device=self._draw_device(), wall_ns=wall_ns)
        self._connection = connect(self._folder / DATABASE_NAME)
        self._load()
        self._damage, self.repaired, self._mended = None, found, True
        _log.warning("the store was repaired", kept=found.kept, lost=found.lost, new_epoch=found.new_epoch)

    def _resume(self) -> None:
        """Take over what the audit log knows better, and tell it where the store stands."""
        known, state = self._known, self._state
        if self._device_id and self._device_id != state["device"]:
            state = self._next_epoch("device_renamed") | {"device": self._device_id}
        elif known and known.device != state["device"]:
            state = self._next_epoch("foreign_audit_log", above=known.epoch)
        elif known and known.epoch > state["epoch"]:
            state = self._next_epoch("older_store", above=known.epoch)
        with self._transaction():
            if state is not self._state:
                self._enter(state)
            elif known:
                self._catch_up(known)
            self._add("opens", 1)
        self._entered(state)
        sync_folder(self._folder)
        self._tell("checkpoint.opened", self._mended_fields(), full=True)

    # -- epochs -------------------------------------------------------------------------------------------------------

    def begin_epoch(self, reason: str) -> int:
        """Begin a new epoch: every chain starts anew with the next bundle. One whose witness failed is only witnessed."""
        if self._begun == reason:
            self._begun = ""
            return self.epoch
        state = self._next_epoch(reason)
        with self._transaction():
            self._enter(state)
        self._entered(state)
        self._bundle, self._cut, self._mended = None, None, True  # what was cut for the old epoch is cut anew
        self._begun = reason
        self._tell("checkpoint.epoch", {"began": state["began"]}, full=True)
        self._begun = ""
        return self.epoch

    def _next_epoch(self, reason: str, *, above: int = 0) -> dict[str, Any]:
        """Say what the store's state is in the next epoch, and where the one before ended."""
        _seq, head = self._chains.get(robot_key(None), (0, None))
        before = {"epoch": self.epoch, "device_seq": self._counters.get("device_seq", 0), "head": head}
        epoch = max(self.epoch, above) + 1
        return {"device": self.device, "epoch": epoch, "began": {"reason": reason, "before": before}}

    def _enter(self, state: dict[str, Any]) -> None:
        """Write a new epoch down, inside the caller's transaction."""
        self._ledger.write_state("store", state)
        self._db.execute("DELETE FROM chain")
        self._counters |= {"chains": 0, "device_seq": 0}

    def _entered(self, state: dict[str, Any]) -> None:
        """Take what was committed into memory."""
        if state is not self._state:
            self._state, self._chains = state, {}

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
            self._lock.release()

    # -- the frame of each call ---------------------------------------------------------------------------------------

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise IntegrityError("store_closed")
        return self._connection

    @property
    def device(self) -> str:
        """The device's id: drawn at genesis, or configured."""
        return str(self._state["device"])

    @property
    def epoch(self) -> int:
        """The epoch: 1, and one more each time that the chains could not be continued."""
        return int(self._state["epoch"])

    @property
    def began(self) -> dict[str, Any]:
        """Why the epoch began: {reason, before: {epoch, device_seq, head of the device's chain}}; {} for the first."""
        return dict(self._state.get("began", {}))

    def run(self, work: Callable[[], T]) -> T:
        """Call a method of the store. A damaged file is repaired, and the call made once more."""
        with translated():
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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Make everything in the block durable at once, counters included; or nothing of it."""
        before = dict(self._counters)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._ledger.write_state("counters", self._counters)
            self._db.execute("COMMIT")
        except BaseException:
            self._counters = before
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _add(self, name: str, count: int) -> None:
        self._counters[name] = self._counters.get(name, 0) + count

    def _lose(self, reason: str, route: str, traffic_class: str, count: int) -> None:
        """Enter a loss, inside the transaction that brings it about."""
        now = self._clock.now().wall_ns
        self._ledger.add_losses([Loss(reason, traffic_class, route, count, now, now)])
        self._add("losses", count)

    def _tell(self, event: str, fields: Mapping[str, Any] | None = None, *, full: bool = False) -> None:
        """Have the audit log bring the new state to its disk. If it cannot, the next call begins with it."""
        self._lines += 1
        full = full or self._lines >= full_every(len(self.identities) + len(self._chains))
        self._lines = 0 if full else self._lines
        self._owed = (event, dict(fields or {}) | self._fields(full=full))
        self._settle_witness()

    def _mended_fields(self) -> dict[str, Any]:
        """Say in the audit log what a repair found, where there was one."""
        found = self.repaired
        return {"repair": {"kept": found.kept, "lost": found.lost, "new_epoch": found.new_epoch}} if found else {}

    def _settle_witness(self) -> None:
        if self._owed:
            self._witness(*self._owed)
            self._owed = None

    def _fields(self, *, full: bool) -> dict[str, Any]:
        fields: dict[str, Any] = {name: self._counters.get(name, 0) for name in ("last", "settled", "losses")}
        if full:
            fields |= {"device": self.device, "epoch": self.epoch, "device_seq": self._counters.get("device_seq", 0)}
            fields["identities"] = dict(self.identities)
            fields["heads"] = {robot: [self.epoch, *head] for robot, head in self._chains.items()}
        return fields
