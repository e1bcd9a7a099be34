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

from actod.audit.files import content, log_files, parse_line, raw_lines, whole_lines
from actod.audit.line import OWN_FIELDS
from actod.audit.verify import AuditReport, verify_log, walk_log
from actod.audit.witness import EXIT_CODES, Testimony, judge, witnesses
from actod.cli.state import add_state_arguments, count, state_folder
from actod.cli.verify import read_files, trust_of
from actod.errors import EXIT_USAGE
from actod.proof.chain import verify_set
from actod.proof.verify import Verdict

_HEAD = re.compile(rb"[0-9a-f]{64}\Z")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("audit", help="verify or show the local audit log")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    codes = ", ".join(f"{code} {word}" for word, code in EXIT_CODES.items())
    verify = actions.add_parser(
        "verify",
        help="name the first bad line, and against bundles what was done to the log",
        epilog=f"Exit codes: 0 whole, 2 usage, 78 bad trust file, {codes}.",
    )
    verify.add_argument(
        "bundles",
        nargs="*",
        type=Path,
        metavar="BUNDLES",
        help="submitted bundles, as the collector gives them out (files, JSON lines, a folder): their heads are witnesses",
    )
    verify.add_argument(
        "--trust", action="append", type=Path, metavar="FILE", help="enrolled keys; may be given more than once"
    )
    verify.add_argument("--heads", type=Path, metavar="FILE", help="heads that must be in the log, oldest first, one a line")
    show = actions.add_parser("show", help="print the newest lines")
    show.add_argument("--last", type=count, default=20, metavar="N")
    show.add_argument("--event", default="", metavar="PREFIX", help="only events that begin so, such as submit.")
    for action in (verify, show):
        add_state_arguments(action)
        action.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the action; 0 if all is well, else the exit code of what was found."""
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
    if bool(args.trust) != bool(args.bundles):
        print(
            "actod audit: bundles and --trust FILE go together: a bundle vouches for the log if its key is trusted",
            file=sys.stderr,
        )
        return EXIT_USAGE
    if args.trust:
        return _verify_against_bundles(args, folder)
    heads = args.heads.read_bytes().split() if args.heads else []
    if not all(_HEAD.match(head) for head in heads):
        print(f"actod audit: {args.heads} does not hold a head in each line", file=sys.stderr)
        return EXIT_USAGE
    report = verify_log(folder, expected_heads=[head.decode() for head in heads])
    if args.json:
        print(json.dumps(dataclasses.asdict(report)))
    elif report.problem:
        print(f"{report.word.upper()} {report.file}, line {report.line} (n {report.n}): {report.problem}")
    else:
        print(_whole(report))
        if not heads:
            print("That the end was not cut off, and nothing written anew, only bundles can show: --trust FILE BUNDLES")
    return EXIT_CODES[report.word] if report.problem else 0


def _verify_against_bundles(args: argparse.Namespace, folder: Path) -> int:
    """Hold the log against the heads that submitted bundles carry."""
    trust = trust_of(args.trust)
    envelopes = [envelope for _source, envelope in read_files(args.bundles)]
    bundles = verify_set(envelopes, trust=trust)
    walk, report = walk_log(folder)
    keys = {key.ed25519 for device in walk.devices for key in trust.keys(device)}
    keys |= {one.signers[0] for one in bundles.envelopes if one.signers and not one.problems}
    refused = sum(bool(one.problems) for one in bundles.envelopes)
    given = witnesses(bundles.envelopes, envelopes)
    said = judge(report, walk, given, refused=refused, keys=frozenset(keys))
    if dependent := sum(one.verdict is Verdict.VERIFIER_DEPENDENT for one in bundles.envelopes):
        said.notes.append(f"{dependent} bundles vouch for nothing: verifiers do not agree on their numbers")
    said.notes += [f"of the bundles: {problem}" for problem in bundles.problems]
    said.notes += [f"of the bundles: {problem}" for chain in bundles.chains for problem in chain.problems]
    if args.json:
        print(json.dumps(dataclasses.asdict(report) | dataclasses.asdict(said) | {"exit_code": said.exit_code}))
    else:
        for line in _lines(report, said):
            print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))
    return said.exit_code


def _lines(report: AuditReport, said: Testimony) -> Iterator[str]:
    yield from (f"{finding.word.upper()} {finding.text}" for finding in said.findings)
    yield from (f"device    {device}" for device in said.devices)
    yield from (f"removed   {text}" for text in said.removed)
    yield from (f"note      {text}" for text in said.notes)
    if said.witnessed_n:
        yield f"witnessed up to line {said.witnessed_n}, by bundle {said.proof_id} of {said.witnessed_at}"
    if said.unwitnessed_lines:
        yield f"unwitnessed_since {said.unwitnessed_since}: {said.unwitnessed_lines} lines that no bundle here vouches for"
    if not said.findings:
        yield _whole(report)


def _whole(report: AuditReport) -> str:
    return f"{report.lines} lines in {report.files} files, no line was changed; n {report.last_n}, head {report.head}"


def _show(args: argparse.Namespace, folder: Path) -> int:
    for line in reversed(list(_newest(folder, args.event, args.last))):
        if args.json:
            print(json.dumps(line))
            continue
        fields = " ".join(f"{name}={json.dumps(value)}" for name, value in line.items() if name not in OWN_FIELDS)
        print(f"{line['n']:>6} {line.get('at')} {line['event']} {fields}")
    for text in _unreadable(folder):
        print(f"actod audit: {text}: actod audit verify", file=sys.stderr)
    return 0


def _unreadable(folder: Path) -> Iterator[str]:
    """Say what is no line, and which file cannot be read to its end: a line that nobody sees any more is worth a word."""
    count = 0
    for file in log_files(folder):
        data, damage = content(file)
        count += sum(parse_line(raw) is None for raw in raw_lines(data) if raw)
        if damage:
            yield f"{file.name}: {damage}"
    if count:
        yield f"{count} lines cannot be read and are not shown"


def _newest(folder: Path, event: str, most: int) -> Iterator[dict[str, Any]]:
    """Yield at most `most` lines, the newest first, from as few files as it takes."""
    for file in reversed(log_files(folder)):
        for line in reversed([line for line in whole_lines(file) if line["event"].startswith(event)]):
            if most <= 0:
                return
            yield line
            most -= 1
