"""What the store is measured with: events as robots make them, envelopes around them, and queues of any length."""

# ruff: noqa: SLF001 - a million rows are stuffed past the methods that would take hours
from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from actod.audit.log import AuditLog
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.model import Bundle, Envelope, Group, Instant, MaskedReading, Receipt, Stream, TrafficClass
from actod.proof.canonical import canonical
from actod.service.clock import SystemClock
from actod.store.checkpoint import merged
from actod.store.chunk import digest, pack
from actod.store.outbox import Sealed, key
from actod.store.schema import OUTBOX
from actod.store.sqlite import SqliteStore

PAYLOAD_BYTES = 512
RATE = 100  # messages a second
GIB = 1 << 30
STREAM = Stream("r-5f2c0a91b7d3e846", "order-1187", "run-3", TrafficClass.NORMAL)
LARGE = StoreConfig(max_bytes=16 * GIB)
chosen = random.Random(1)


class RunningClock(SystemClock):
    """The machine's clock, ahead by what the simulation has skipped."""

    ahead_ns = 0

    def now(self) -> Instant:
        now = super().now()
        return Instant(now.wall_ns + self.ahead_ns, now.monotonic_ns + self.ahead_ns)


def event(number: int) -> bytes:
    """Make a VDA 5050-like state message whose data is PAYLOAD_BYTES long: numbers vary, names do not."""
    data = {
        "headerId": number,
        "timestamp": f"2026-01-01T00:{number // 6000 % 60:02}:{number // 100 % 60:02}.{number % 100:02}0Z",
        "version": "2.1.0",
        "manufacturer": "acme",
        "orderId": "order-1187",
        "lastNodeId": f"node-{number // 500}",
        "agvPosition": {
            "x": chosen.uniform(0, 90),
            "y": chosen.uniform(0, 40),
            "theta": chosen.uniform(-3, 3),
            "mapId": "hall",
        },
        "velocity": {"vx": chosen.random(), "vy": 0.0, "omega": chosen.random()},
        "batteryState": {"batteryCharge": round(chosen.uniform(20, 90), 1), "charging": False},
        "driving": True,
        "operatingMode": "AUTOMATIC",
        "errors": [],
        "safetyState": {"eStop": "NONE", "fieldViolation": False},
    }
    data["pad"] = "-" * max(0, PAYLOAD_BYTES - len(canonical(data)) - 9)
    return canonical({"data": data, "topic": "uagv/v2/acme/r-1/state", "ts": data["timestamp"]})


EVENTS = [event(number) for number in range(5000)]


