"""How long the audit log of a robot lasts that delivers nothing, and what it costs to verify it then.

    python -m bench.audit [GROUPS_A_SECOND ...] [--folder DIR]

The real store commits a group at that pace and seals a bundle each 30 s, on a clock that is set ahead; the real log takes
the lines, and is compressed with each bundle, until its share of the default store.max_bytes lets no more be collected.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from actod.audit.files import content, is_packed, log_files
from actod.audit.log import AuditLog
from actod.audit.retention import Retention
from actod.audit.verify import verify_log
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.errors import TransientError
from actod.model import Group, Instant, MaskedReading
from actod.service.clock import SystemClock
from actod.store.checkpoint import merged
from actod.store.sqlite import SqliteStore
from bench.content import LARGE, STREAM, event, sealed

_SEAL_SECONDS, _HOUR_NS = 30.0, 3600 * 10**9
_MIB = 1024 * 1024
chosen = random.Random(1)


class AheadClock(SystemClock):
    """The machine's boot, at times that are set."""

    passed_ns = 0

    def now(self) -> Instant:
        return Instant(1_767_323_045_000_000_000 + self.passed_ns, 1_000_000_000 + self.passed_ns)


def fill(folder: Path, rate: float) -> None:
    """Fill the log, and print how long that took the robot."""
    clock, limits = AheadClock(), AuditConfig()
    audit = AuditLog(folder / "audit", clock=clock, config=limits, share_bytes=StoreConfig().shares.audit)
    retention = Retention(audit, config=limits)
    store = SqliteStore(
        folder=folder,
        seal=SealConfig(),
        store=LARGE,
        clock=clock,
        witness=audit.witness,
        known=merged(audit.lines(back_to="device")),
    )
    try:
        groups = _until_full(store, audit, retention, clock, rate)
    finally:
        store.close()
        audit.close()
    _print_reading(folder / "audit", clock, groups, rate)


def _until_full(store: SqliteStore, audit: AuditLog, retention: Retention, clock: AheadClock, rate: float) -> int:
    groups, sealed_ns = 0, 0
    while True:
        try:
            audit.require_room()
        except TransientError:
            return groups
        groups += 1
        clock.passed_ns += int(chosen.uniform(0.9, 1.1) / rate * 1e9)
        store.run(partial(store.commit, Group(readings=[MaskedReading(STREAM, event(groups), {}, clock.now())])))
        if clock.passed_ns - sealed_ns > _SEAL_SECONDS * 1e9:
            sealed_ns = clock.passed_ns
            store.make_due()
            if bundle := store.run(store.next_bundle):
                store.run(partial(store.put, bundle, sealed(bundle)))
            retention.pack()


def _print_reading(folder: Path, clock: AheadClock, groups: int, rate: float) -> None:
    files = log_files(folder)
    packed = [file for file in files if is_packed(file)]
    ratio = sum(len(content(file)[0]) for file in packed) / sum(file.stat().st_size for file in packed)
    size = sum(file.stat().st_size for file in files)
    began = time.process_time()
    report = verify_log(folder)
    seconds, memory = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    said = [
        f"{rate:g} a second: {clock.passed_ns / _HOUR_NS:.1f} hours, {groups} groups",
        f"{report.lines} lines in {len(files)} files, {size / _MIB:.1f} MiB, {ratio:.2f} times smaller",
        f"verified in {seconds:.1f} s of CPU, at most {memory} MiB {report.problem}",
    ]
    sys.stdout.write("; ".join(said) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fill a log at each pace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rates", nargs="*", type=float, default=[1.0, 2.0], metavar="GROUPS_A_SECOND")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary one")
    args = parser.parse_args()
    for rate in args.rates:
        folder = Path(tempfile.mkdtemp(prefix="bench-audit-", dir=args.folder))
        try:
            fill(folder, rate)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
