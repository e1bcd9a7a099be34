"""Where a command finds the configuration and the state folder: named, or by the configuration."""

from __future__ import annotations

import argparse
from pathlib import Path

from actod import configfile

DEFAULT_CONFIG = Path("/etc/actod/actod.toml")


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Add --config."""
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --state and --config."""
    parser.add_argument("--state", type=Path, metavar="DIR", help="the state folder; default: the configuration's")
    add_config_argument(parser)


def count(text: str) -> int:
    """Read an argument that is a whole number from 1 on."""
    if not (text.isascii() and text.isdigit() and 0 < len(text.lstrip("0")) < 10):  # noqa: PLR2004 - digits
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is expected, not {text!r}")
    return int(text)


def state_folder(args: argparse.Namespace) -> Path:
    """Return the folder that the arguments name. Raises ConfigError."""
    return args.state if args.state is not None else configfile.load(args.config).state_directory
