"""`actod keys init|show`: the key on the token."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from actod import configfile
from actod.cli.state import add_config_argument
from actod.config import Config, LogConfig
from actod.errors import EXIT_FAILED, ConfigError, StopError, TransientError
from actod.keys import process, provision
from actod.keys.enquiry import ask_public_keys
from actod.keys.remedies import remedy
from actod.proof import thumbprint
from actod.service import log


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("keys", help="make and show the token's keys")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    codes = "Exit codes: 0 done, 1 the token does not do it (the remedy is named), 78 the configuration is refused."
    init = actions.add_parser(
        "init", help="make the key that token.uri names, on the token, never to leave it", epilog=codes
    )
    show = actions.add_parser("show", help="the public key, as the running daemon's signer gives it", epilog=codes)
    for action in (init, show):
        add_config_argument(action)
        action.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    process.harden(parent=None)  # init reads the PIN
    config = configfile.load(args.config)
    log.configure(LogConfig(level="error"))
    try:
        facts = _init(config) if args.action == "init" else _show(config, args)
    except ConfigError:
        raise
    except (TransientError, StopError) as exc:
        print(f"actod keys {args.action}: {exc}. Fix: {remedy(exc.reason)}", file=sys.stderr)
        return EXIT_FAILED
    if args.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:<12} {value}")
    return 0


def _init(config: Config) -> dict[str, str]:
    public_key = provision.make_key(config.token.uri, pin_file=config.token.pin_file, beside_others=False)
    return {"ed25519": public_key.hex(), "thumbprint": thumbprint.ed25519(public_key)}


def _show(config: Config, args: argparse.Namespace) -> dict[str, str]:
    keys = asyncio.run(ask_public_keys(config, config_file=args.config))
    return {"ed25519": keys.ed25519.hex(), "thumbprint": keys.ed25519_thumbprint, "kind": keys.kind}
