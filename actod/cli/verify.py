"""`actod verify FILE...`: signature, hashes, chain, gaps, signer named inside; plain ACTO envelopes too."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actod.errors import EXIT_USAGE
from actod.proof.verify import Report, verify_set

EXIT_INVALID = 1
EXIT_DEPENDENT = 3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "verify",
        help="verify envelopes: signature, hashes, chain, gaps",
        epilog="Exit codes: 0 valid, 1 invalid, 2 usage, 3 valid here, but the verdict depends on the verifier.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an envelope, a list, JSON lines, a folder")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run(args: argparse.Namespace) -> int:
    """Verify all envelopes of all files as one set."""
    envelopes = []
    for path in args.files:
        try:
            for file in sorted(path.rglob("*.json*")) if path.is_dir() else [path]:
                envelopes += list(_envelopes(file.read_bytes()))
        except OSError as exc:
            print(f"actod verify: cannot read {exc.filename or path}: {exc.strerror}", file=sys.stderr)
            return EXIT_USAGE
        except ValueError:
            print(f"actod verify: {path} holds no JSON", file=sys.stderr)
            return EXIT_INVALID
    if not envelopes:
        print("actod verify: no envelope in these files", file=sys.stderr)
        return EXIT_USAGE
    report = verify_set(envelopes)
    if args.json:
        print(json.dumps(dataclasses.asdict(report) | {"valid": report.valid, "dependent": report.dependent}))
    else:
        for line in _lines(report):
            print(line)
    if not report.valid:
        return EXIT_INVALID
    return EXIT_DEPENDENT if report.dependent else 0


def _envelopes(data: bytes) -> Iterator[Any]:
    """Find the envelopes of a file, in whichever of the usual wrappings. NaN is read: a verdict about it is owed."""
    try:
        yield from _unwrap(json.loads(data))
    except ValueError:
        for line in data.splitlines():
            if line.strip():
                yield from _unwrap(json.loads(line))


def _unwrap(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _unwrap(item)
    elif isinstance(value, dict) and "payload" not in value and isinstance(value.get("items"), list):
        yield from _unwrap(value["items"])
    elif isinstance(value, dict) and "payload" not in value and "envelope" in value:
        yield value["envelope"]
    else:
        yield value


def _lines(report: Report) -> Iterator[str]:
    bad = [one for one in report.envelopes if one.problems]
    for one in bad:
        for problem in one.problems:
            yield f"INVALID {one.proof_id or '(no id)'}: {problem}"
    for one in report.envelopes:
        if one.dependent:
            yield f"DEPENDS {one.proof_id}: the verdict depends on the verifier: {one.dependent}"
    for chain in report.chains:
        name = f"device {chain.device} epoch {chain.epoch} robot {chain.robot_id or '(the device itself)'}"
        yield f"chain   {name}: seq {chain.first} to {chain.last}, {chain.count} bundles"
        for problem in chain.problems:
            yield f"BROKEN  {name}: {problem}"
    for problem in report.problems:
        yield f"BROKEN  {problem}"
    losses: dict[str, int] = {}
    for one in report.envelopes:
        for reason, count in one.loss.items():
            losses[reason] = losses.get(reason, 0) + count
    for reason, count in sorted(losses.items()):
        yield f"ledger  {reason}: {count}"
    yield f"{len(report.envelopes) - len(bad)} of {len(report.envelopes)} envelopes verify" + (
        "" if report.valid else "; see above"
    )
