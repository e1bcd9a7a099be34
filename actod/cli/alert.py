"""`actod alert test NAME`: send one alert to a channel of the configuration, and say what came of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from actod import configfile
from actod.cli.state import add_config_argument
from actod.config import LogConfig
from actod.errors import EXIT_FAILED, ConfigError
from actod.proof.envelope import iso
from actod.service import log
from actod.service.alerts import attempt
from actod.service.clock import SystemClock
from actod.submit.endpoint import check_proxy
from actod.submit.webhook import HttpsWebhook


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("alert", help="try a channel of alerts")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    codes = "Exit codes: 0 it arrived, 1 it did not (the reason is named), 78 the configuration is refused."
    test = actions.add_parser("test", help="send one alert of the kind `test`", epilog=codes)
    test.add_argument("name", metavar="NAME", help="the channel's name")
    add_config_argument(test)


def run(args: argparse.Namespace) -> int:
    """Send it."""
    config = configfile.load(args.config)
    log.configure(LogConfig(level="error"))
    channel = next((channel for channel in config.alerts if channel.name == args.name), None)
    if channel is None:
        names = ", ".join(channel.name for channel in config.alerts) or "there is none"
        raise ConfigError(key="alerts.name", expected=f"a channel ({names})", found=repr(args.name), fix="name one of them")
    wall_ns = SystemClock().now().wall_ns
    body: dict[str, Any] = {"alert": "test", "count": 1, "environment": config.environment, "device": config.device.id}
    body |= {"at": iso(wall_ns), "facts": {}}
    webhook = HttpsWebhook(channel, proxy=check_proxy(config.collector.proxy))
    reason = asyncio.run(attempt(webhook, body, wall_ns=wall_ns))
    if reason:
        print(f"actod alert: {args.name}: not delivered ({reason})", file=sys.stderr)
        return EXIT_FAILED
    print(f"{args.name}: delivered")
    return 0
