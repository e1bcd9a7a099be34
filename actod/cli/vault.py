"""`actod vault`: for the operator's own machine, where the private key is. The robot never needs it.

It opens what a robot sealed to the operator: messages that could not be masked, and exports of the queue.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from actod.errors import EXIT_FAILED, ActodError
from actod.secretfile import read_secret
from actod.store.export import MAGIC, read_export
from actod.store.vault import make_operator_key, read_private_key, unseal


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("vault", help="open what a robot sealed to its operator")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    key = actions.add_parser("key", help="make a private key; print the line for the robots' configuration")
    key.add_argument("file", type=Path, metavar="FILE", help="where the private key is to stay: never on a robot")
    opening = actions.add_parser("open", help="print what is sealed, messages or the bundles of an export, as JSON lines")
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
    private, failed = read_private_key(read_secret(args.key, key="--key")), False
    for file in args.files:
        try:
            _print_opened(file, private)
        except (ActodError, OSError) as exc:
            failed = True
            print(f"actod vault: {file}: {exc.strerror if isinstance(exc, OSError) else exc}", file=sys.stderr)
    return EXIT_FAILED if failed else 0


def _print_opened(file: Path, private: bytes) -> None:
    """Print a sealed message, or an export as it is read: what came before damage is whole."""
    with file.open("rb") as opened:
        if opened.peek(len(MAGIC))[: len(MAGIC)] == MAGIC:
            sys.stdout.flush()
            for piece in read_export(opened, private_key=private):
                sys.stdout.buffer.write(piece)
            return
        print(unseal(opened.read(), private_key=private).decode())
