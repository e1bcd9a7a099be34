"""What the store costs: CPU a message, bytes written for each payload byte, queues of a million, start.

    python -m bench.store [cpu] [wear] [layout] [queue] [start] [repair] [--folder DIR]

Ratios are of one run on one machine; the folder must be on a real disk. Bytes written are those of /proc/self/io: what
the kernel was asked to bring to the device, in pages of 4 KiB, the audit log's checkpoint lines included.
"""

# ruff: noqa: SLF001 - a million rows are stuffed past the methods that would take hours
from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from actod.audit.log import AuditLog
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.model import Bundle, Envelope, Group, Instant, MaskedReading, Receipt, Stream, TrafficClass
from actod.proof.canonical import canonical
from actod.service.clock import SystemClock
from actod.store import schema
from actod.store.checkpoint import merged
from actod.store.chunk import digest, pack
from actod.store.outbox import Sealed, key
from actod.store.schema import OUTBOX, PAGE_BYTES
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


def written() -> int:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


def cpu(folder: Path) -> None:
    """Print the CPU of journal, seal and settle for each message, in groups of 50."""
    for compress, audited in ((False, False), (True, False), (True, True)):
        with opened(folder / f"cpu-{compress}-{audited}", compress=compress, audited=audited) as (store, clock):
            groups = [group(number * 50, 50, clock, lambda n: EVENTS[n % 5000]) for number in range(600)]
            spent = {"commit": 0.0, "seal": 0.0, "settle": 0.0}
            for number, made in enumerate(groups):
                _spend(spent, "commit", partial(store.run, partial(store.commit, made)))
                if number % 20 == 19:
                    store.make_due()
                    bundle = _spend(spent, "seal", partial(store.run, store.next_bundle))
                    envelope = sealed(bundle)
                    _spend(
                        spent,
                        "seal",
                        partial(store.run, partial(store.put, bundle, envelope)),
                    )
                    envelope = _spend(spent, "settle", partial(store.run, store.next_envelope))
                    receipt = Receipt(envelope.proof_id, 1, None)
                    _spend(spent, "settle", partial(store.run, partial(store.receipt, envelope, receipt)))
            each = {name: seconds / 30_000 * 1e6 for name, seconds in spent.items()}
            form = f"compress={compress!s:<5} audit={audited!s:<5}"
            print(f"cpu    {form} " + "  ".join(f"{name} {us:.2f}" for name, us in each.items()) + "  us a message")


def _spend(spent: dict[str, float], name: str, work: Callable[[], object]) -> object:
    before = time.process_time()
    result = work()
    spent[name] += time.process_time() - before
    return result


def wear(folder: Path) -> None:
    """Print bytes written for each payload byte at 100 messages a second of 512 B, ten minutes of it."""
    makes = {"state": lambda n: EVENTS[n % 5000], "noise": noise}
    cases = [
        *((True, "state", interval, True) for interval in (100, 500, 1000)),
        *((False, "state", interval, True) for interval in (500, 1000)),
        (False, "state", 500, False),
        (True, "noise", 500, True),
    ]
    for compress, kind, interval_ms, whole in cases:
        with opened(folder / f"wear-{compress}-{kind}-{interval_ms}-{whole}", compress=compress) as (store, clock):
            count, payload, number = RATE * interval_ms // 1000, 0, 0
            os.sync()
            before = written()
            while number < RATE * 600:
                made = group(number, count, clock, makes[kind])
                store.run(partial(store.commit, made))
                number += count
                payload += count * PAYLOAD_BYTES
                clock.ahead_ns += interval_ms * 1_000_000
                while whole and (bundle := store.run(store.next_bundle)):
                    envelope = sealed(bundle)
                    store.run(partial(store.put, bundle, envelope))
                    store.run(store.next_envelope)
                    store.run(partial(store.receipt, envelope, Receipt(envelope.proof_id, 1, None)))
        ratio = (written() - before) / payload
        line = "journal, outbox, archive" if whole else "journal alone, never sealed"
        print(
            f"wear   {interval_ms:>4} ms  compress={compress!s:<5} {kind}  {ratio:.2f} bytes a payload byte  ({line}, audit)"
        )


