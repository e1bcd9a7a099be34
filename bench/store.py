"""What the store's layout costs in bytes, and what a repair costs in time: for who changes one of them.

    python -m bench.store [layout] [repair] [--folder DIR]

The folder must be on a real disk. Bytes written are those of /proc/self/io: what the kernel was asked to bring to the
device, in pages of 4 KiB, the audit log's checkpoint lines included.
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
from bench.content import EVENTS, PAYLOAD_BYTES, RATE, fill, group, opened, sealed
from bench.machine import written_bytes


def layout(folder: Path) -> None:
    """Print the same figure by page size and checkpoint interval, with what the last checkpoint brings to the file."""
    chosen_layout = schema.PAGE_BYTES, schema.CHECKPOINT_PAGES
    for page, wal_kib in ((512, 1024), (512, 4096), (512, 16384), (1024, 4096), (4096, 4096)):
        schema.PAGE_BYTES, schema.CHECKPOINT_PAGES = page, (wal_kib << 10) // page
        os.sync()
        before, payload = written_bytes(), 0
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
        ratio = (written_bytes() - before) / payload
        print(f"layout pages of {page:>4} B, checkpoint at {wal_kib:>5} KiB  {ratio:.2f} bytes a payload byte", flush=True)
    schema.PAGE_BYTES, schema.CHECKPOINT_PAGES = chosen_layout


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
    parts: dict[str, Callable[[Path], None]] = {"layout": layout, "repair": repair}
    parser.add_argument("parts", nargs="*", choices=[[], *parts], help="default: both")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: a temporary one")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-store-", dir=args.folder))
    try:
        for part in args.parts or parts:
            parts[part](folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
