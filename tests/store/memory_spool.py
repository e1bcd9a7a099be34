"""A Spool in memory: for tests of what stands around the store. Held to the same contract as the real one."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from actod.config import SealConfig
from actod.errors import IntegrityError
from actod.model import PRIORITY, Bundle, Envelope, Group, Loss, MaskedReading, Receipt, Stream, TrafficClass
from actod.ports import Clock


class MemorySpool:
    """Implements the Spool port; nothing survives it."""

    def __init__(self, *, seal: SealConfig, clock: Clock) -> None:
        self._seal, self._clock = seal, clock
        self._changed = asyncio.Event()
        self._journal: dict[Stream, list[MaskedReading]] = {}
        self._chains: dict[str | None, tuple[int, str | None]] = {}
        self._losses: Counter[tuple[str, str, str]] = Counter()
        self._bundle: Bundle | None = None
        self._device_seq = 0
        self._now = False
        self.outbox: list[Envelope] = []
        self._deferred: list[Envelope] = []
        self.archive: dict[str, Receipt] = {}
        self.quarantine: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._sealed: dict[str, tuple[Bundle, list[MaskedReading]]] = {}
        self._taken: list[Envelope] = []
        self._most_bytes = seal.max_bytes

    async def commit(self, group: Group) -> None:
        for reading in group.readings:
            self._journal.setdefault(reading.stream, []).append(reading)
        self._losses.update(group.refusals)
        self._changed.set()

    async def seal_now(self) -> None:
        self._now = True
        self._changed.set()

    async def next_bundle(self) -> Bundle:
        while self._bundle is None:
            self._changed.clear()
            due = [stream for stream in self._journal if self._is_due(stream)]
            if due:
                self._bundle = self._cut(min(due, key=lambda stream: PRIORITY[stream.traffic_class]))
            else:
                await self._wait()
        return self._bundle

    def _is_due(self, stream: Stream) -> bool:
        waiting = self._journal[stream]
        age_ns = self._clock.now().monotonic_ns - waiting[0].received.monotonic_ns
        size = sum(len(reading.event) + 1 for reading in waiting) - 1
        full = len(waiting) >= self._seal.max_events or size >= self._most_bytes or stream.replaces
        return self._now or full or age_ns >= self._seal.max_age_seconds * 1e9

    def _cut(self, stream: Stream) -> Bundle:
        taken: list[MaskedReading] = []
        size = -1
        for reading in self._journal[stream]:
            size += len(reading.event) + 1
            if taken and (len(taken) >= self._seal.max_events or size > self._most_bytes):
                break
            taken.append(reading)
        seq, head = self._chains.get(stream.robot_id, (0, None))
        return Bundle(
            device="d-memory",
            epoch=1,
            seq=seq + 1,
            device_seq=self._device_seq + 1,
            previous=head,
            stream=stream,
            events=b",".join(reading.event for reading in taken),
            count=len(taken),
            first_received_wall_ns=taken[0].received.wall_ns,
            last_received_wall_ns=taken[-1].received.wall_ns,
            boot_id=self._clock.boot_id(),
            masked=dict(sum((Counter(reading.masked) for reading in taken), Counter())),
            loss=tuple(Loss(*key, count, 0, 0) for key, count in self._losses.items()),
            replaces=stream.replaces,
        )

    async def put(self, bundle: Bundle, envelope: Envelope) -> None:
        if envelope in self.outbox or envelope.proof_id in self.archive:
            return
        if bundle != self._bundle:
            raise IntegrityError("bundle_unknown")
        self._sealed[envelope.proof_id] = (bundle, self._journal[bundle.stream][: bundle.count])
        rest = self._journal[bundle.stream][bundle.count :]
        self._journal[bundle.stream] = rest
        if not rest:
            del self._journal[bundle.stream]
        self._now = self._now and bool(self._journal)
        for loss in bundle.loss:
            self._losses[loss.reason, loss.traffic_class, loss.route] -= loss.count
        self._losses += Counter()
        self._chains[bundle.stream.robot_id] = (bundle.seq, envelope.payload_hash)
        self._device_seq, self._bundle = bundle.device_seq, None
        self._counts[envelope.proof_id] = bundle.count
        self.outbox.append(envelope)
        self._changed.set()

    async def take(self, held: Callable[[], AbstractSet[TrafficClass]]) -> Envelope:
        while not (free := self._free(held())):
            self._changed.clear()
            await self._wait()
        turn = [envelope for envelope in free if envelope not in self._deferred]
        if not turn:
            turn, self._deferred = free, []
        self._taken.append(min(turn, key=lambda envelope: PRIORITY[envelope.traffic_class]))
        return self._taken[-1]

    def _free(self, held: AbstractSet[TrafficClass]) -> list[Envelope]:
        return [item for item in self.outbox if item not in self._taken and item.traffic_class not in held]

    async def give_back(self, envelope: Envelope) -> None:
        self._taken.remove(envelope)
        self._changed.set()

    async def defer(self, envelope: Envelope) -> None:
        self._deferred.append(envelope)
        await self.give_back(envelope)

    async def split(self, envelope: Envelope, *, most_bytes: int) -> bool:
        self._most_bytes = most_bytes
        bundle, readings = self._sealed[envelope.proof_id]
        if len(readings) == 1:
            return False
        self.outbox.remove(envelope)
        replaces = " ".join([envelope.payload_hash, *(bundle.replaces or "").split()])
        stream = replace(bundle.stream, replaces=replaces)
        self._journal[stream] = [replace(reading, stream=stream) for reading in readings]
        for loss in bundle.loss:
            self._losses[loss.reason, loss.traffic_class, loss.route] += loss.count
        self._changed.set()
        return True

    async def replacing(self) -> int:
        return sum(stream.replaces is not None for stream in self._journal)

    async def receipt(self, envelope: Envelope, receipt: Receipt) -> None:
        if envelope in self.outbox:
            self.outbox.remove(envelope)
            self.archive[envelope.proof_id] = receipt
            self._deferred = self._deferred if await self.replacing() else []

    async def set_aside(self, envelope: Envelope, reason: str) -> None:
        if envelope in self.outbox:
            self.outbox.remove(envelope)
            self.quarantine[envelope.proof_id] = reason
            count = self._counts[envelope.proof_id]
            self._losses["withheld", str(envelope.traffic_class), "_outbox"] += count

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await self._changed.wait()
