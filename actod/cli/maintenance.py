"""`actod maintenance weekly|monthly|quarterly`: what a checklist asks for, done. Run by timers, or by hand."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import structlog

from actod import configfile
from actod.audit.log import AuditLog
from actod.cli.rounds import monthly, weekly
from actod.cli.rounds.quarterly import REMINDERS
from actod.cli.rounds.step import FAIL, OK, WARN, Result, Round, Step, taken
from actod.cli.state import NotRunningError, RefusedError, add_config_argument, ask
from actod.config import Config, LogConfig
from actod.errors import EXIT_FAILED, LockedError
from actod.service import log
from actod.service.clock import SystemClock
from actod.service.folder import act_as_owner, check_folder
from actod.service.maintenance import Run, note_run
from actod.store.lock import FolderLock

_ALL_SECONDS = 600.0
_log = structlog.get_logger(__name__)

_SOME = Step("checks", partial(weekly.checked, only=weekly.CHECKS), "actod check --offline", _ALL_SECONDS)
_ALL = Step("checks", weekly.checked, "actod check --offline", _ALL_SECONDS)
STEPS: dict[str, tuple[Step, ...]] = {
    "weekly": (*weekly.STEPS, _SOME),
    "monthly": (*weekly.STEPS, *monthly.STEPS, _ALL),
    "quarterly": (*weekly.STEPS, *monthly.STEPS, _ALL),
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "maintenance",
        help="what a checklist asks for each week, month and quarter",
        epilog="Exit codes: 0 nothing fails (warnings allowed), 1 something fails, or it could not be noted, 78 the "
        "configuration is refused.",
    )
    parser.add_argument("kind", choices=tuple(STEPS))
    parser.add_argument("--json", action="store_true", help="JSON lines instead of text")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Make the round: each step prints its lines as it ends; then the round is noted."""
    config = configfile.load(args.config)
    log.configure(config.log if log.is_under_systemd() else LogConfig(level="error"))
    failed: list[str] = []
    warned: list[str] = []
    for result in _results(Round(config, args.config, args.kind)):
        lists = {FAIL: failed, WARN: warned}
        if result.level in lists and result.id not in lists[result.level]:
            lists[result.level].append(result.id)
        _print(result, as_json=args.json)
    asked = list(REMINDERS) if args.kind == "quarterly" else []
    for name in asked:
        _print(Result(name, "ask", REMINDERS[name]), as_json=args.json)
    done = Run.ended(SystemClock(), failed=failed, warned=warned, asked=asked)
    unnoted = _noted(config, args.kind, done)
    _say(args.kind, done)
    if unnoted:
        print(f"fail  noted: {unnoted}", flush=True)
    return EXIT_FAILED if failed or unnoted else 0


def _print(result: Result, *, as_json: bool) -> None:
    remedy = f"\n        mend: {result.remedy}" if result.remedy and result.level != OK else ""
    text = f"{result.level:5} {result.id}: {result.detail}{remedy}"
    print(json.dumps(asdict(result)) if as_json else text, flush=True)


def _results(round_: Round) -> Iterator[Result]:
    for step in STEPS[round_.kind]:
        yield from taken(step, round_)


def _noted(config: Config, kind: str, done: Run) -> str:
    """Bring the run into audit log and status; return "" or why that was not possible."""
    try:
        ask(config, "maintenance.note", kind=kind, run=asdict(done))
    except NotRunningError:
        return _noted_alone(config, kind, done)
    except RefusedError as exc:
        return str(exc)
    return ""


def _noted_alone(config: Config, kind: str, done: Run) -> str:
    """Note it without a daemon. Its lock keeps one from starting meanwhile: the audit log has one writer."""
    state = config.state_directory
    act_as_owner(state)
    check_folder(state)
    try:
        lock = FolderLock(state)
    except LockedError:
        return "a daemon has the state folder, and does not answer: `systemctl status actod`"
    try:
        audit = AuditLog(state / "audit", clock=SystemClock(), config=config.audit_within_share)
        try:
            lists = {"failed": list(done.failed), "warned": list(done.warned), "asked": list(done.asked)}
            audit.record("maintenance.done", kind=kind, result=done.result, **lists)
        finally:
            audit.close()
        note_run(state, kind, done)
    except OSError as exc:
        return f"{exc.filename or state}: {exc.strerror}: make room there"
    finally:
        lock.release()
    return ""


def _say(kind: str, done: Run) -> None:
    """Say in the journal what came of it."""
    if done.result == OK:
        _log.info("Maintenance is done, and all is well.", kind=kind)
    else:
        failed, warned = list(done.failed), list(done.warned)
        _log.warning("Maintenance found what calls for a person.", kind=kind, failed=failed, warned=warned)
    if done.asked:
        _log.warning("Maintenance reminds of what only people can do.", kind=kind, asked=list(done.asked))
