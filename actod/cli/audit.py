"""`actod audit verify|show`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import orjson

from actod.audit.log import log_files
from actod.audit.verify import verify_log
from actod.cli.state import add_state_arguments, state_folder
from actod.errors import EXIT_USAGE


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("audit", help="verify or show the local audit log")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="name the first bad line, if there is one")
    verify.add_argument("--bundles", type=Path, metavar="FILE", help="envelopes (JSON lines): their heads must be in it")
    show = actions.add_parser("show", help="print the newest lines")
    show.add_argument("--last", type=int, default=20, metavar="N")
    show.add_argument("--event", default="", metavar="PREFIX", help="only events that begin so, such as submit.")
    for action in (verify, show):
        add_state_arguments(action)
        action.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the action; 0 if all is well, 1 for a broken log."""
    folder = state_folder(args) / "audit"
    if not log_files(folder):
        print(f"actod audit: no audit log in {folder}", file=sys.stderr)
        return EXIT_USAGE
    return _verify(args, folder) if args.action == "verify" else _show(args, folder)


def _verify(args: argparse.Namespace, folder: Path) -> int:
    heads = []
    if args.bundles:
        for raw in args.bundles.read_bytes().splitlines():
            heads.append(orjson.loads(raw)["payload"]["meta"]["actod"]["audit"])
    report = verify_log(folder, expected_heads=heads)
    if args.json:
        print(json.dumps(dataclasses.asdict(report)))
    elif report.problem:
        print(f"BROKEN {report.file}, line {report.line} (n {report.n}): {report.problem}")
    else:
        print(f"{report.lines} lines in {report.files} files, no line was changed; head {report.head}")
    return 1 if report.problem else 0


def _show(args: argparse.Namespace, folder: Path) -> int:
    lines = []
    for file in log_files(folder):
        for raw in file.read_bytes().splitlines():
            line = orjson.loads(raw)
            if str(line.get("event", "")).startswith(args.event):
                lines.append(line)
    for line in lines[-args.last :]:
        if args.json:
            print(json.dumps(line))
            continue
        own = ("n", "at", "boot", "mono_ms", "event", "prev", "hash")
        fields = " ".join(f"{name}={value}" for name, value in line.items() if name not in own)
        print(f"{line['n']:>6} {line['at']} {line['event']} {fields}")
    return 0
