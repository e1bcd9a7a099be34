"""`actod check`: what is wrong, and the command that mends it, before a robot finds out."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from actod import configfile
from actod.cli.checks.check import Line
from actod.cli.checks.registry import UnknownCheckError, chosen, run_checks
from actod.cli.state import add_config_argument
from actod.config import LogConfig
from actod.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from actod.service import log

_CODES = (
    "Exit codes: 0 nothing fails (a warning is for a person to weigh, and has no code of its own), 1 something fails, "
    "2 there is no such check, 78 the configuration is refused: the daemon would not start."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "check", help="look at configuration, secrets, token, broker, collector, store, machine and units", epilog=_CODES
    )
    add_config_argument(parser)
    parser.add_argument("--offline", action="store_true", help="ask nobody over a network")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID|GROUP", help="this check, or this group; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="say what each check looks at, and make none")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of text")


def run(args: argparse.Namespace) -> int:
    """Make the checks; each prints its line as it ends."""
    try:
        checks = chosen(args.only)
    except UnknownCheckError as exc:
        print(f"actod check: {exc}", file=sys.stderr)
        return EXIT_USAGE
    if args.list:
        for group, check in checks:
            facts = {"id": check.id, "group": group, "looks_at": check.looks_at, "mend": check.mend}
            print(json.dumps(facts) if args.json else f"{group:13} {check.id:21} {check.looks_at}")
        return 0
    config = configfile.load(args.config)
    log.configure(LogConfig(level="error"))  # the checks' own lines say it
    lines: list[Line] = []
    for line in run_checks(config, args.config, only=args.only, offline=args.offline):
        lines.append(line)
        print(json.dumps(dataclasses.asdict(line)) if args.json else as_text(line), flush=True)
    if not args.json:
        print(", ".join(f"{sum(line.level == level for line in lines)} {level}" for level in ("ok", "warn", "fail", "skip")))
    failed = {line.id for line in lines if line.level == "fail"}
    if "configuration-valid" in failed:
        return EXIT_CONFIG
    return EXIT_FAILED if failed else 0


def as_text(line: Line) -> str:
    """Return a check's line, and under it what mends it."""
    remedy = f"\n       mend: {line.remedy}" if line.remedy else ""
    return f"{line.level:4}  {line.id}: {line.detail}{remedy}"
