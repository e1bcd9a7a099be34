"""`actod run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import resource
import secrets
from collections.abc import Callable

import structlog

from actod import configfile, daemon
from actod.cli.state import add_config_argument
from actod.config import LogConfig, MaskingConfig
from actod.dryrun import admit
from actod.errors import ConfigError, RejectedError
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.service import log


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "run",
        help="collect, mask, seal and submit until stopped",
        epilog="Exit codes: 0 stopped in an orderly way, 70 integrity, 75 another actod has the state folder, "
        "78 the configuration is refused.",
    )
    add_config_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="check the configuration, say what would run, and stop")


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; 0 after an orderly stop."""
    try:
        config = configfile.load(args.config)
        described = admit(config)
    except ConfigError as exc:
        if log.is_under_systemd() and not args.dry_run:
            _journal_refusal(configfile.located(exc, args.config))
        raise
    if args.dry_run:
        print("\n".join(described))
        return 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold unmasked payloads
    faulthandler.enable()  # the watchdog's SIGABRT shows where each thread stands: files and lines, no values
    log.configure(config.log, scrub=_scrubber())
    asyncio.run(daemon.run(config, config_file=args.config))
    return 0


def _journal_refusal(error: ConfigError) -> None:
    """Say with fields why nothing starts, so that `journalctl -x` can explain it; stderr gets its one line as well."""
    log.configure(LogConfig(), announce=False)
    fields = {name: getattr(error, name) for name in ("file", "key", "expected", "found", "fix")}
    structlog.get_logger(__name__).error("The configuration is refused.", **fields)


def _scrubber() -> Callable[[str], str]:
    masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=secrets.token_bytes(32))

    def scrub(text: str) -> str:
        try:
            return str(masker.mask_value(text, profile="secrets-only")[0])
        except RejectedError:
            return "[redacted]"

    return scrub
