"""The main job under kills: `python -m hil.soak --kills 10 --messages 20000`.

A publisher numbers its QoS 1 messages; actod is killed at random moments, at least 20 acknowledgements apart; the
collector fails a third of its requests. At the end every acknowledged message must be in the collector's bundles.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.oracle import Verdict, events, judge
from hil.rig import Rig, build, wait_for

SETTINGS = """requests_per_second = 1000
backoff_min_seconds = 0.05
backoff_max_seconds = 1.0

[seal]
max_age_seconds = 1.0
max_events = 200
heartbeat_seconds = 5

[intake]
max_open_runs = 64
"""


def number(_topic: str, data: dict[str, Any]) -> int | None:
    """Return the number that the publisher gave."""
    return data.get("n")


class Publisher(threading.Thread):
    """Publishes numbered QoS 1 messages as fast as the broker takes them, then ends. It never goes beyond `allowed`."""

    def __init__(self, *, port: int, messages: int, per_second: float, first: int = 0) -> None:
        super().__init__(name="publisher")
        self.port, self.messages, self.per_second, self.first = port, messages, per_second, first
        self.published, self.allowed = 0, messages

    def run(self) -> None:
        """Publish; each message is confirmed by the broker before the thread ends."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="publisher", protocol=mqtt.MQTTv5)
        client.max_inflight_messages_set(200)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        started = time.monotonic()
        last = None
        for index in range(self.first, self.first + self.messages):
            while self.published >= self.allowed:
                time.sleep(0.01)
            body = json.dumps({"n": index, "joints": [0.1 * (index % 31), -1.25, 2.5], "state": "ok"})
            last = client.publish(f"robot/{index % 3}/joints", body, qos=1)
            self.published += 1
            if index % 200 == 0:
                ahead = self.published / self.per_second - (time.monotonic() - started)
                time.sleep(max(0.0, ahead))
        if last is not None:
            last.wait_for_publish(60)
        client.disconnect()
        client.loop_stop()


def run(rig: Rig, *, kills: int, messages: int, seed: int, per_second: float = 2000, say: Any = print) -> Verdict:
    """Run one soak on a rig that was built with SETTINGS, and judge it."""
    chance = random.Random(seed)
    rig.collector.set_faults(
        [
            {"kind": "status", "status": 503, "p": 0.2, "seed": seed},
            {"kind": "lost_response", "p": 0.1, "seed": seed + 1},
            {"kind": "cut", "at": "before_response", "p": 0.1, "seed": seed + 2},
        ]
    )
    rig.actod.start()
    wait_for(rig.witness.subscribed, seconds=20, what="the subscription")
    publisher = Publisher(port=rig.broker.port, messages=messages, per_second=per_second)
    publisher.allowed = messages // (kills + 1)  # a slow machine must not run out of messages before the last kill
    publisher.start()
    for kill in range(kills):
        before = rig.witness.count_pubacks()
        wait_for(lambda seen=before: rig.witness.count_pubacks() >= seen + 20, seconds=60, what="20 acknowledgements")
        time.sleep(chance.uniform(0, 0.6))  # the moment of the kill is the experiment
        rig.actod.kill()
        publisher.allowed = messages if kill == kills - 1 else messages * (kill + 2) // (kills + 1)
        say(f"kill {kill + 1}/{kills}: {rig.witness.count_pubacks()} acknowledged, {len(rig.envelopes())} bundles")
        rig.actod.start()
    publisher.join(120)
    wanted = set(range(messages))
    rig.collector.set_faults([])

    def all_there() -> bool:
        return wanted <= {number("", event["data"]) for event, _ in events(rig.envelopes())}

    try:
        wait_for(all_there, seconds=120, what="every message at the collector")
    except TimeoutError as exc:
        say(str(exc))
    rig.actod.stop()
    return judge(rig, number=number, published=wanted)


def main() -> int:
    """Run the campaign and print the account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="actod-soak-"))
    print(f"soak: {options.kills} kills, {options.messages} messages, seed {options.seed}, in {folder}", flush=True)
    with build(folder, settings=SETTINGS) as rig:
        verdict = run(rig, kills=options.kills, messages=options.messages, seed=options.seed)
    print(
        f"acknowledged {verdict.acknowledged}, in bundles {verdict.sealed}, repeated and marked {verdict.repeated}, "
        f"bundles {verdict.bundles}, verified {verdict.verified}, ledger {dict(verdict.ledger)}"
    )
    problems = verdict.problems()
    for problem in problems:
        print(f"FAIL {problem}")
    missing = options.messages - verdict.sealed
    if missing:
        problems.append("missing")
        print(f"FAIL {missing} published messages are not at the collector")
    if not problems:
        shutil.rmtree(folder)
        print(f"soak: 0 of {verdict.acknowledged} acknowledged messages lost over {options.kills} kills")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
