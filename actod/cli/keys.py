"""`actod keys`: the keys on the token, their succession, and their public parts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from actod import configfile
from actod.cli import keyactions
from actod.cli.state import add_config_argument, utc_argument
from actod.config import Config, LogConfig
from actod.errors import EXIT_FAILED, ActodError, ConfigError
from actod.keys import process
from actod.keys.remedies import remedy
from actod.proof.statements import REASONS
from actod.service import log

_CODES = "Exit codes: 0 done, 1 it is not done (the remedy is named), 78 the configuration or a file is refused."
_FORMS = ("json", "jwk", "acto", "ed25519.pem", "p256.pem")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("keys", help="make, show, rotate, retire and adopt the robot's keys")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        command = actions.add_parser(name, help=summary, epilog=_CODES)
        if name != "sign-statement":
            add_config_argument(command)
        command.add_argument("--json", action="store_true", help="JSON instead of text")
        return command

    action("init", "make the key that token.uri names, on the token, never to leave it")
    action("list", "every key: in use, next, past, retired or unused, with its age")
    action("show", "the key in use")
    rotate = action("rotate", "let a new key sign from here on; the record is signed by both")
    retire = action("retire", "end a key: what it signs from here on is refused; the one in use is rotated first")
    retire.add_argument("ed25519", nargs="?", metavar="THUMBPRINT", help="default: the key in use")
    adopt = action("adopt", "go on with another key where the one in use is gone: an operator has to sign")
    adopt.add_argument("--operator", type=Path, metavar="FILE", help="the operator's public key (PEM): prepare a statement")
    adopt.add_argument("--out", type=Path, metavar="FILE", help="where the statement goes that the operator signs")
    adopt.add_argument("--signature", type=Path, metavar="FILE", help="the operator's signature over it: adopt")
    for command in (retire, adopt):
        command.add_argument(
            "--suspected-since", type=utc_argument, metavar="TIME", help="ISO 8601: dispute it from then on"
        )
    for command, default in ((rotate, "scheduled"), (retire, "compromised"), (adopt, "dead")):
        command.add_argument("--reason", choices=REASONS, default=default, help=f"default {default}")
    export = action("export", "public keys for others: PEM, JWK, the ACTO form, or a trust file for verifiers")
    export.add_argument("--as", dest="form", choices=_FORMS, default="json", help="of the key in use (default json)")
    export.add_argument("--trust", action="store_true", help="a trust file for actod verify --trust")
    export.add_argument(
        "--operator", action="append", type=Path, default=[], metavar="FILE", help="an operator to trust (PEM)"
    )
    sign = action("sign-statement", "on the operator's machine: sign what adopt --out wrote")
    sign.add_argument("statement", type=Path, metavar="STATEMENT")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the operator's private key (PEM, mode 0600)")
    sign.add_argument("--out", type=Path, metavar="FILE", help="default: STATEMENT.sig")


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    process.harden(parent=None)  # init reads the PIN, sign-statement an operator's key
    log.configure(LogConfig(level="error"))
    try:
        if args.action == "sign-statement":
            answer: Any = keyactions.sign_statement(args)
        else:
            answer = _ACTIONS[args.action](configfile.load(args.config), args)
    except ConfigError:
        raise
    except ActodError as exc:
        print(f"actod keys {args.action}: {exc}. Fix: {remedy(exc.reason)}", file=sys.stderr)
        return EXIT_FAILED
    if isinstance(answer, str):
        print(answer, end="" if answer.endswith("\n") else "\n")
    elif args.json or args.action == "export":
        print(json.dumps(answer))
    else:
        for line in _text(answer):
            print(line)
    return 0


def _text(answer: Any) -> Iterator[str]:
    if isinstance(answer, list):
        for row in answer:
            yield f"{row['state']:<8} {row['ed25519']}  {row['kind']}, {_when(row)}"
        return
    for name, value in answer.items():
        if isinstance(value, list):
            yield from (f"{name:<12} {'  '.join(map(str, item.values()))}" for item in value)
        else:
            yield f"{name:<12} {'-' if value is None else value}"


def _when(row: dict[str, Any]) -> str:
    place = "not on the token" if row["generation"] is None else f"generation {row['generation']}"
    return place if row["since"] is None else f"{place}, {row['age_days']} days, {row['since']} to {row['until'] or 'now'}"


_ACTIONS: dict[str, Callable[[Config, argparse.Namespace], Any]] = {
    "init": keyactions.init,
    "list": keyactions.list_keys,
    "show": keyactions.show,
    "rotate": keyactions.rotate,
    "retire": keyactions.retire,
    "adopt": keyactions.adopt,
    "export": keyactions.export,
}
