"""`actod pins sign|verify|show`: for operators, on their own machine or on the robot."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from asn1crypto import pem

from actod import configfile
from actod.cli.state import add_config_argument, ask
from actod.durable import write_whole
from actod.errors import EXIT_FAILED, RejectedError
from actod.keys.operators import read_signer
from actod.service.clock import SystemClock
from actod.submit.endpoint import host_of
from actod.submit.guard import trusted_time
from actod.submit.pinfile import PinFile
from actod.submit.pins import fingerprint
from actod.submit.pinset import LARGEST_BYTES, Operators, PinSet, read, sign
from actod.submit.tls import PIN_MEMORY

_LARGEST_CERTIFICATES_BYTES = 1 << 20


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("pins", help="sign, verify or show the pins of the collector")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    signing = actions.add_parser("sign", help="add a signature to a pin set; each operator on a machine of his own")
    signing.add_argument(
        "--key", type=Path, required=True, metavar="PEM", help="openssl genpkey -algorithm ed25519 -out PEM"
    )
    signing.add_argument("file", type=Path, metavar="FILE")
    verifying = actions.add_parser("verify", help="say whether this robot would take a pin set, and why not")
    verifying.add_argument("file", type=Path, metavar="FILE")
    add_config_argument(verifying)
    show = actions.add_parser("show", help="the pins of certificates, what a pin set holds, or (no FILE) those in force")
    show.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a PEM file of certificates, or a pin set")
    add_config_argument(show)


def run(args: argparse.Namespace) -> int:
    """Run the action; 1 where a set is not taken."""
    if args.action == "sign":
        _sign(args)
        return 0
    try:
        facts = _verified(args) if args.action == "verify" else _shown(args)
    except RejectedError as refusal:
        print(f"actod pins {args.action}: {args.file}: {refusal}", file=sys.stderr)
        return EXIT_FAILED
    for name, value in facts.items():
        for line in value if isinstance(value, list) else [value]:
            print(f"{name:<12} {'-' if line is None else line}")
    return 0


def _sign(args: argparse.Namespace) -> None:
    key = read_signer(args.key)
    write_whole(args.file, sign(_bounded(args.file, LARGEST_BYTES), key), like=args.file)


def _verified(args: argparse.Namespace) -> dict[str, Any]:
    config = configfile.load(args.config)
    wanted = config.collector.pin_set
    pin_file = PinFile(
        args.file,
        operators=Operators.parse(wanted.keys, wanted.threshold),
        host=host_of(config.collector.url),
        memory=config.state_directory / PIN_MEMORY,
        writes=False,
    )
    _bounded(args.file, LARGEST_BYTES)
    new = pin_file.take(trusted_time(SystemClock()))
    return {"verdict": "would be taken" if new else "is in force", **_described(pin_file.taken)}


def _shown(args: argparse.Namespace) -> dict[str, Any]:
    if args.file is None:
        return ask(configfile.load(args.config), "pins")
    data = _bounded(args.file, _LARGEST_CERTIFICATES_BYTES)
    if pem.detect(data):
        return {"pin": [fingerprint(pem.armor("CERTIFICATE", der)) for _, _, der in pem.unarmor(data, multiple=True)]}
    signed, signatures = read(data)
    return {**{name: signed[name] for name in sorted(signed)}, "signatures": len(signatures)}


def _described(pin_set: PinSet | None) -> dict[str, Any]:
    if pin_set is None:
        return {}
    return {"version": pin_set.version, "expires": f"{pin_set.expires:%Y-%m-%d}", "pins": sorted(pin_set.pins)}


def _bounded(path: Path, largest_bytes: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(largest_bytes + 1)
    if len(data) > largest_bytes:
        raise RejectedError("file_too_large", f"longer than {largest_bytes} bytes")
    return data
