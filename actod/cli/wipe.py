"""`actod wipe`: erase a robot's state folder for ever, and say last what was in it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from actod.audit.log import AuditLog
from actod.cli.state import add_state_arguments, state_folder
from actod.config import AuditConfig
from actod.durable import sync_folder, write_whole
from actod.errors import EXIT_FAILED, ActodError, ConfigError
from actod.proof.envelope import iso
from actod.service.clock import SystemClock
from actod.service.folder import check_folder
from actod.store.inspection import inspect
from actod.store.lock import FolderLock

_SMALL_BYTES = 1 << 20  # what holds a key is small: it is overwritten before its name goes


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "wipe",
        help="erase the state folder for ever, and say last what was in it",
        epilog="Exit codes: 0 erased, 1 something waits for the collector, 75 a daemon runs. The token has its own program: "
        "unprovision.",
    )
    add_state_arguments(parser)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the last record there, too, before anything goes")
    parser.add_argument("--with-unsent", action="store_true", help="erase what no collector has, as well")
    parser.add_argument("--yes", action="store_true", required=True, help="needed: there is no way back")


def run(args: argparse.Namespace) -> int:
    """Erase; the record is printed, and on disk where a file was named, before anything goes. Raises LockedError."""
    state = state_folder(args)
    check_folder(state)
    if args.record is not None and args.record.resolve().is_relative_to(state.resolve()):
        raise ConfigError(
            key="--record", expected="a file outside of the folder", fix="name another", found=str(args.record)
        )
    lock = FolderLock(state)
    try:
        record = _last_record(state)
        if _waits(record) and not args.with_unsent:
            fix = "let it leave (actod why), or erase it as well: --with-unsent"
            print(f"actod wipe: not everything has reached the collector: {json.dumps(record)}. Fix: {fix}", file=sys.stderr)
            return EXIT_FAILED
        record["audit_head"] = _say_last(state, record)
        line = json.dumps(record)
        if args.record is not None:
            write_whole(args.record, line.encode() + b"\n")
        print(line, flush=True)
        _erase(state)
    finally:
        lock.release()
    return 0


def _last_record(state: Path) -> dict[str, Any]:
    now = SystemClock().now().wall_ns
    record: dict[str, Any] = {"wiped": str(state), "at": iso(now)}
    with suppress(ActodError):  # damaged, or none: nothing can be said of it, and it goes
        with inspect(state) as store:
            status = store.status(wall_ns=now)
        record |= {
            "device": status.device,
            "submitted_bundles": status.submitted,
            "waiting_bundles": status.outbox_bundles,
            "set_aside_bundles": status.quarantined_bundles,
            "journaled_messages": status.journal_messages,
        }
    return record


def _waits(record: dict[str, Any]) -> bool:
    """Whether anything is here that no collector has, but for the daemon's own record of its stop."""
    waiting: int = record.get("waiting_bundles", 0) + record.get("set_aside_bundles", 0)
    journaled: int = record.get("journaled_messages", 0)
    return waiting > 0 or journaled > 1


def _say_last(state: Path, record: dict[str, Any]) -> str:
    """Write the audit log's last line, and return its hash: with a bundle that carries an older head it is evidence."""
    audit = AuditLog(state / "audit", clock=SystemClock(), config=AuditConfig())
    try:
        audit.record("device.wiped", waiting=record.get("waiting_bundles"), journaled=record.get("journaled_messages"))
        audit.flush()
        return audit.head()
    finally:
        audit.close()


def _erase(state: Path) -> None:
    for file in sorted(path for path in state.rglob("*") if path.is_file() and not path.is_symlink()):
        size = file.stat().st_size
        if size <= _SMALL_BYTES:
            with file.open("r+b", buffering=0) as stream:
                stream.write(os.urandom(size))
                os.fsync(stream.fileno())
    for path in state.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    sync_folder(state)
    with suppress(PermissionError):  # systemd made it, in a folder of root's: empty it stays
        state.rmdir()
        sync_folder(state.parent)
