"""`actod verify FILE...`: signature, hashes, chain, gaps, signer named inside; plain ACTO envelopes too."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from actod.errors import EXIT_USAGE, ConfigError, RejectedError
from actod.proof.chain import Report, verify_set
from actod.proof.trust import Trust
from actod.proof.trust import read as read_trust
from actod.proof.verify import AmbiguousObject, Verdict

_EXIT = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.VERIFIER_DEPENDENT: 3}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "verify",
        help="verify envelopes: signature, hashes, chain, gaps",
        epilog="Exit codes: 0 valid, 1 invalid, 2 usage, 3 valid, but it depends on the verifier, 78 bad trust file.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an envelope, a list, JSON lines, a folder")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument(
        "--trust",
        action="append",
        type=Path,
        metavar="FILE",
        help="enrolled keys and operators; may be given more than once",
    )
    parser.add_argument("--require-hardware", action="store_true", help="demand a chip's signature on each bundle")


def run(args: argparse.Namespace) -> int:
    """Verify all envelopes of all files as one set."""
    envelopes: list[Any] = []
    sources: list[str] = []
    if args.require_hardware and not args.trust:
        print(
            "actod verify: --require-hardware needs --trust FILE: which key lives in a chip, its enrolment says",
            file=sys.stderr,
        )
        return EXIT_USAGE
    try:
        trust = trust_of(args.trust) if args.trust else None
        for source, envelope in read_files(args.files):
            envelopes.append(envelope)
            sources.append(source)
    except OSError as exc:
        print(f"actod verify: cannot read {exc.filename}: {exc.strerror}", file=sys.stderr)
        return EXIT_USAGE
    if not envelopes:
        print("actod verify: no envelope in these files", file=sys.stderr)
        return EXIT_USAGE
    report = verify_set(envelopes, sources=sources, trust=trust, require_hardware=args.require_hardware)
    if args.json:
        print(json.dumps({"verdict": report.verdict, "losses": report.losses} | dataclasses.asdict(report)))
    else:
        for line in _lines(report):
            print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))  # ids may hold terminal commands
    return _EXIT[report.verdict]


def trust_of(files: list[Path]) -> Trust:
    """Read trust files. Raises ConfigError, OSError."""
    try:
        return read_trust([orjson.loads(file.read_bytes()) for file in files])
    except (RejectedError, orjson.JSONDecodeError) as exc:
        raise ConfigError(
            key="--trust", expected="trust files", found=str(exc), fix="write them with: actod keys export --trust"
        ) from exc


def read_files(paths: list[Path]) -> Iterator[tuple[str, Any]]:
    """Yield (where it was read, envelope) of all files. Raises OSError."""
    for file in _files(paths):
        for place, envelope in _envelopes(file.read_bytes()):
            yield f"{file}{place}", envelope


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*.json*") if file.is_file())
        else:
            yield path


def _envelopes(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield (place in the file, envelope), in whichever of the usual wrappings; what is no JSON is no envelope."""
    try:
        yield from _unwrap("", _read(data))
    except ValueError:
        for number, line in enumerate(data.split(b"\n"), 1):
            if line.strip():
                place = f", line {number}"
                try:
                    value = _read(line)
                except ValueError:
                    value = None  # reported as what it is: not an envelope
                yield from _unwrap(place, value)


def _read(text: bytes) -> Any:
    """Parse as the stock server does, NaN and double keys included: a verdict about them is owed. Raises ValueError."""
    try:
        return json.loads(text.decode(), object_pairs_hook=_object)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else AmbiguousObject(value)


def _unwrap(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for index, item in enumerate(value, 1):
            yield from _unwrap(f"{place}, item {index}", item)
    elif isinstance(value, dict) and "payload" not in value and isinstance(value.get("items"), list):
        yield from _unwrap(place, value["items"])
    elif isinstance(value, dict) and "payload" not in value and "envelope" in value:
        yield place, value["envelope"]
    else:
        yield place, value


def _lines(report: Report) -> Iterator[str]:
    good = 0
    for one in report.envelopes:
        good += not one.problems
        for problem in one.problems:
            yield f"INVALID  {one.source}: proof {one.proof_id or '(no id)'}: {problem}"
        if one.dated_at:
            lying = f"{one.created_at} by a clock that was not set"
            yield f"DATED    {one.source}: proof {one.proof_id}: {lying}, {one.dated_at} by what it was set to later"
        if one.disputed:
            yield f"DISPUTED {one.source}: proof {one.proof_id}: {one.disputed}"
        if one.dependent:
            yield f"DEPENDS  {one.source}: proof {one.proof_id}: the verdict depends on the verifier: {one.dependent}"
    for chain in report.chains:
        name = f"device {chain.device} epoch {chain.epoch} robot {chain.robot_id or '(the device itself)'}"
        yield f"chain    {name}: seq {chain.first} to {chain.last}, {chain.count} bundles"
        yield f"signed   {name}: by {', '.join(chain.signers)}"
        yield from (f"note     {name}: {note}" for note in chain.notes)
        yield from (f"BROKEN   {name}: {problem}" for problem in chain.problems)
    yield from (f"note     {note}" for note in report.notes)
    yield from (f"BROKEN   {problem}" for problem in report.problems)
    yield from (f"MARKED   {mark}" for mark in report.marks)
    yield from (f"REPLAYED {copy}: a copy of another in this set" for copy in report.copies)
    yield from (f"ledger   {reason}: {count}" for reason, count in report.losses.items())
    yield f"{report.verdict}: {good} of {len(report.envelopes)} envelopes verify"