def layout(folder: Path) -> None:
    """Print the same figure by page size and checkpoint interval, with what the last checkpoint brings to the file."""
    chosen_layout = schema.PAGE_BYTES, schema.CHECKPOINT_PAGES
    for page, wal_kib in ((512, 1024), (512, 4096), (512, 16384), (1024, 4096), (4096, 4096)):
        schema.PAGE_BYTES, schema.CHECKPOINT_PAGES = page, (wal_kib << 10) // page
        os.sync()
        before, payload = written(), 0
        with opened(folder / f"layout-{page}-{wal_kib}") as (store, clock):
            for number in range(0, RATE * 600, RATE // 2):
                store.run(partial(store.commit, group(number, RATE // 2, clock, lambda n: EVENTS[n % 5000])))
                payload += RATE // 2 * PAYLOAD_BYTES
                clock.ahead_ns += 500_000_000
                while bundle := store.run(store.next_bundle):
                    envelope = sealed(bundle)
                    store.run(partial(store.put, bundle, envelope))
                    store.run(store.next_envelope)
                    store.run(partial(store.receipt, envelope, Receipt(envelope.proof_id, 1, None)))
        ratio = (written() - before) / payload
        print(f"layout pages of {page:>4} B, checkpoint at {wal_kib:>5} KiB  {ratio:.2f} bytes a payload byte", flush=True)
    schema.PAGE_BYTES, schema.CHECKPOINT_PAGES = chosen_layout


def queue(folder: Path) -> None:
    """Print what sealing into, and delivering from, a queue costs by its length."""
    base: dict[str, float] = {}
    for length in (1_000, 100_000, 1_000_000):
        with opened(folder / f"queue-{length}") as (store, clock):
            began = time.perf_counter()
            stuff(store, length)
            print(f"queue  {length:>9} stuffed in {time.perf_counter() - began:.0f} s", end="", flush=True)
        os.sync()
        began = time.perf_counter()
        with opened(folder / f"queue-{length}") as (store, clock):
            print(f", opened in {time.perf_counter() - began:.2f} s")
            measure(store, clock, 50)
            os.sync()
            costs = measure(store, clock, 400)
        base = base or costs
        print("queue  " + "  ".join(f"{name} {cost:.0f} us ({cost / base[name]:.2f}x)" for name, cost in costs.items()))
        shutil.rmtree(folder / f"queue-{length}")


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


def start(folder: Path) -> None:
    """Print how long a store of 256 MiB takes to open, closed cleanly and killed: sealed, and never sealed."""
    for kind in ("queue", "journal"):
        fill(folder / f"start-{kind}", sealing=kind == "queue", size=256 << 20)
        copy(folder / f"start-{kind}", folder / f"killed-{kind}")
        for name in (f"start-{kind}", f"killed-{kind}"):
            timed(folder / name, name)


def repair(folder: Path) -> None:
    """Print how long a start takes that repairs: a page of the bundles' tree is gone, the queue fills its default share."""
    for kind in ("queue", "journal"):
        fill(folder / f"whole-{kind}", sealing=kind == "queue", size=StoreConfig().shares.database)
        copy(folder / f"whole-{kind}", folder / f"damaged-{kind}")
        database = folder / f"damaged-{kind}" / "state" / "spool.db"
        with closing(sqlite3.connect(database)) as file:
            table = {"queue": "bundle", "journal": "journal"}[kind]
            (root,) = file.execute("SELECT rootpage FROM sqlite_schema WHERE name=?", (table,)).fetchone()
        with database.open("r+b") as opened_file:
            opened_file.seek((root - 1) * PAGE_BYTES)
            opened_file.write(bytes(PAGE_BYTES))
        timed(folder / f"damaged-{kind}", f"damaged-{kind}")


def fill(folder: Path, *, sealing: bool, size: int) -> None:
    with opened(folder, compress=False) as (store, clock):
        number = 0
        while (folder / "state" / "spool.db").stat().st_size < size:
            made = group(number, 50, clock, lambda n: EVENTS[n % 5000])
            store.run(partial(store.commit, made))
            number += 50
            if sealing and (bundle := store.run(store.next_bundle)):
                store.run(partial(store.put, bundle, sealed(bundle)))


def copy(folder: Path, to: Path) -> None:
    to.mkdir(mode=0o700)
    shutil.copytree(folder / "state", to / "state")
    (to / "state" / "spool.db-shm").unlink(missing_ok=True)
    os.sync()


def timed(folder: Path, name: str) -> None:
    began, busy = time.perf_counter(), time.process_time()
    with opened(folder) as (store, _clock):
        spent = f"{time.perf_counter() - began:.2f} s, {time.process_time() - busy:.2f} s of CPU"
        repaired = f", repaired, {store.repaired.kept} chunks and bundles kept" if store.repaired else ""
        print(f"start  {name:<16} {spent}{repaired}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["cpu", "wear", "layout", "queue", "start", "repair"])
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: a temporary one")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-store-", dir=args.folder))
    try:
        for part in args.parts:
            {"cpu": cpu, "wear": wear, "layout": layout, "queue": queue, "start": start, "repair": repair}[part](folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
