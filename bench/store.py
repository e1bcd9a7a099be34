"""What the store costs: CPU a message, bytes written for each payload byte, queues of a million, start.

    python -m bench.store [cpu] [wear] [layout] [queue] [start] [repair] [--folder DIR]

Ratios are of one run on one machine; the folder must be on a real disk. Bytes written are those of /proc/self/io: what
the kernel was asked to bring to the device, in pages of 4 KiB, the audit log's checkpoint lines included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from actod.config import StoreConfig
from actod.model import Receipt
from actod.store import schema
from actod.store.schema import PAGE_BYTES


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
