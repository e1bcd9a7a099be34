"""`actod queue`: what waits for the collector, what it took, what it refused. Reads beside the running daemon."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from actod import configfile
from actod.audit.files import log_files, whole_lines
from actod.audit.line import OWN_FIELDS
from actod.audit.verify import verify_log
from actod.cli import affected
from actod.cli.state import add_config_argument, add_state_arguments, ask, count, state_folder
from actod.errors import EXIT_FAILED, ConfigError, IntegrityError
from actod.proof.envelope import iso
from actod.store.checkpoint import Known, merged
from actod.store.export import write_export
from actod.store.fsck import Finding, examine
from actod.store.inspection import PLACES, Inspection, inspect
from actod.store.outbox import Sealed
from actod.store.status import SpoolStatus
from actod.store.vault import read_operator_key


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("queue", help="what waits for the collector: look, check, export, retry, purge")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the queue in numbers, and its bundles in the order of sending")
    listing.add_argument("--place", choices=sorted(PLACES.values()), help="only these; default: waiting and quarantine")
    listing.add_argument("--limit", type=count, default=50, help="bundles of each place at most (default 50)")
    inspecting = actions.add_parser("inspect", help="one bundle, with its masked content")
    inspecting.add_argument("proof_id", metavar="PROOF_ID")
    inspecting.add_argument("--envelope", action="store_true", help="print the envelope, to the byte as it is sent")
    codes = "Exit codes: 0 whole, 1 damaged. What is damaged is repaired and counted at the next start of the daemon."
    checking = actions.add_parser("fsck", help="hold store and audit log against their digests; reads only", epilog=codes)
    touched = actions.add_parser(
        "affected",
        help="which proofs an incident touches, with payload_hash and receipt; what is in doubt is listed",
        epilog="Exit codes: 0 done, 1 a bundle is damaged and named, 78 the configuration is refused.",
    )
    affected.add_arguments(touched)
    exporting = actions.add_parser("export", help="write bundles to a file that only the recipient can read")
    exporting.add_argument("--to", metavar="KEY", help="a public key of `actod vault key`; default: the operator's")
    exporting.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file, for `actod vault open`")
    exporting.add_argument("--place", choices=sorted(PLACES.values()), help="only these; default: all")
    exporting.add_argument("proof_ids", nargs="*", metavar="PROOF_ID", help="only these bundles")
    for each in (listing, inspecting, checking):
        each.add_argument("--json", action="store_true", help="JSON instead of text")
    for each in (listing, inspecting, checking, exporting, touched):
        add_state_arguments(each)
    for action, summary in (
        ("retry", "send quarantined bundles again, under the same proof ids"),
        ("purge", "drop undelivered bundles for ever; the device's chain says so"),
    ):
        changing = actions.add_parser(action, help=f"{summary} (asks the running daemon)")
        which = changing.add_mutually_exclusive_group(required=True)
        which.add_argument("proof_id", nargs="?", metavar="PROOF_ID")
        which.add_argument("--reason", help="all that were set aside for this reason, as `list` shows it")
        add_config_argument(changing)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    if args.action in ("retry", "purge"):
        return _change(args)
    if args.action in ("fsck", "affected"):
        return _fsck(args) if args.action == "fsck" else affected.run(args)
    work = {"list": _list, "inspect": _inspect, "export": _export}[args.action]
    with inspect(state_folder(args)) as inspection:
        return work(inspection, args)


def _list(inspection: Inspection, args: argparse.Namespace) -> int:
    status = inspection.status(wall_ns=time.time_ns())
    places = [place for place, word in PLACES.items() if word == args.place or (not args.place and word != "archive")]
    rows = [row for place in places for row in inspection.bundles(place, limit=args.limit)]
    if args.json:
        print(_json({"status": dataclasses.asdict(status), "bundles": [_described(row) for row in rows]}))
        return 0
    print("\n".join(store_lines(status)))
    for row in rows:
        line = f"{row.proof_id}  {PLACES[row.place]:<10}  {row.traffic_class:<12}  {iso(row.sealed_wall)[:19]}"
        print(f"{line}  {row.count:>5} events  {row.size:>7} B  {_chain(row)}{_note(row)}")
    return 0


def _inspect(inspection: Inspection, args: argparse.Namespace) -> int:
    row = inspection.find(args.proof_id)
    if row is None:
        print(f"actod queue: no bundle is called {args.proof_id}", file=sys.stderr)
        return EXIT_FAILED
    body = inspection.envelope(row)
    if body is None:
        raise IntegrityError("bundle_damaged", "its envelope can no longer be put together")
    if args.envelope:
        sys.stdout.buffer.write(body + b"\n")
        sys.stdout.flush()
        return 0
    events = orjson.loads(body)["payload"]["telemetry_normalized"]["events"]
    if args.json:
        print(_json(_described(row) | {"content": events}))
        return 0
    for name, value in _described(row).items():
        print(f"{name:<14} {'-' if value is None else value}")
    for event in events:
        print(orjson.dumps(event).decode())
    return 0


def _fsck(args: argparse.Namespace) -> int:
    """Look at audit log and store, in this order: the log's last word is at most one line behind the store's."""
    findings, messages = found_by_fsck(state_folder(args))
    if args.json:
        print(_json({"findings": [dataclasses.asdict(each) for each in findings], "messages": messages}))
    else:
        for each in findings:
            touched = "an unknown number of messages" if each.messages is None else f"{each.messages} messages"
            print(f"DAMAGED {each.where}: {each.what}; {touched}")
        print("whole: " + ", ".join(f"{number} messages in the {place}" for place, number in messages.items()))
    return EXIT_FAILED if findings else 0


def found_by_fsck(folder: Path) -> tuple[list[Finding], Mapping[str, int]]:
    """Hold store and audit log against their digests and each other; return what is wrong, and the messages by place."""
    examination = examine(folder, Known.read(_last_word(folder / "audit")))
    return [*examination.findings, *_audit_findings(folder / "audit", examination.audit_heads)], examination.messages


def _last_word(folder: Path) -> dict[str, Any]:
    """Merge what the store had told the audit log."""
    with contextlib.suppress(OSError):
        lines = ((line["event"], line) for file in log_files(folder) for line in whole_lines(file))
        return merged((event, {name: line[name] for name in line if name not in OWN_FIELDS}) for event, line in lines)
    return {}


def _audit_findings(folder: Path, heads: list[str]) -> list[Finding]:
    if not log_files(folder):
        return [Finding("audit log", f"there is none in {folder}")]
    report = verify_log(folder, expected_heads=heads)
    if not report.problem:
        return []
    return [Finding("audit log", f"{report.file}, line {report.line}: {report.problem}")]


def _export(inspection: Inspection, args: argparse.Namespace) -> int:
    recipient = _recipient(args)
    places = [place for place, word in PLACES.items() if args.place in (None, word)]
    missing = [proof_id for proof_id in args.proof_ids if inspection.find(proof_id) is None]
    if missing:
        print(f"actod queue: no bundle is called {missing[0]}", file=sys.stderr)
        return EXIT_FAILED
    damaged: list[str] = []

    def lines() -> Iterator[bytes]:
        for row in inspection.every(places):
            if not args.proof_ids or row.proof_id in args.proof_ids:
                body = inspection.envelope(row)
                if body is None:
                    damaged.append(row.proof_id)
                else:
                    yield body

    written = write_export(args.out, lines(), recipient=recipient)
    print(f"{written} bundles in {args.out}, for the recipient alone: actod vault open --key FILE {args.out}")
    for proof_id in damaged:
        print(f"actod queue: {proof_id} is damaged and left out", file=sys.stderr)
    return EXIT_FAILED if damaged else 0


def _recipient(args: argparse.Namespace) -> bytes:
    if args.to:
        return read_operator_key(args.to, key="--to")
    operator_key = "" if args.state else configfile.load(args.config).masking.operator_key
    if not operator_key:
        raise ConfigError(
            key="--to",
            expected="the public key of whoever is to read the export",
            found="none: an export is never written in the clear",
            fix="make one where the private key is to stay: actod vault key FILE",
        )
    return read_operator_key(operator_key)


def _change(args: argparse.Namespace) -> int:
    which = {"proof_id": args.proof_id} if args.proof_id else {"reason": args.reason}
    done = ask(configfile.load(args.config), f"queue.{args.action}", **which)
    word = {"retry": "wait for the collector again", "purge": "are gone, and counted as purged"}[args.action]
    print(f"{done['bundles']} bundles{', ' + str(done['messages']) + ' messages,' if 'messages' in done else ''} {word}")
    return 0 if done["bundles"] else EXIT_FAILED


def store_lines(status: SpoolStatus) -> Iterator[str]:
    """Say in lines what a store holds."""
    yield f"device {status.device}, epoch {status.epoch}, {status.acknowledged} messages acknowledged since genesis"
    yield f"journal     {status.journal_messages} messages, {status.journal_bytes} B{_old(status.journal_oldest_seconds)}"
    yield f"waiting     {status.outbox_bundles} bundles, {status.outbox_bytes} B{_old(status.outbox_oldest_seconds)}"
    yield f"quarantine  {status.quarantined_bundles} bundles"
    yield f"archive     {status.archived_bundles} bundles, {status.archived_bytes} B"
    losses = ", ".join(f"{reason} {count}" for reason, count in sorted(status.losses_pending.items())) or "none"
    yield f"losses that no bundle carried yet: {losses}"


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
