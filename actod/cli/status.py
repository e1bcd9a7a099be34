"""`actod status`: what the running daemon is about, in one screen; with --watch again and again."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import orjson

from actod import configfile
from actod.cli.queue import store_lines
from actod.cli.state import NotRunningError, add_config_argument, ask
from actod.cli.watch import watch
from actod.errors import EXIT_FAILED
from actod.store.status import SpoolStatus

_MB = 1e6
_WATCH_SECONDS, _FASTEST_SECONDS, _SLOWEST_SECONDS = 2.0, 0.2, 3600.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_PARTS = {"collect": "collecting", "disk": "writing", "seal": "sealing", "submit": "submission"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    epilog = (
        "Exit codes: 0 it runs (with --watch: ended by Ctrl-C), 1 it does not, 78 the configuration is refused. --watch "
        "waits for a daemon that is away; with --json it prints one line of JSON for each answer."
    )
    parser = subparsers.add_parser("status", help="what the running daemon is about, in one screen", epilog=epilog)
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="JSON instead of text")
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=_WATCH_SECONDS,
        metavar="SECONDS",
        help=f"go on, every so many seconds (default {_WATCH_SECONDS:g}), until Ctrl-C",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not _FASTEST_SECONDS <= seconds <= _SLOWEST_SECONDS:
        message = f"{_FASTEST_SECONDS:g} to {_SLOWEST_SECONDS:g} seconds are expected, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return seconds


def run(args: argparse.Namespace) -> int:
    """Print the daemon's answer, once or until Ctrl-C."""
    config = configfile.load(args.config)
    if args.watch is not None:
        if args.json:
            return watch(
                lambda: orjson.dumps(ask(config, "status")).decode(),
                away=lambda reason: orjson.dumps({"away": reason}).decode(),
                every_seconds=args.watch,
            )
        return watch(
            lambda: "\n".join((_now(), *_lines(ask(config, "status")), "")),
            away=lambda reason: f"{_now()}\n{reason}\nit is waited for\n",
            every_seconds=args.watch,
        )
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


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z")


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    sealing, refused = facts["sealing_waits_for"], facts["disk_refuses"]
    yield f"actod {facts['version']}, for {_span(facts['uptime_seconds'])}, start {facts['starts']} of this store"
    yield f"intake      {facts['intake']}"
    yield f"disk        {f'refuses what comes in: {refused}' if refused else 'takes data'}{_silent(facts)}"
    yield f"sealing     {f'waits for the token: {sealing}' if sealing else 'goes on'}"
    yield f"submission  {facts['incident'] or facts['uplink']}"
    yield f"blocked     {_blocked(facts['blocked'])}"
    yield f"rates       {_rates(facts['rates_per_second'])}"
    yield _token(facts["signer"])
    yield f"latency     sign {_latency(facts['sign'])}; submit {_latency(facts['submit'])}"
    yield from day_lines(facts)
    yield f"maintenance {_maintained(facts['maintenance'])}"
    yield f"losses      {_counts(facts['losses'])}"
    yield from store_lines(SpoolStatus(**facts["store"]))
    yield f"last receipts{'' if facts['receipts'] else ': none yet'}"
    for receipt in facts["receipts"]:
        confirmed = (receipt["confirmed_at"] or "")[:19].replace("T", " ")
        size = f"{receipt['messages']:>5} messages {receipt['bytes']:>7} B"
        yield f"  {confirmed}  {receipt['proof_id']} {size}  {receipt['class']}"


def _maintained(kinds: dict[str, dict[str, Any]]) -> str:
    said = []
    for kind, run in kinds.items():
        ago = "" if run["age_days"] is None else f" {run['age_days']:.0f} days ago"
        wrong = ", ".join([*run["failed"], *run["warned"]])
        said.append(f"{kind} {run['result']}{ago}{' OVERDUE' if run['overdue'] else ''}{f' ({wrong})' if wrong else ''}")
    return "; ".join(said)


def _silent(facts: dict[str, Any]) -> str:
    return "" if facts["store_answers"] else "; IT HANGS: what is said of the store is what it said last"


def _blocked(blocked: list[dict[str, Any]]) -> str:
    said = (f"{_PARTS.get(each['part'], each['part'])}: {each['reason']} for {_span(each['seconds'])}" for each in blocked)
    return "; ".join(said) or "nothing"


def _rates(rates: dict[str, float] | None) -> str:
    if rates is None:
        return "not known yet"
    return (
        f"in {rates['messages_received']:.1f}/s, {rates['messages_journaled']:.1f}/s journaled; "
        f"out {rates['bundles_receipted']:.2f} bundles/s, {rates['wire_bytes'] / 1000:.1f} kB/s"
    )


def _token(signer: dict[str, Any]) -> str:
    if "calls" not in signer:
        return f"token       {signer['reason']}"
    latency = f"p50 {signer['p50_seconds'] * 1000:.0f} ms, p99 {signer['p99_seconds'] * 1000:.0f} ms"
    return f"token       {signer['calls']} calls, {latency}, failures: {_counts(signer['errors'])}"


def _latency(latency: dict[str, Any]) -> str:
    if not latency["count"]:
        return "none yet"
    return f"p50 {latency['p50_seconds'] * 1000:.0f} ms, p99 {latency['p99_seconds'] * 1000:.0f} ms"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items()) if count) or "none"


def day_lines(facts: dict[str, Any]) -> Iterator[str]:
    """Say what comes in, is written and goes out in a day, at the pace since the start, and how long the queue lasts."""
    store, taken, wire = facts["store"], facts["message_bytes_a_day"], facts["wire_bytes_a_day"]
    if taken is None or wire is None:
        yield "a day       not known yet: too little came in"
        return
    written, amplification = store["written_bytes_a_day"] / _MB, store["write_amplification"]
    yield (
        f"a day       {taken / _MB:.1f} MB of messages, {written:.1f} MB to the disk ({amplification:.2f} for each byte), "
        f"{wire / _MB:.1f} MB on the wire"
    )
    yield f"full after  {_span(facts['days_until_full'] * _DAY)}, if nothing leaves"


def _span(seconds: float) -> str:
    for unit, word in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {word}"
    return f"{seconds:.0f} s"
