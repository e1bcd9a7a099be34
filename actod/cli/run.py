"""`actod run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import resource
from pathlib import Path

from actod import configfile, daemon
from actod.cli.state import DEFAULT_CONFIG
from actod.service import log


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("run", help="collect, mask, seal and submit until stopped")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    parser.add_argument("--dry-run", action="store_true", help="check the configuration, say what would run, and stop")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; 0 after an orderly stop."""
    config = configfile.load(args.config)
    if args.dry_run:
        for line in daemon.describe(config):
            print(line)
        return 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold unmasked payloads
    log.configure(config.log)
    asyncio.run(daemon.run(config, config_file=args.config))
    return 0
