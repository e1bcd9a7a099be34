"""`actod routes test TOPIC [PAYLOAD]`: what would happen to a message. Nothing is connected, nothing is stored."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from actod import configfile
from actod.cli.state import DEFAULT_CONFIG
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.errors import RejectedError
from actod.model import Delivery
from actod.service.clock import SystemClock

_WHAT_TO_DO = {
    "no_route": "add a [[routes]] table whose topic matches",
    "duplicate_key": "the sender writes the same key twice: mend the sender",
    "not_json": "it begins like JSON and is none: mend the sender",
    "not_utf8": "JSON must be UTF-8: mend the sender",
    "too_large": "raise intake.largest_payload_bytes (at most 262144), or send less",
    "float_too_large": "floats of 1e16 and more are printed differently by verifiers: send an integer or text",
    "integer_range": "integers must fit 64 bits: send text",
    "nan": "NaN and Infinity are no JSON: send null or text",
    "lone_surrogate": "the text is no valid Unicode: mend the sender",
    "too_deep": "raise intake.max_depth (at most 120), or nest less",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("routes", help="show what would happen to a message")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="route one message")
    test.add_argument("topic", metavar="TOPIC")
    test.add_argument("payload", metavar="PAYLOAD", nargs="?", default="{}", help="text, or @FILE for a file's bytes")
    test.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    test.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Route; 0 if the message would be taken, 1 if it would be refused."""
    config = configfile.load(args.config)
    router = PayloadRouter(
        routes=Routes.compile(config.routes),
        device=config.device,
        intake=config.intake,
        identities={},
        digest_key=b"\0" * 32,  # ids that are drawn and digests are only examples here
    )
    try:
        payload = Path(args.payload[1:]).read_bytes() if args.payload.startswith("@") else args.payload.encode()
    except OSError as exc:
        print(f"actod routes: cannot read {exc.filename}: {exc.strerror}", file=sys.stderr)
        return 2
    delivery = Delivery(
        topic=args.topic,
        payload=payload,
        qos=1,
        packet_id=1,
        connection=1,
        duplicate=False,
        retained=False,
        received=SystemClock().now(),
    )
    try:
        reading = router.route(delivery)
    except RejectedError as refusal:
        route, traffic_class = router.describe(delivery)
        answer = {"refused": refusal.reason, "route": route, "class": traffic_class}
        answer["what_to_do"] = _WHAT_TO_DO.get(refusal.reason, "see docs")
    else:
        answer = {name: str(getattr(reading, name)) for name in ("route", "robot_id", "task_id", "run_id", "timestamp")}
        answer |= {"class": str(reading.traffic_class), "mask": reading.mask_profile, "members": ", ".join(reading.data)}
    if args.json:
        print(json.dumps(answer | {"bytes": len(payload)}))
    else:
        for name, value in answer.items():
            print(f"{name:12} {value}")
    return 1 if "refused" in answer else 0
