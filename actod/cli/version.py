"""`actod version`."""

from __future__ import annotations

import argparse

from actod import __version__


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    subparsers.add_parser("version", help="print the version")


def run(_args: argparse.Namespace) -> int:
    """Print the version."""
    print(f"actod {__version__}")
    return 0
