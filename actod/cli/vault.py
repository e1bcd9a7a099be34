"""`actod vault`: for the operator's own machine, where the private key is. The robot never needs it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from actod.errors import EXIT_FAILED, ActodError
from actod.secretfile import read_secret
from actod.store.vault import make_operator_key, unseal


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("vault", help="open messages that a robot sealed because it could not mask them")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    key = actions.add_parser("key", help="make a private key; print the line for the robots' configuration")
    key.add_argument("file", type=Path, metavar="FILE", help="where the private key is to stay: never on a robot")
    opening = actions.add_parser("open", help="print what is sealed as JSON lines; it is not masked")
    opening.add_argument("--key", type=Path, required=True, metavar="FILE")
    opening.add_argument("files", nargs="+", type=Path, metavar="SEALED")


def run(args: argparse.Namespace) -> int:
    """Run the action; 1 if a file cannot be opened."""
    if args.action == "key":
        try:
            public = make_operator_key(args.file)
        except OSError as exc:
            print(f"actod vault: {args.file}: {exc.strerror}", file=sys.stderr)
            return EXIT_FAILED
        print(f'[masking]\noperator_key = "{public}"')
        return 0
    private, failed = read_secret(args.key, key="--key"), False
    for file in args.files:
        try:
            print(unseal(file.read_bytes(), private_key=private).decode())
        except (ActodError, OSError) as exc:
            failed = True
            print(f"actod vault: {file}: {exc.strerror if isinstance(exc, OSError) else exc}", file=sys.stderr)
    return EXIT_FAILED if failed else 0
