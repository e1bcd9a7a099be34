"""`actod run`: the daemon."""

from __future__ import annotations

import argparse
import asyncio
import resource
import secrets
from collections.abc import Callable

from actod import configfile, daemon, parts
from actod.cli.state import add_config_argument
from actod.collect.credentials import tls_context
from actod.config import Config, MaskingConfig
from actod.errors import RejectedError
from actod.keys import uri
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.secretfile import SecretFileError, read_secret
from actod.service import log
from actod.service.clock import SystemClock
from actod.submit.https import HttpsClient


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
    config = configfile.load(args.config)
    described = admit(config)
    if args.dry_run:
        print("\n".join(described))
        return 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold unmasked payloads
    log.configure(config.log, scrub=_scrubber())
    asyncio.run(daemon.run(config, config_file=args.config))
    return 0


def _scrubber() -> Callable[[str], str]:
    masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=secrets.token_bytes(32))

    def scrub(text: str) -> str:
        try:
            return str(masker.mask_value(text, profile="secrets-only")[0])
        except RejectedError:
            return "[redacted]"

    return scrub


def admit(config: Config) -> list[str]:
    """Say what would run; refuse what can be known to be wrong before anything is made. Raises ConfigError."""
    uri.parse(config.token.uri)  # first: what is described holds the URI, and must not hold a PIN
    described = list(parts.describe(config))
    HttpsClient(collector=config.collector, environment=config.environment, clock=SystemClock())  # it opens nothing
    parts.webhooks(config)
    if config.mqtt.password_file:
        read_secret(config.mqtt.password_file, key="mqtt.password_file")
    if config.mqtt.tls:
        tls_context(config.mqtt)
    if config.signer.spawn:
        _admit_pin(config)
    return described


def _admit_pin(config: Config) -> None:
    """Refuse a PIN that others can read. One that is away may come: no collection waits for what a TPM unseals."""
    try:
        read_secret(config.token.pin_file, key="token.pin_file")
    except SecretFileError as exc:
        if exc.fault != "unreadable":
            raise
