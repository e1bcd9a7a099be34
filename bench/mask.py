"""What masking costs: messages a second of CPU time, against parsing and dumping with orjson, and hostile text by the kB.

    python -m bench.mask [corpus] [state] [hostile] [memory]
    python -m bench.mask --plot docs/img/masking-time.svg

The corpus is tests/pii, read once by a masker that has seen nothing: most of its messages hold something. The state is clean
VDA 5050 as a robot repeats it. Hostile texts are those of tests/mask/test_properties.py. Memory is the proportional set
size of a process with and without the masker. The plot shows time against size; it takes two minutes.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from actod.config import MaskingConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from bench.chart import Axis, Curve, svg
from bench.figure import Figure
from bench.machine import say
from tests.mask.test_properties import HOSTILE

CORPUS = Path(__file__).parent.parent / "tests" / "pii" / "corpus.jsonl.gz"
TOPIC = "uagv/v2/acme/amr-07/state"
REPEATS = 5
SHORTEST_SECONDS = 0.3  # of a floor: less is the machine's mood
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


def masking(*, rounds: int = 5) -> list[Figure]:
    """Return the figures of the corpus and of clean state, floor and masker in turns."""
    lines = [orjson.loads(line) for line in gzip.decompress(CORPUS.read_bytes()).splitlines()]
    corpus_messages = [(line["topic"], orjson.dumps(line["payload"])) for line in lines]
    states = [(TOPIC, state(number)) for number in range(STATES)]
    warm = masker()
    masked(warm, states, "strict")
    masked(masker(), corpus_messages, "balanced")  # the interpreter's own warming up; each round has a masker of its own
    return [
        *_rounds("the corpus of personal data, balanced, cold", corpus_messages, "balanced", masker, rounds),
        *_rounds("clean VDA 5050 state of 600 B, strict", states, "strict", lambda: warm, rounds),
    ]


def _rounds(name: str, messages: Messages, profile: str, one: Callable[[], PolicyMasker], rounds: int) -> list[Figure]:
    say(f"masking {name}")
    floors, costs = [], []
    for _ in range(rounds):
        floors.append(_microseconds(lambda: bare(messages), messages))
        costs.append(_microseconds(lambda: masked(one(), messages, profile), messages))
    size = sum(len(raw) for _, raw in messages) / len(messages)
    return [
        Figure(
            name=f"masking, {name}{words}",
            unit=unit,
            values=[convert(cost) for cost in costs],
            floors=[convert(floor) for floor in floors],
            floor_name="orjson, read and write",
            kind=kind,
        )
        for words, unit, kind, convert in (
            ("", "us", "cpu", lambda us: us),
            (", messages a second of CPU", "msg/s", "count", lambda us: 1e6 / us),  # the same in other words
            (", bytes a second of CPU", "MB/s", "count", lambda us: size / us),
        )
    ]


def _microseconds(work: Callable[[], Any], messages: Messages) -> float:
    start = time.process_time()
    repeats = 0
    while not repeats or time.process_time() - start < SHORTEST_SECONDS:
        work()
        repeats += 1
    return (time.process_time() - start) / len(messages) / repeats * 1e6


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


BARE = "import gc, gzip, orjson, actod.config, actod.model, actod.proof.canonical\n"
LOADED = """
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
one = PolicyMasker(policy=Policy.compile(actod.config.MaskingConfig()), pseudonym_key=bytes(32))
"""
READ = f"with gzip.open({str(CORPUS)!r}) as lines:\n for line in lines:\n  message = orjson.loads(line)\n"
WARM = READ + "  one.mask_value(message['payload'], topic=message['topic'])\n"
MEASURE = """
gc.collect()
with open("/proc/self/smaps_rollup") as rollup:
    print(next(line.split()[1] for line in rollup if line.startswith("Pss:")))
