"""`actod reload`: have the running daemon take a changed configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from actod import configfile
from actod.cli.state import add_config_argument, ask_at


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "reload",
        help="have the running daemon take a changed configuration",
        epilog="Exit codes: 0 the new configuration is in force, 1 it is refused and the old one stays, or no daemon runs.",
    )
    add_config_argument(parser)
    parser.add_argument("--socket", type=Path, help="the daemon's control socket; default: the configuration's")


def run(args: argparse.Namespace) -> int:
    """Ask, and say what changed. `--socket` works while the configuration is broken, as ExecReload= must."""
    done = ask_at(args.socket or configfile.load(args.config).control_socket, "reload")
    print(f"configuration sha256 {done['config']} is in force")
    for what, keys in (("changed", done["changed"]), ("takes a restart", done["needs_restart"])):
        if keys:
            print(f"{what}: {', '.join(keys)}")
    return 0
