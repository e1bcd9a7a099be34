"""The frame of every call on the store: what is kept in memory, transactions, the WAL's share, and the witness.

Runs on one thread; knows nothing of asyncio. How the file is opened and mended stands in `storefile.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from actod.config import SealConfig, StoreConfig
from actod.errors import IntegrityError, TransientError
from actod.model import Bundle, Loss, TrafficClass
from actod.ports import Clock
from actod.store.archive import ColdReads
from actod.store.checkpoint import Known, full_every
from actod.store.faults import refuse_read_only
from actod.store.journal import Cut, Journal
from actod.store.ledger import Chain, Ledger, robot_key
from actod.store.lock import FolderLock
from actod.store.outbox import Outbox, Sealed
from actod.store.recent import Recent
from actod.store.salvage import Repair
from actod.store.schema import BUSY_MS, DATABASE_NAME
from actod.store.tally import Tally
from actod.store.wear import Wear

Witness = Callable[[str, Mapping[str, Any]], tuple[int, int] | None]

_SHORT_MS = 200  # for a reader to end: the next attempt is a second away


class StoreFrame:
    """What `StoreFile` opens. `_bundle` and `_cut` are what was handed out to be sealed."""

    _state: dict[str, Any]
    _counters: dict[str, int]
    _chains: dict[str, Chain]
    _ledger: Ledger
    _outbox: Outbox
    _journal: Journal
    _recent: Recent
    _stale: list[int]
    _lock: FolderLock
    identities: dict[str, str]
    memory: dict[str, Any]

    def __init__(
        self, *, folder: Path, seal: SealConfig, store: StoreConfig, clock: Clock, witness: Witness, compress: bool
    ) -> None:
        self._folder, self._seal, self._clock, self._witness = folder, seal, clock, witness
        self._config, self._shares = store, store.shares
        self._compress = compress
        self._known: Known | None = None
        self._lines = 0
        self._connection: sqlite3.Connection | None = None
        self._damage: Exception | None = None
        self._mended = False
        self._begun = ""
        self.genesis = False
        self.heard = (0, 0)  # the line of the audit log, (n, mark), that the store was told of last before it was opened
        self.repaired: Repair | None = None
        self._owed: tuple[str, dict[str, Any]] | None = None
        self._cold = ColdReads((folder / DATABASE_NAME, folder / f"{DATABASE_NAME}-wal"))
        self._wear, self._tally = Wear(clock.now().monotonic_ns), Tally()
        self._forget_all()

    def _forget_all(self) -> None:
        """Let go of what was handed out from a file that is no longer."""
        self._bundle: Bundle | None = None
        self._cut: Cut | None = None
        self._out: dict[str, Sealed] = {}
        self._taken: set[int] = set()
        self._deferred: dict[TrafficClass, int] = {}
        self._put: str = ""

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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Make everything in the block durable at once, counters included; or nothing of it."""
        refuse_read_only(self._folder)
        before = dict(self._counters)
        self._tally.begin()
        self._hold_wal()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._ledger.write_state("counters", self._counters)
            self._db.execute("COMMIT")
            self._tally.commit()
        except BaseException:
            self._counters = before
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def _hold_wal(self) -> None:
        """See that the WAL has room for a transaction. A reader that stays keeps it from starting over: it is waited for."""
        try:
            size = (self._folder / f"{DATABASE_NAME}-wal").stat().st_size
        except FileNotFoundError:
            return
        if size <= self._shares.wal - self._shares.transaction:
            return
        self._db.execute(f"PRAGMA busy_timeout={_SHORT_MS}")
        try:
            blocked, _frames, _moved = self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        finally:
            self._db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        if blocked:
            raise TransientError("wal_held", "a reader keeps the write-ahead log from starting over, and it has its share")

    def _add(self, name: str, count: int) -> None:
        self._counters[name] = self._counters.get(name, 0) + count

    def _lose(self, reason: str, route: str, traffic_class: str, count: int) -> None:
        """Enter a loss, inside the transaction that brings it about."""
        now = self._clock.now().wall_ns
        self._ledger.add_losses([Loss(reason, traffic_class, route, count, now, now)])
        self._add("losses", count)
        self._tally.lose(reason, route, traffic_class, count)

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
        if found is None:
            return {}
        said = {"kept": found.kept, "lost": found.lost, "new_epoch": found.new_epoch}
        return {"repair": said | ({"first": found.first, "last": found.last} if found.lost is None else {})}

    def _settle_witness(self) -> None:
        if self._owed:
            line = self._witness(*self._owed)
            self._owed = None
            if line is not None:  # goes into the file with the next transaction: it is on disk in the audit log before
                self._counters |= {"audit_n": line[0], "audit_mark": line[1]}

    def _fields(self, *, full: bool) -> dict[str, Any]:
        fields: dict[str, Any] = {name: self._counters.get(name, 0) for name in ("last", "settled", "losses")}
        if full:
            fields |= {"device": self.device, "epoch": self.epoch, "device_seq": self._counters.get("device_seq", 0)}
            fields["identities"] = dict(self.identities)
            fields["heads"] = {robot: [self.epoch, *head] for robot, head in self._chains.items()}
        return fields

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

    def claim(self, host: Mapping[str, str]) -> list[str]:
        """Say what this store runs on; where that is known to have been another, begin a new epoch. Return what changed."""
        held = self._state.get("host", {})
        changed = sorted(name for name, fact in host.items() if held.get(name, fact) != fact)
        if held == held | host:
            return []
        state = self._next_epoch("host_changed") if changed else dict(self._state)
        state["host"] = held | host
        if changed:
            state["began"]["changed"] = changed
        with self._transaction():
            if changed:
                self._enter(state)
            else:
                self._ledger.write_state("store", state)
        if changed:
            self._entered(state)
            self._bundle, self._cut, self._mended = None, None, True
        self._state = state
        self._tell("checkpoint.epoch", {"began": self.began}, full=True)
        return changed

    def _next_epoch(self, reason: str, *, above: int = 0) -> dict[str, Any]:
        """Say what the store's state is in the next epoch, and where the one before ended."""
        _seq, head = self._chains.get(robot_key(None), (0, None))
        before = {"epoch": self.epoch, "device_seq": self._counters.get("device_seq", 0), "head": head}
        epoch = max(self.epoch, above) + 1
        return self._state | {"epoch": epoch, "began": {"reason": reason, "before": before}}

    def _enter(self, state: dict[str, Any]) -> None:
        """Write a new epoch down, inside the caller's transaction."""
        self._ledger.write_state("store", state)
        self._db.execute("DELETE FROM chain")
        self._counters |= {"chains": 0, "device_seq": 0}

    def _entered(self, state: dict[str, Any]) -> None:
        """Take what was committed into memory."""
        if state is not self._state:
            self._state, self._chains = state, {}
            self._lock.note(self.device, self.epoch)