"""


def memory() -> None:
    """Print what the masker adds to a process: loaded, and after it has read the corpus."""
    without, loaded, warm = (_pss_kib(code) for code in (BARE + READ, BARE + LOADED, BARE + LOADED + WARM))
    for name, kib in (("loaded", loaded), ("warm", warm)):
        print(f"memory, {name:16} {(kib - without) / 1024:9.1f} MiB more than {without / 1024:.1f} MiB without a masker")


def _pss_kib(code: str) -> int:
    """Return the proportional set size of a new process at the end of some code: the least of a few."""
    runs = (
        subprocess.run([sys.executable, "-c", code + MEASURE], check=True, capture_output=True, text=True)
        for _ in range(REPEATS)
    )
    return min(int(run.stdout) for run in runs)


KIB = 1024
SIZES = [KIB * 4**power for power in range(6)]  # 1 KiB to 1 MiB
LABELLED = 4  # the dearest of the texts


def _milliseconds(value: Any) -> float:
    best = float("inf")
    for _ in range(2):
        one = masker()
        start = time.process_time()
        one.mask_value(value)
        best = min(best, time.process_time() - start)
    return max(best * 1000, 0.01)


def _nested(size_bytes: int) -> Any:
    value: Any = 1
    for _ in range(size_bytes // len('{"a":}')):
        value = {"a": value}
    return value


def _bomb(opened_bytes: int) -> Any:
    return {"a": base64.b64encode(gzip.compress(b"word " * (opened_bytes // 5))).decode()}


def plot(file: Path) -> None:
    """Draw time against size: each hostile text, 10^5 keys, deep containers, containers that open to far more."""
    texts = {
        name: [(size, _milliseconds({"note": unit * (size // len(unit))})) for size in SIZES]
        for name, unit in HOSTILE.items()
    }
    dear = sorted(texts, key=lambda name: texts[name][-1][1])[-LABELLED:]
    curves = [
        Curve(points, name if name in dear else "") for name, points in sorted(texts.items(), key=lambda x: x[0] in dear)
    ]
    keys = [{f"key{n}": n for n in range(count)} for count in (100, 1000, 10_000, 100_000)]
    curves.append(Curve([(len(orjson.dumps(one)), _milliseconds(one)) for one in keys], "100 to 100,000 keys"))
    nested = (64 * KIB, 4 * KIB, KIB)
    curves.append(Curve([(size, _milliseconds(_nested(size))) for size in reversed(nested)], "objects in objects"))
    bombs = [*SIZES, 64 * KIB * KIB]
    curves.append(Curve([(size, _milliseconds(_bomb(size))) for size in bombs], "gzip, by what it opens to", dashed=True))
    curves.append(Curve([(size, 2.5 * size / KIB) for size in (SIZES[0], SIZES[-1])], "2.5 ms for each KiB", dashed=True))
    across = Axis(
        "size", KIB, 64 * KIB * KIB, {KIB: "1 KiB", 32 * KIB: "32 KiB", KIB * KIB: "1 MiB", 32 * KIB * KIB: "32 MiB"}
    )
    up = Axis(
        "CPU time",
        0.01,
        10_000,
        {0.01: "10 us", 0.1: "0.1 ms", 1: "1 ms", 10: "10 ms", 100: "0.1 s", 1000: "1 s", 10_000: "10 s"},
    )
    title = f"Time to mask hostile input against its size ({len(texts)} texts; the dearest have a name)"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(svg(title, across, up, curves))
    for name in reversed(dear):
        print(f"{name:28} " + "  ".join(f"{ms:8.1f} ms" for _, ms in texts[name]))


def main() -> None:
    parts: dict[str, Callable[[], None]] = {"corpus": corpus, "state": states, "hostile": hostile, "memory": memory}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[[], *parts])
    parser.add_argument("--plot", type=Path, metavar="SVG", help="draw time against size, and nothing else")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot)
        return
    for part in options.part or parts:
        parts[part]()


if __name__ == "__main__":
    main()
