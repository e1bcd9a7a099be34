"""`actod signer`: the process that holds the token."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from actod import configfile
from actod.cli.state import add_config_argument
from actod.keys import process, uri
from actod.keys.keeper import TokenKeeper
from actod.service import log
from actod.service.folder import own_folder


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("signer", help="hold the token and sign for the daemon")
    add_config_argument(parser)
    parser.add_argument("--socket", type=Path, help="where to listen; default: the configuration's")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    process.harden(parent=args.parent)
    config = configfile.load(args.config)
    wanted = uri.parse(config.token.uri)
    log.configure(config.log, announce=args.parent is None)
    socket = args.socket or config.signer_socket
    if config.state_directory in socket.parents:
        own_folder(config.state_directory)  # whoever starts first makes it, and makes it ours alone
    allowed = config.environment != "prod" or config.token.allow_software_token_in_prod
    keeper = TokenKeeper(
        wanted,
        pin_file=config.token.pin_file,
        allow_software=allowed,
        lockout_seconds=config.token.lockout_seconds,
    )
    asyncio.run(process.serve(keeper=keeper, socket_path=socket, peers=frozenset({os.getuid()})))
    return 0
