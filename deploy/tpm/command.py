"""The two commands, `provision` and `unprovision`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import shutil
import sys
from pathlib import Path

from machine import Machine, ProvisionError
from steps import DEVICE, REPORT, Plan, sealed_to

_SEALS = ("host+tpm2", "tpm2", "host", "file")


def main(name: str) -> int:
    """Run a command; 0 done, 1 it cannot go on."""
    args = _arguments(name)
    if os.geteuid() != 0 and args.root == Path("/"):
        print(f"{name}: run this as root", file=sys.stderr)
        return 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a token's library that crashes here, or in a child, knows the PIN
    plan = _plan(args)
    try:
        return _provision(plan, dry=args.dry_run) if name == "provision" else _unprovision(plan, args)
    except ProvisionError as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        return 1


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=name, description="See README.md beside this program.")
    parser.add_argument("kind", choices=("tpm", "softhsm"), help="a TPM 2.0, or a token in files (for tests and trials)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--user", default="actod-signer", help="the signer's user (default actod-signer)")
    parser.add_argument(
        "--seal", choices=_SEALS, help="what the PIN is encrypted to; default: as it is, at first the host's key and the TPM"
    )
    parser.add_argument("--tcti", default=f"device:{DEVICE}", help=f"how the TPM is reached (default device:{DEVICE})")
    parser.add_argument("--actod", default="actod", metavar="COMMAND", help="how actod is called (default actod)")
    parser.add_argument("--root", type=Path, default=Path("/"), help="a folder that stands for /, for tests")
    if name == "provision":
        parser.add_argument("--no-packages", action="store_true", help="install nothing: name what is missing")
    else:
        parser.add_argument("--destroy-keys", action="store_true", help="needed: the token and its keys are gone for ever")
    return parser.parse_args()


def _plan(args: argparse.Namespace) -> Plan:
    machine = Machine(args.root.resolve(), args.user)
    seal = args.seal or sealed_to(machine)
    if seal is None:
        seal = "host+tpm2" if args.kind == "tpm" or Path(DEVICE).exists() else "host"
        if shutil.which("systemd-creds") is None:
            print("warning: systemd-creds is missing: the PIN will lie unencrypted in a file of root's", file=sys.stderr)
            seal = "file"
    plan = Plan(
        machine=machine,
        kind=args.kind,
        seal=seal,
        tcti=args.tcti,
        actod=args.actod,
        install=not getattr(args, "no_packages", True),
    )
    return dataclasses.replace(plan, machine=dataclasses.replace(plan.machine, environment=plan.settings))


def _provision(plan: Plan, *, dry: bool) -> int:
    changed = False
    for step in plan.steps():
        if (changed and dry) or not step.done():  # in a dry run what comes behind a change cannot be looked at
            print(f"{'would do' if dry else 'doing':9} {step.name}", flush=True)
            if not dry:
                step.do()
            changed = True
        else:
            print(f"{'done':9} {step.name}", flush=True)
    if not dry:
        print(f"enrol this robot with {plan.machine.path(REPORT)}")
    return 0


def _unprovision(plan: Plan, args: argparse.Namespace) -> int:
    if not args.destroy_keys and not args.dry_run:
        raise ProvisionError("this destroys the robot's keys for ever. If that is wanted: --destroy-keys")
    for step in reversed(plan.steps()):
        if step.undo is not None:
            print(f"{'would undo' if args.dry_run else 'undoing':10} {step.name}", flush=True)
            if not args.dry_run:
                step.undo()
    return 0
