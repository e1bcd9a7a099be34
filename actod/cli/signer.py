"""`actod signer`: the process that holds the token."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from actod import configfile
from actod.cli.state import DEFAULT_CONFIG
from actod.keys import process, uri
from actod.service import log


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("signer", help="hold the token and sign for the daemon")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    parser.add_argument("--socket", type=Path, help="where to listen; default: the configuration's")
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    process.harden(parent=args.parent)
    config = configfile.load(args.config)
    log.configure(config.log)
    socket = args.socket or config.signer.socket or config.state_directory / "run" / "signer.sock"
    asyncio.run(
        process.serve(
            uri=uri.parse(config.token.uri),
            pin_file=config.token.pin_file,
            socket_path=socket,
            peers=frozenset({os.getuid()}),
        )
    )
    return 0
