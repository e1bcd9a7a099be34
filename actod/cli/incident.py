"""`actod incident lock|unlock`: stop submitting at once, and go on collecting, masking and sealing; or let it go on."""

from __future__ import annotations

import argparse
import os

from actod import configfile
from actod.cli.state import NotRunningError, add_config_argument, ask
from actod.errors import TransientError
from actod.proof.envelope import iso
from actod.service.clock import SystemClock
from actod.service.folder import act_as_owner, check_folder
from actod.submit.incident import LOCK, UNLOCK, Action, note

_DEFAULT_REASON = "operator"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("incident", help="stop submitting for the time of an incident, or let it go on")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    codes = "Exit codes: 0 done, 1 not done or not on disk (what holds is said), 78 the configuration is refused."
    for action, summary in (
        (LOCK, "submit nothing from now on, over restarts and power cuts, until it is unlocked; collecting goes on"),
        (UNLOCK, "submit what has queued, and go on"),
    ):
        each = actions.add_parser(action, help=summary, epilog=codes)
        each.add_argument("--reason", default=_DEFAULT_REASON, metavar="WORD", help="stands in audit log, chain and alert")
        add_config_argument(each)


def run(args: argparse.Namespace) -> int:
    """Ask the daemon; where none answers, write what its next start finds."""
    config = configfile.load(args.config)
    try:
        answer = ask(config, f"incident.{args.action}", reason=args.reason)
    except NotRunningError as exc:
        action = Action(args.action, args.reason, iso(SystemClock().now().wall_ns), os.getuid())
        act_as_owner(config.state_directory)  # in an incident nobody should have to look up whose it is
        check_folder(config.state_directory)
        try:
            note(config.state_directory, action)
        except OSError as refusal:
            fault = f"{refusal.strerror}: nothing has changed; make room in {config.state_directory}"
            raise TransientError("incident_unwritten", fault) from refusal
        print(
            f"submission is {args.action}ed in {config.state_directory}; {exc}. The next start holds to it and records it."
        )
        return 0
    late = "" if answer["recorded"] else "; the disk refuses, so the device's chain has it later"
    print(f"submission is {args.action}ed: {answer['state']}{late}")
    return 0