def noise(number: int) -> bytes:
    """Make an event of the same size that no compression helps."""
    text = chosen.randbytes(PAYLOAD_BYTES * 3 // 4 - 10).hex()[: PAYLOAD_BYTES - 12]
    return canonical(
        {"data": {"n": number % 10, "b": text}, "topic": "uagv/v2/acme/r-1/state", "ts": "2026-01-01T00:00:00Z"}
    )


def group(first: int, count: int, clock: RunningClock, make: Callable[[int], bytes]) -> Group:
    now = clock.now()
    return Group(
        readings=[
            MaskedReading(STREAM, make(number), {"serial": 1}, now, packet_id=number % 65535 + 1)
            for number in range(first, first + count)
        ]
    )


def sealed(bundle: Bundle) -> Envelope:
    """Make an envelope as large as a real one around its events."""
    head = b'{"anchor_ref":null,"payload":{' + b"m" * 1400 + b'"events":['
    body = head + bundle.events + b"]" + str(bundle.device_seq).encode() + b"s" * 400 + b"}"
    payload_hash = hashlib.sha256(body).hexdigest()
    return Envelope(hashlib.sha256(payload_hash.encode()).hexdigest()[:32], payload_hash, body, bundle.stream.traffic_class)


@contextmanager
def unsynced() -> Iterator[None]:
    """Let nothing wait for the disk: only while something is filled that is measured afterwards."""
    real = os.fdatasync
    os.fdatasync = lambda _descriptor: None  # the audit log's
    try:
        yield
    finally:
        os.fdatasync = real
        os.sync()


@contextmanager
def opened(folder: Path, *, compress: bool = True, audited: bool = True) -> Iterator[tuple[SqliteStore, RunningClock]]:
    clock = RunningClock()
    audit = AuditLog(folder / "audit", clock=clock, config=AuditConfig())
    store = SqliteStore(
        folder=folder / "state",
        seal=SealConfig(),
        store=LARGE,
        clock=clock,
        witness=audit.witness if audited else lambda _event, _fields: None,
        known=merged(audit.lines()),
        compress=compress,
    )
    try:
        yield store, clock
    finally:
        store.close()
        audit.close()


def measure(store: SqliteStore, clock: RunningClock, rounds: int) -> dict[str, float]:
    """Seal one bundle and deliver one, over and over; return CPU and wall of both together, in us a round."""
    costs = {"cpu": 0.0, "wall": 0.0}
    for number in range(rounds):
        made = group(number * 10, 10, clock, lambda n: EVENTS[n % 5000])
        store.run(partial(store.commit, made))
        store.make_due()
        bundle = store.run(store.next_bundle)
        envelope = sealed(bundle)
        started, busy = time.perf_counter(), time.process_time()
        store.run(partial(store.put, bundle, envelope))
        first = store.run(store.next_envelope)
        store.run(partial(store.receipt, first, Receipt(first.proof_id, 1, None)))
        costs["cpu"] += time.process_time() - busy
        costs["wall"] += time.perf_counter() - started
    return {name: seconds / rounds * 1e6 for name, seconds in costs.items()}


def stuff(store: SqliteStore, length: int, *, events: bytes = b'{"data":{},"topic":"t","ts":""}') -> None:
    """Fill the outbox without sealing each bundle: the rows are those that `put` makes."""
    packed = pack(events, compress=True)
    for start in range(1, length + 1, 10_000):
        numbers = range(start, min(start + 10_000, length + 1))
        with store._transaction():
            for number in numbers:
                payload_hash = hashlib.sha256(str(number).encode()).hexdigest()
                store._db.execute("INSERT INTO chunk VALUES (?,?)", (number, packed))
                row = Sealed(
                    at=key(OUTBOX, TrafficClass.NORMAL, number),
                    proof_id=hashlib.sha256(payload_hash.encode()).hexdigest()[:32],
                    payload_hash=payload_hash,
                    robot='"r-0"',
                    epoch=1,
                    seq=number,
                    device_seq=number,
                    count=1,
                    size=len(events),
                    losses=0,
                    chunks=f"{number}+1",
                    sealed_wall=1,
                    settled_wall=None,
                    note=None,
                    digest=digest((), b"h" + events + b"t"),
                )
                store._outbox.insert(row, head=b"h", tail=b"t")
                store._count(row, 1)
            for name in ("last", "bundle", "device_seq"):
                store._counters[name] = numbers[-1]


def fill_state(state: Path, *, size: int) -> None:
    """Fill the state folder of a daemon that has not run yet with sealed bundles."""
    state.mkdir(mode=0o700)
    fill(state.parent / "filling", sealing=True, size=size)
    made = state.parent / "filling"
    for file in (made / "state").iterdir():
        file.rename(state / file.name)
    (made / "audit").rename(state / "audit")


def fill(folder: Path, *, sealing: bool, size: int) -> None:
    """Fill a store, uncompressed: sealed bundles, or a journal that nobody seals."""
    with unsynced(), opened(folder, compress=False) as (store, clock):
        store._db.execute("PRAGMA synchronous=OFF")
        number = 0
        while (folder / "state" / "spool.db").stat().st_size < size:
            made = group(number, 50, clock, lambda n: EVENTS[n % 5000])
            store.run(partial(store.commit, made))
            number += 50
            if sealing and (bundle := store.run(store.next_bundle)):
                store.run(partial(store.put, bundle, sealed(bundle)))
