"""`actod audit verify|show`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from actod.audit.files import log_files, whole_lines
from actod.audit.line import OWN_FIELDS
from actod.audit.verify import verify_log
from actod.cli.state import add_state_arguments, count, state_folder
from actod.errors import EXIT_FAILED, EXIT_USAGE

_HEAD = re.compile(rb"[0-9a-f]{64}\Z")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("audit", help="verify or show the local audit log")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    verify = actions.add_parser(
        "verify", help="name the first bad line, if there is one", epilog="Exit codes: 0 whole, 1 broken, 2 usage."
    )
    verify.add_argument(
        "--heads",
        type=Path,
        metavar="FILE",
        help="heads that must be in the log, oldest first: a hash a line, or envelopes as JSON lines. "
        "Without them a log whose end was cut off looks whole",
    )
    show = actions.add_parser("show", help="print the newest lines")
    show.add_argument("--last", type=count, default=20, metavar="N")
    show.add_argument("--event", default="", metavar="PREFIX", help="only events that begin so, such as submit.")
    for action in (verify, show):
        add_state_arguments(action)
        action.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the action; 0 if all is well, 1 for a broken log."""
    folder = state_folder(args) / "audit"
    try:
        if not log_files(folder):
            print(f"actod audit: no audit log in {folder}", file=sys.stderr)
            return EXIT_USAGE
        return _verify(args, folder) if args.action == "verify" else _show(args, folder)
    except BrokenPipeError:
        raise  # the reader of what we print has left
    except OSError as exc:
        print(f"actod audit: cannot read {exc.filename}: {exc.strerror}", file=sys.stderr)
        return EXIT_USAGE


def _verify(args: argparse.Namespace, folder: Path) -> int:
    heads: list[str] = []
    if args.heads:
        try:
            heads = _heads(args.heads.read_bytes())
        except (ValueError, KeyError, TypeError):
            print(f"actod audit: {args.heads} holds neither heads nor envelopes of actod", file=sys.stderr)
            return EXIT_USAGE
    report = verify_log(folder, expected_heads=heads)
    if args.json:
        print(json.dumps(dataclasses.asdict(report)))
    elif report.problem:
        print(f"BROKEN {report.file}, line {report.line} (n {report.n}): {report.problem}")
    else:
        print(f"{report.lines} lines in {report.files} files, no line was changed; n {report.last_n}, head {report.head}")
        if not heads:
            print("That the end was not cut off shows only against heads carried in bundles: --heads FILE")
    return EXIT_FAILED if report.problem else 0


def _heads(data: bytes) -> list[str]:
    """Read heads: plain, or from envelopes (wrapped as the server lists them, or not), in the device's own order."""
    plain, carried = [], []
    for raw in data.split(b"\n"):
        text = raw.strip()
        if _HEAD.match(text):
            plain.append(text.decode())
        elif text:
            value = orjson.loads(text)
            meta = value.get("envelope", value)["payload"]["meta"]["actod"]
            carried.append((meta["epoch"], meta["device_seq"], str(meta["audit"])))
    return plain + [head for _epoch, _device_seq, head in sorted(carried)]


def _show(args: argparse.Namespace, folder: Path) -> int:
    for line in reversed(list(_newest(folder, args.event, args.last))):
        if args.json:
            print(json.dumps(line))
            continue
        fields = " ".join(f"{name}={json.dumps(value)}" for name, value in line.items() if name not in OWN_FIELDS)
        print(f"{line['n']:>6} {line.get('at')} {line['event']} {fields}")
    return 0


def _newest(folder: Path, event: str, most: int) -> Iterator[dict[str, Any]]:
    """Yield at most `most` lines, the newest first, from as few files as it takes."""
    for file in reversed(log_files(folder)):
        for line in reversed([line for line in whole_lines(file) if line["event"].startswith(event)]):
            if most <= 0:
                return
            yield line
            most -= 1
