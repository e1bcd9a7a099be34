"""The Spool port on SQLite: waits on the loop, works on the store's thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from actod.config import SealConfig, StoreConfig
from actod.errors import TransientError
from actod.model import Bundle, ChainHeads, Envelope, Group, Receipt, TrafficClass
from actod.ports import Clock
from actod.store.frame import Witness
from actod.store.outbox import Sealed
from actod.store.salvage import Repair
from actod.store.sqlite import SqliteStore
from actod.store.status import SpoolStatus
from actod.store.tally import Tally
from actod.store.worker import Worker

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_SECONDS = 1.0  # the loop's clock stands still while the machine sleeps, the store's does not


class SqliteSpool:
    """Implements the Spool port. Make one with `open`; `close` it on the same loop."""

    def __init__(self, store: SqliteStore, worker: Worker) -> None:
        self._store, self._worker = store, worker
        self._changed = asyncio.Event()
        self.device, self.genesis, self.heard = store.device, store.genesis, store.heard
        self.identities: Mapping[str, str] = dict(store.identities)
        self.memory: Mapping[str, Any] = store.memory
        self.refused = ""  # why the disk did not take what was to be written last; "" while it does

    @classmethod
    async def open(
        cls,
        *,
        folder: Path,
        seal: SealConfig,
        store: StoreConfig,
        clock: Clock,
        witness: Witness,
        device_id: str = "",
        known: Mapping[str, Any] | None = None,
        compress: bool = True,
    ) -> SqliteSpool:
        """Open the store in `folder`, making or repairing it where that is needed.

        `witness(event, fields)` runs on the store's thread after each COMMIT and returns when its line is on disk;
        `known` is what it was told last (`AuditLog.last_checkpoint()`). Raises LockedError, IntegrityError, and
        TransientError if the disk is full or read-only.
        """
        worker = Worker("store")
        try:
            opened = await worker.call(
                SqliteStore,
                folder=folder,
                seal=seal,
                store=store,
                clock=clock,
                witness=witness,
                device_id=device_id,
                known=known,
                compress=compress,
            )
        except BaseException:
            worker.close()
            raise
        return cls(opened, worker)

    async def close(self) -> None:
        """Close the file and give the folder up. What was returned from is durable without it."""
        try:
            await self._worker.call(self._store.close)
        finally:
            self._worker.close()

    @property
    def epoch(self) -> int:
        """The epoch that the next bundle belongs to."""
        return self._store.epoch

    @property
    def began(self) -> Mapping[str, Any]:
        """Why this epoch began: {reason, before: {epoch, device_seq, head of the device's chain}}; {} for the first."""
        return self._store.began

    async def begin_epoch(self, reason: str) -> int:
        """Let every chain start anew with the next bundle, durably and witnessed; return the new epoch.

        `reason` is a fixed word. A bundle that was cut before and is put after is refused as "bundle_stale". If this raises
        TransientError, calling it again with the same reason begins no second epoch.
        """
        return await self._call(self._store.begin_epoch, reason)

    async def claim(self, host: Mapping[str, str]) -> list[str]:
        """Say what the store runs on, as digests by name; return the names of those that were others before.

        A cloned card or an image that was restored to another one is known so: then every chain begins a new epoch.
        What is named for the first time is only kept. Facts that come late, a token's serial, may be claimed later.
        """
        return await self._call(self._store.claim, host)

    @property
    def repaired(self) -> Repair | None:
        """What the last repair found, None if there was none since the opening."""
        return self._store.repaired

    async def commit(self, group: Group) -> None:
        """Make one group durable; if it raises, nothing was acknowledged and the same group may be tried again."""
        await self._write(self._store.commit, group)

    async def next_bundle(self) -> Bundle:
        """Wait until a stream is due and return its next bundle. A disk that refuses is waited for, too."""
        while True:
            self._changed.clear()
            wait_seconds = _LOOK_SECONDS
            with contextlib.suppress(TransientError):
                bundle = await self._call(self._store.next_bundle)
                if bundle:
                    return bundle
                due = self._store.due_in_seconds()
                wait_seconds = _LOOK_SECONDS if due is None else min(due, _LOOK_SECONDS)
            await self._wait(wait_seconds)

    async def seal_now(self) -> None:
        """Let everything that is journaled be due at once."""
        await self._call(self._store.make_due)

    async def put(self, bundle: Bundle, envelope: Envelope) -> None:
        """Move a sealed bundle to the outbox. Raises IntegrityError for any but the one that was handed out."""
        await self._write(self._store.put, bundle, envelope)

    async def take(self, held: Callable[[], AbstractSet[TrafficClass]]) -> Envelope:
        """Wait for an envelope of a class that is not held, and that no one else has taken: the oldest of the highest."""
        while True:
            self._changed.clear()
            with contextlib.suppress(TransientError):
                if self._store.has_outbox() and (envelope := await self._call(self._store.take, held())):
                    return envelope
            await self._wait(_LOOK_SECONDS)

    async def give_back(self, envelope: Envelope) -> None:
        """Let an envelope that was taken be sent by another."""
        await self._call(self._store.give_back, envelope)

    async def defer(self, envelope: Envelope) -> None:
        """Let every other envelope be handed out before this one comes again. Nothing is stored."""
        await self._call(self._store.defer, envelope)

    async def receipt(self, envelope: Envelope, receipt: Receipt) -> None:
        """Move a confirmed envelope to the archive; the archive's oldest make room."""
        await self._write(self._store.receipt, envelope, receipt)

    async def set_aside(self, envelope: Envelope, reason: str) -> None:
        """Move an envelope to quarantine; the ledger calls it withheld."""
        await self._write(self._store.set_aside, envelope, reason)

    async def split(self, envelope: Envelope, *, most_bytes: int) -> bool:
        """Let a bundle be sealed again in smaller ones. See the port."""
        return await self._write(self._store.split, envelope, most_bytes=most_bytes)

    async def limit(self, most_bytes: int) -> None:
        """Hold bundles that are cut from now on to so many bytes of events."""
        await self._call(self._store.limit, most_bytes)

    async def replacing(self) -> int:
        """Return how many bundles that were split wait to be sealed again."""
        return await self._call(self._store.replacing)

    async def sample(self, share: float) -> Envelope | None:
        """Return one archived envelope, `share` (0 to 1) of the way through the archive; None if there is none."""
        return await self._call(self._store.sample, share)

    async def retry(self, proof_id: str) -> bool:
        """Bring a quarantined bundle back to the outbox. False if there is none."""
        return await self._call(self._store.retry, proof_id)

    async def quarantined(self, reason: str, *, limit: int) -> list[str]:
        """Return the proof ids of up to `limit` bundles that were set aside for this reason."""
        return await self._call(self._store.quarantined, reason, limit)

    async def purge(self, proof_id: str) -> int:
        """Drop an undelivered bundle by an operator's command; return how many messages went, 0 if there is no such one.

        Raises RejectedError("bundle_in_hand") for one that was taken and not given back.
        """
        return await self._call(self._store.purge, proof_id)

    async def heads(self) -> ChainHeads:
        """Return where the epoch stands: for statements that name the bundle they follow."""
        return await self._call(self._store.heads)

    async def tally(self) -> Tally:
        """Return what was counted since the opening and stands nowhere else."""
        return await self._call(self._store.tally)

    async def newest_receipts(self, limit: int) -> list[Sealed]:
        """Return the archived bundles that were confirmed last, newest first."""
        return await self._call(self._store.newest_receipts, limit)

    def passed(self) -> tuple[int, int]:
        """Return how many messages were journaled and bundles confirmed since genesis. Never waits for the disk."""
        return self._store.passed()

    async def status(self) -> SpoolStatus:
        """Return what the store holds, in numbers."""
        return await self._call(self._store.status)

    async def _wait(self, seconds: float) -> None:
        # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._changed.wait()

    async def _write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call what the line itself writes, and note whether the disk takes it."""
        try:
            done = await self._call(work, *args, **kwargs)
        except TransientError as exc:
            if exc.reason != "bundle_stale":  # that is no word of the disk
                self.refused = exc.reason
            raise
        self.refused = ""
        return done

    async def _call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await self._worker.call(self._store.run, partial(work, *args, **kwargs))
        finally:
            if work not in (self._store.next_bundle, self._store.take):
                self._changed.set()
