"""`actod routes test TOPIC [PAYLOAD]`: what would happen to a message. Nothing is connected, nothing is stored.

`actod routes open COMMITMENT`: the content whose place in a bundle a commitment took (a route with `digest = true`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from actod import configfile
from actod.cli.state import DEFAULT_CONFIG, add_state_arguments, state_folder
from actod.collect.contents import FOLDER, find
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.errors import EXIT_FAILED, RejectedError
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.model import Delivery, Reading
from actod.service.clock import SystemClock

_WHAT_TO_DO = {
    "bad_topic": "a topic is UTF-8 of at most 1024 characters",
    "bad_robot_id": "an id is text of at most 128 characters, or a whole number: mend the sender, or the route's robot_id",
    "bad_task_id": "an id is text of at most 128 characters, or a whole number: mend the sender, or the route's task_id",
    "bad_run_id": "an id is text of at most 128 characters, or a whole number: mend the sender, or the route's run_id",
    "mask_failed": "nothing of it could be kept: see actod mask --explain",
    "no_route": "add a [[routes]] table whose topic matches",
    "duplicate_key": "the sender writes the same key twice: mend the sender",
    "not_json": "it begins like JSON and is none: mend the sender",
    "not_utf8": "JSON must be UTF-8: mend the sender",
    "too_large": "raise intake.largest_payload_bytes (at most 262144), or send less",
    "event_too_large": "written canonically it fits no bundle (collector.max_envelope_bytes): send less at once",
    "float_too_large": "floats of 1e16 and more are printed differently by verifiers: send an integer or text",
    "integer_range": "integers must fit 64 bits: send text",
    "nan": "NaN and Infinity are no JSON: send null or text",
    "lone_surrogate": "the text is no valid Unicode: mend the sender",
    "too_deep": "raise intake.max_depth (at most 120), or nest less",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser("routes", help="show what would happen to a message, or open a commitment")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    test = actions.add_parser("test", help="route and mask one message")
    test.add_argument("topic", metavar="TOPIC")
    test.add_argument("payload", metavar="PAYLOAD", nargs="?", default="{}", help="text, or @FILE for a file's bytes")
    test.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    test.add_argument("--json", action="store_true")
    opening = actions.add_parser("open", help="print a kept content and its salt as JSON, checked against the commitment")
    opening.add_argument("commitment", metavar="COMMITMENT", help='as in the bundle: "sha256:..."')
    add_state_arguments(opening)


def run(args: argparse.Namespace) -> int:
    """Run the action; 1 if the message would be refused, or if the content is not here."""
    return _open(args) if args.action == "open" else _test(args)


def _open(args: argparse.Namespace) -> int:
    found = find(state_folder(args) / FOLDER, args.commitment.removeprefix("sha256:"))
    if found is None:
        print("actod routes: no content of this commitment is kept here, or it is damaged", file=sys.stderr)
        return EXIT_FAILED
    print(json.dumps(found, ensure_ascii=False))
    return 0


def _test(args: argparse.Namespace) -> int:
    config = configfile.load(args.config)
    router = PayloadRouter(
        routes=Routes.compile(config.routes),
        device=config.device,
        intake=config.intake,
        identities={},
        digest_key=b"\0" * 32,  # ids that are drawn, digests and pseudonyms are only examples here
    )
    masker = PolicyMasker(policy=Policy.compile(config.masking), pseudonym_key=b"\0" * 32)
    try:
        payload = Path(args.payload[1:]).read_bytes() if args.payload.startswith("@") else os.fsencode(args.payload)
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
        answer = _taken(router.route(delivery), masker, largest_event_bytes=config.largest_event_bytes)
    except RejectedError as refusal:
        route, traffic_class = router.describe(args.topic)
        what_to_do = _WHAT_TO_DO.get(refusal.reason, "see docs")
        answer = {"refused": refusal.reason, "route": route, "class": traffic_class, "what_to_do": what_to_do}
    answer["bytes"] = len(payload)
    if args.json:
        print(json.dumps(answer))
    else:
        for name, value in answer.items():
            print(f"{name:12} {_text(value)}")
    return 1 if "refused" in answer else 0


def _taken(reading: Reading, masker: PolicyMasker, *, largest_event_bytes: int) -> dict[str, Any]:
    """Say where a message would go, and what would be left of it."""
    masked = masker.mask(reading)
    if len(masked.event) > largest_event_bytes:
        raise RejectedError("event_too_large")
    event = json.loads(masked.event)
    return {
        "route": reading.route,
        "robot_id": masked.stream.robot_id,
        "task_id": masked.stream.task_id,
        "run_id": masked.stream.run_id,
        "timestamp": reading.timestamp,
        "class": str(reading.traffic_class),
        "mask": reading.mask_profile,
        "masked": dict(masked.masked),
        "topic": event["topic"],
        "data": event["data"],
    }


def _text(value: Any) -> str:
    """Write a value for people: none as a hyphen, JSON as it is recorded."""
    if value is None or value == {}:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
