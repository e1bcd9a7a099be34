"""The main job under kills: `python -m hil.soak --kills 5000`, in parallel lanes (see hil/lane.py), to be resumed.

Each lane is a rig of its own: real broker, collector, token and actod, killed at moments that are drawn. What became of
each batch is appended to the results file; a run that is started again goes on from there, and only batches of the same
source count. Exit code 0 only if no acknowledged message was lost and everything else held as well.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.rig import ROOT

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


_BATCH = 250  # kills on one rig: its history must stay small enough to be judged in seconds
_RESULTS = ROOT / "hil/out/soak.jsonl"


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


def source() -> str:
    """Name what is being tested: the digest of all of actod's modules."""
    hasher = hashlib.sha256()
    for file in sorted((ROOT / "actod").rglob("*.py")):
        hasher.update(file.read_bytes())
    return hasher.hexdigest()[:16]


class Campaign:
    """Runs batches in lanes until enough kills are in the results file."""

    def __init__(self, *, results: Path, kills: int, lanes: int) -> None:
        self._results, self._kills, self._lanes, self._source = results, kills, lanes, source()
        results.parent.mkdir(parents=True, exist_ok=True)
        lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
        found = [json.loads(line) for line in lines]
        self.done = [batch for batch in found if batch["source"] == self._source]
        self._others = len(found) - len(self.done)
        self._started = time.monotonic()

    async def run(self) -> None:
        """Run all lanes to their end."""
        other = f", {self._others} batches of another source do not count" if self._others else ""
        plan, lanes = self._plan(), self._lanes
        done = self._kills - sum(plan)
        print(f"soak: {self._kills} kills in {lanes} lanes, {done} done before{other}: {self._results}", flush=True)
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane(plan))

    def _plan(self) -> list[int]:
        """Divide the kills that are left into batches: as equal as they can be, and a whole number for each lane."""
        left = max(0, self._kills - sum(batch["kills"] for batch in self.done))
        count = -(-left // (_BATCH * self._lanes)) * self._lanes
        return [left // count + (index < left % count) for index in range(count)]

    async def _lane(self, plan: list[int]) -> None:
        while plan and (kills := plan.pop()):
            seed = random.SystemRandom().randrange(1 << 30)
            batch = await _run_batch(kills, seed=seed) | {"source": self._source}
            self.done.append(batch)
            with self._results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(batch) + "\n")
            self._show()

    def _show(self) -> None:
        kills, lost = (sum(batch[name] for batch in self.done) for name in ("kills", "lost"))
        seconds = time.monotonic() - self._started
        print(f"  {seconds:6.0f} s  {kills} of {self._kills} kills, {lost} acknowledged messages lost", flush=True)

    def account(self) -> list[str]:
        """Print what became of it, and return what does not hold."""
        total: Counter[str] = Counter()
        moments: Counter[str] = Counter()
        last: Counter[str] = Counter()
        for batch in self.done:
            total.update(
                {name: batch[name] for name in ("kills", "start_kills", "acknowledged", "lost", "repeated", "bundles")}
            )
            moments.update(batch["moments"])
            last.update(batch["last_line"])
        print(
            f"kills {total['kills']}, and {total['start_kills']} while actod started; acknowledged {total['acknowledged']},",
            end=" ",
        )
        print(f"repeated and marked {total['repeated']}, bundles {total['bundles']}")
        _histogram("the moment that was drawn", moments + Counter({"start": total["start_kills"]}))
        _histogram("the last line of the audit log then", last)
        problems = [f"{problem} (seed {batch['seed']})" for batch in self.done for problem in batch["problems"]]
        verdict = "FAIL" if total["lost"] or problems else "soak"
        print(
            f"{verdict}: {total['lost']} of {total['acknowledged']} acknowledged messages lost over {total['kills']} kills"
        )
        return problems


def _histogram(title: str, counts: Counter[str]) -> None:
    print(f"{title}:")
    for name, count in counts.most_common():
        print(f"  {name:22} {count:6} {'#' * (60 * count // max(counts.values()))}")


async def _run_batch(kills: int, *, seed: int) -> dict[str, Any]:
    """Run one batch in a process of its own; one that breaks off is a problem, and counts no kill."""
    command = ["-m", "hil.lane", "--kills", str(kills), "--seed", str(seed)]
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *command), cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    try:
        account: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        names = ("kills", "start_kills", "acknowledged", "lost", "repeated", "bundles")
        account = dict.fromkeys(names, 0) | {"moments": {}, "last_line": {}, "seed": seed}
        account["problems"] = [f"a lane broke off with {process.returncode}"]
    return account


def main() -> int:
    """Run the campaign and print the account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5000)
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--results", type=Path, default=_RESULTS, help="what a run goes on from; removed: it begins anew")
    options = parser.parse_args()
    campaign = Campaign(results=options.results, kills=options.kills, lanes=options.lanes)
    asyncio.run(campaign.run())
    problems = campaign.account()
    for problem in problems:
        print(f"FAIL {problem}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
