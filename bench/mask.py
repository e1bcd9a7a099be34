"""What masking costs: messages a second of CPU time, against parsing and dumping with orjson, and hostile text by the kB.

    python -m bench.mask [corpus] [state] [hostile]

The corpus is tests/pii, read once by a masker that has seen nothing: most of its messages hold something. The state is clean
VDA 5050 as a robot repeats it. Hostile texts are those of tests/mask/test_properties.py.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from actod.config import MaskingConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from tests.mask.test_properties import HOSTILE

CORPUS = Path(__file__).parent.parent / "tests" / "pii" / "corpus.jsonl.gz"
TOPIC = "uagv/v2/acme/amr-07/state"
REPEATS = 5
STATES = 2000
HOSTILE_CHARACTERS = 16_000
Messages = list[tuple[str, bytes]]


def masker() -> PolicyMasker:
    return PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=bytes(32))


def state(number: int) -> bytes:
    """Make a valid VDA 5050 state of about 600 B: numbers and times vary, names do not."""
    return orjson.dumps(
        {
            "headerId": number,
            "timestamp": f"2026-03-01T12:{number // 60 % 60:02}:{number % 60:02}.{number % 1000:03}Z",
            "version": "2.1.0",
            "manufacturer": "acme",
            "serialNumber": "amr-07",
            "orderId": "order-1187",
            "orderUpdateId": 3,
            "lastNodeId": f"node-{number % 40}",
            "lastNodeSequenceId": 12,
            "driving": True,
            "paused": False,
            "operatingMode": "AUTOMATIC",
            "nodeStates": [{"nodeId": f"node-{number % 40 + 1}", "sequenceId": 14, "released": True}],
            "edgeStates": [{"edgeId": f"edge-{number % 40}", "sequenceId": 13, "released": True}],
            "agvPosition": {
                "x": 12.5 + number / 1000,
                "y": 7.25,
                "theta": 1.57,
                "mapId": "hall-2",
                "positionInitialized": True,
            },
            "velocity": {"vx": 0.8, "vy": 0.0, "omega": 0.02},
            "batteryState": {"batteryCharge": 71.5, "batteryVoltage": 48.2, "charging": False},
            "errors": [],
            "safetyState": {"eStop": "NONE", "fieldViolation": False},
        }
    )


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU time of one run, the best of a few."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def bare(messages: Messages) -> None:
    for _, raw in messages:
        orjson.dumps(orjson.loads(raw))


def masked(one: PolicyMasker, messages: Messages, profile: str) -> None:
    for topic, raw in messages:
        orjson.dumps(one.mask_value(orjson.loads(raw), topic=topic, profile=profile)[0])


def report(name: str, messages: Messages, one: Callable[[], PolicyMasker], profile: str = "balanced") -> None:
    floor = seconds(lambda: bare(messages))
    full = seconds(lambda: masked(one(), messages, profile))
    each = full / len(messages)
    print(f"{name:24} {1 / each:9,.0f} messages/s  {each * 1e6:7.1f} us each  {full / floor:6.1f} x orjson")


def corpus() -> None:
    lines = [orjson.loads(line) for line in gzip.decompress(CORPUS.read_bytes()).splitlines()]
    messages = [(line["topic"], orjson.dumps(line["payload"])) for line in lines]
    clean = [message for message, line in zip(messages, lines, strict=True) if not line["spans"]]
    report("corpus, cold", messages, masker)
    report("clean messages, cold", clean, masker)


def states() -> None:
    messages = [(TOPIC, state(number)) for number in range(STATES)]
    for profile in ("balanced", "strict"):
        one = masker()
        masked(one, messages, profile)
        report(f"state, {profile}", messages, lambda one=one: one, profile)  # type: ignore[misc]


def hostile() -> None:
    costs = []
    for name, unit in HOSTILE.items():
        text = unit * (HOSTILE_CHARACTERS // len(unit))
        costs.append((seconds(lambda text=text: masker().mask_value({"note": text})) / len(text), name))  # type: ignore[misc]
    for cost, name in sorted(costs, reverse=True):
        print(f"{name:28} {cost * 1e6:8.3f} ms/kB")


def main() -> None:
    parts: dict[str, Callable[[], None]] = {"corpus": corpus, "state": states, "hostile": hostile}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[[], *parts])
    for part in parser.parse_args().part or parts:
        parts[part]()


if __name__ == "__main__":
    main()
