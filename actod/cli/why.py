"""`actod why`: why the oldest bundle has not left, in one line, and what to do. Works without a daemon, too."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actod import configfile
from actod.audit.files import log_files, whole_lines
from actod.cli.state import NotRunningError, add_config_argument, ask
from actod.service.why import Standing, explain
from actod.store.inspection import inspect
from actod.store.schema import DATABASE_NAME
from actod.submit.incident import read_incident
from actod.submit.verdict import VERDICTS, State


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    add_config_argument(subparsers.add_parser("why", help="say why the oldest bundle has not left, and what to do"))


def run(args: argparse.Namespace) -> int:
    """Print the line."""
    config = configfile.load(args.config)
    try:
        print(ask(config, "why")["why"])
    except NotRunningError:
        if not (config.state_directory / DATABASE_NAME).exists():
            print(f"actod does not run, start it: `systemctl start actod`. There is no store in {config.state_directory}")
            return 0
        print(f"actod does not run, start it: `systemctl start actod`. When it ended: {_left(config.state_directory)}")
    return 0


def _left(folder: Path) -> str:
    """Read from store and audit log how things stood."""
    with inspect(folder) as inspection:
        status = inspection.status(wall_ns=time.time_ns())
    submit = {"state": "ok", "reason": ""}
    sealing: str | None = None
    refused = ""
    for line in _lines(folder / "audit"):
        if line["event"] == "submit.state":
            submit = line
        elif line["event"] in {"store.blocked", "store.resumed"}:
            refused = line["reason"] if line["event"] == "store.blocked" else ""
        elif line["event"].startswith("seal."):
            sealing = line["reason"] if line["event"] == "seal.waiting" else None
    reason = submit["reason"]
    remedy = VERDICTS[reason].remedy if reason in VERDICTS else "nothing is wrong"
    incident = read_incident(folder)
    if incident.locked:
        submit = {"state": str(State.INCIDENT)}
    why = f"{submit['state']} ({reason}): {remedy}" if reason else "ok: nothing is wrong"
    standing = Standing(
        intake="",
        disk_refuses=refused,
        sealing_waits_for=sealing,
        uplink_state=submit["state"],
        uplink_why=incident.told if incident.locked else why,
        bundles=status.outbox_bundles,
        bulk_bundles=status.by_class.get("bulk", {}).get("waiting", 0),
        oldest_seconds=status.outbox_oldest_seconds,
        messages=status.journal_messages,
        quarantined=status.quarantined_bundles,
        bulk_is_held=False,
    )
    return explain(standing)


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for file in log_files(folder):
        yield from whole_lines(file)
