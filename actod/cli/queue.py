"""`actod queue`: what waits for the collector, what it took, what it refused. Reads beside the running daemon."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from typing import Any

import orjson

from actod.cli.state import add_state_arguments, count, state_folder
from actod.errors import EXIT_FAILED, IntegrityError
from actod.proof.envelope import iso
from actod.store.inspection import PLACES, Inspection, inspect
from actod.store.outbox import Sealed
from actod.store.status import SpoolStatus


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("queue", help="list or show what waits for the collector")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the queue in numbers, and its bundles in the order of sending")
    listing.add_argument("--place", choices=sorted(PLACES.values()), help="only these; default: waiting and quarantine")
    listing.add_argument("--limit", type=count, default=50, help="bundles of each place at most (default 50)")
    show = actions.add_parser("show", help="one bundle")
    show.add_argument("proof_id", metavar="PROOF_ID")
    show.add_argument("--envelope", action="store_true", help="print the envelope, to the byte as it is sent")
    for each in (listing, show):
        add_state_arguments(each)
        each.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Print what was asked for."""
    with inspect(state_folder(args)) as inspection:
        return _list(inspection, args) if args.action == "list" else _show(inspection, args)


def _list(inspection: Inspection, args: argparse.Namespace) -> int:
    status = inspection.status(wall_ns=time.time_ns())
    places = [place for place, word in PLACES.items() if word == args.place or (not args.place and word != "archive")]
    rows = [row for place in places for row in inspection.bundles(place, limit=args.limit)]
    if args.json:
        print(_json({"status": dataclasses.asdict(status), "bundles": [_described(row) for row in rows]}))
        return 0
    _print_status(status)
    for row in rows:
        line = f"{row.proof_id}  {PLACES[row.place]:<10}  {row.traffic_class:<12}  {iso(row.sealed_wall)[:19]}"
        print(f"{line}  {row.count:>5} events  {row.size:>7} B  {_chain(row)}{_note(row)}")
    return 0


def _show(inspection: Inspection, args: argparse.Namespace) -> int:
    row = inspection.find(args.proof_id)
    if row is None:
        print(f"actod queue: no bundle is called {args.proof_id}", file=sys.stderr)
        return EXIT_FAILED
    if args.envelope:
        body = inspection.envelope(row)
        if body is None:
            raise IntegrityError("bundle_damaged", "its envelope can no longer be put together")
        sys.stdout.buffer.write(body + b"\n")
        sys.stdout.flush()
    elif args.json:
        print(_json(_described(row)))
    else:
        for name, value in _described(row).items():
            print(f"{name:<14} {'-' if value is None else value}")
    return 0


def _print_status(status: SpoolStatus) -> None:
    print(f"device {status.device}, epoch {status.epoch}, {status.acknowledged} messages acknowledged since genesis")
    print(f"journal     {status.journal_messages} messages, {status.journal_bytes} B{_old(status.journal_oldest_seconds)}")
    print(f"waiting     {status.outbox_bundles} bundles, {status.outbox_bytes} B{_old(status.outbox_oldest_seconds)}")
    print(f"quarantine  {status.quarantined_bundles} bundles")
    print(f"archive     {status.archived_bundles} bundles, {status.archived_bytes} B")
    losses = ", ".join(f"{reason} {count}" for reason, count in sorted(status.losses_pending.items())) or "none"
    print(f"losses that no bundle carried yet: {losses}")


def _described(row: Sealed) -> dict[str, Any]:
    return {
        "proof_id": row.proof_id,
        "payload_hash": row.payload_hash,
        "place": PLACES[row.place],
        "class": str(row.traffic_class),
        "robot_id": orjson.loads(row.robot),
        "epoch": row.epoch,
        "seq": row.seq,
        "device_seq": row.device_seq,
        "events": row.count,
        "bytes": row.size,
        "sealed_at": iso(row.sealed_wall),
        "settled_at": None if row.settled_wall is None else iso(row.settled_wall),
        "note": row.note,
    }


def _chain(row: Sealed) -> str:
    return f"{orjson.loads(row.robot) or 'device'}#{row.seq}"


def _note(row: Sealed) -> str:
    return f"  {row.note}" if row.note else ""


def _old(seconds: float | None) -> str:
    return "" if seconds is None else f", the oldest {seconds:.0f} s"


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
