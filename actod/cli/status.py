"""`actod status`: what the running daemon is about, in one screen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import orjson

from actod import configfile
from actod.cli.queue import store_lines
from actod.cli.state import NotRunningError, add_config_argument, ask
from actod.errors import EXIT_FAILED
from actod.store.status import SpoolStatus

_MB = 1e6


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    epilog = "Exit codes: 0 it runs, 1 it does not, 78 the configuration is refused."
    parser = subparsers.add_parser("status", help="what the running daemon is about, in one screen", epilog=epilog)
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Print the daemon's answer."""
    config = configfile.load(args.config)
    try:
        facts = ask(config, "status")
    except NotRunningError as exc:
        print(f"actod status: {exc}. Fix: systemctl start actod; `actod why` reads how it ended", file=sys.stderr)
        return EXIT_FAILED
    if args.json:
        print(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(_lines(facts)))
    return 0


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    sealing, refused = facts["sealing_waits_for"], facts["disk_refuses"]
    yield f"actod {facts['version']}"
    yield f"intake      {facts['intake']}"
    yield f"disk        {f'refuses what comes in: {refused}' if refused else 'takes data'}"
    yield f"sealing     {f'waits for the token: {sealing}' if sealing else 'goes on'}"
    yield f"submission  {facts['incident'] or facts['uplink']}"
    yield _token(facts["signer"])
    yield day_line(facts)
    yield from store_lines(SpoolStatus(**facts["store"]))


def _token(signer: dict[str, Any]) -> str:
    if "reason" in signer:
        return f"token       {signer['reason']}"
    failures = ", ".join(f"{reason} {count}" for reason, count in sorted(signer["errors"].items())) or "none"
    latency = f"p50 {signer['p50_seconds'] * 1000:.0f} ms, p99 {signer['p99_seconds'] * 1000:.0f} ms"
    return f"token       {signer['calls']} calls, {latency}, failures: {failures}"


def day_line(facts: dict[str, Any]) -> str:
    """Say what comes in and is written in a day, at the pace since the start, and how long the queue lasts unsent."""
    store, taken = facts["store"], facts["message_bytes_a_day"]
    if taken is None:
        return "a day       not known yet: too little came in"
    written, amplification = store["written_bytes_a_day"] / _MB, store["write_amplification"]
    return (
        f"a day       {taken / _MB:.1f} MB of messages, {written:.1f} MB written to the disk "
        f"({amplification:.2f} for each byte); unsent, the queue is full after {_span(facts['days_until_full'])}"
    )


def _span(days: float) -> str:
    return f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"
