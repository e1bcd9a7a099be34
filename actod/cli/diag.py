"""`actod diag`: a bundle for support, of numbers and the program's own words, that the recipient alone can read."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from actod import configfile
from actod.cli.diagnostics.bundle import lines, listed
from actod.cli.diagnostics.collectors import Site, collectors
from actod.cli.state import add_config_argument, count
from actod.config import LogConfig
from actod.errors import ConfigError
from actod.proof.envelope import iso
from actod.service import log
from actod.service.clock import SystemClock
from actod.store.export import write_export
from actod.store.vault import read_operator_key


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "diag",
        help="a bundle for support: what may be seen, sealed to whoever is to read it",
        epilog="Exit codes: 0 written (what could not be gathered is named in it), 1 not written, 78 no recipient.",
    )
    parser.add_argument("--list", action="store_true", help="say what a bundle would hold, field by field, and make none")
    parser.add_argument("--recipient", metavar="KEY", help="a public key of `actod vault key`; default: the operator's")
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="a new file; default: actod-diag-TIME.sealed")
    parser.add_argument("--log", type=Path, metavar="FILE", help="the daemon's log as JSON lines, where there is no journal")
    parser.add_argument("--lines", type=count, default=500, metavar="N", help="so many lines of the log (default 500)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the bundle, or say what it would hold."""
    log.configure(LogConfig(level="error"))
    gathered = collectors(Site(config_file=args.config, log_file=args.log, most_lines=args.lines))
    if args.list:
        for each in listed(gathered):
            print(f"{each['name']:14} {each['about']}\n{'':14} {json.dumps(each['fields'])}")
        return 0
    recipient = _recipient(args)  # first: what cannot be read by anyone is not gathered
    made_at = iso(SystemClock().now().wall_ns)
    out = args.out or Path(f"actod-diag-{made_at[:19].replace(':', '')}.sealed")
    contents: list[dict[str, object]] = []

    def noted() -> Iterator[bytes]:
        for number, line in enumerate(lines(gathered, made_at=made_at)):
            if not number:
                contents.extend(json.loads(line)["contents"])
            yield line

    write_export(out, noted(), recipient=recipient)
    for each in contents:
        came = f"not there: {each['failed']}" if each["failed"] else each["about"]
        left_out = f" ({each['dropped']} fields left out)" if each["dropped"] else ""
        print(f"{each['name']:14} {came}{left_out}")
    print(f"{out}: for the recipient alone: actod vault open --key FILE {out}")
    return 0


def _recipient(args: argparse.Namespace) -> bytes:
    if args.recipient:
        return read_operator_key(args.recipient, key="--recipient")
    key = configfile.load(args.config).masking.operator_key
    if not key:
        raise ConfigError(
            key="--recipient",
            expected="the public key of whoever is to read the bundle",
            found="none: a bundle is never written in the clear",
            fix="have them run `actod vault key FILE`, and send what it prints",
        )
    return read_operator_key(key)
