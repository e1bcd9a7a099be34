"""One lane of the soak: a rig of its own, and so many SIGKILLs, each at a moment that was drawn.

`python -m hil.lane --kills 100 --seed 1` prints one JSON line: what became of it. Between two kills that count, at least
20 messages were acknowledged; kills while actod starts come in addition.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.moments import ANY, CHECKPOINT, COMMIT, ROTATION, SEAL, START, SUBMIT, Moments, SignerTap
from hil.oracle import events, judge
from hil.rig import ROOT, Rig, build, wait_for
from hil.soak import number

SETTINGS = """requests_per_second = 1000
backoff_min_seconds = 0.02
backoff_max_seconds = 0.2

[seal]
max_age_seconds = 0.05
max_events = 100
heartbeat_seconds = 5

[intake]
commit_interval_ms = 5
max_open_runs = 64

[audit]
max_file_bytes = 1048576
"""
BETWEEN = 20
_WAL_FRAMES, _AUDIT_BYTES = 8192, 1 << 20  # beyond them the store checkpoints, and the audit log begins a new file
_NEAR = 0.95
_FRAMES_AT = 16  # where the WAL's index holds the number of its last frame: sqlite.org/walformat.html, 2.1
_AHEAD = 60  # messages that the publisher is ahead of the acknowledgements
_JITTER_SECONDS = 0.004


class Feeder(threading.Thread):
    """Publishes numbered QoS 1 messages, always a little ahead of what is acknowledged, until it is stopped."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(name="feeder")
        self._rig, self.published, self.stopping = rig, 0, threading.Event()

    def run(self) -> None:
        """Publish; the last message is confirmed by the broker before the thread ends."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="feeder", protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", self._rig.broker.port)
        client.loop_start()
        last = None
        while not self.stopping.is_set():
            if self.published - self._rig.witness.pubacks >= _AHEAD:
                time.sleep(0.002)
                continue
            body = json.dumps({"n": self.published, "joints": [0.1 * (self.published % 31), -1.25, 2.5], "state": "ok"})
            last = client.publish(f"robot/{self.published % 3}/joints", body, qos=1)
            self.published += 1
        if last is not None:
            last.wait_for_publish(60)
        client.disconnect()
        client.loop_stop()


def run(rig: Rig, *, kills: int, seed: int, sealing: threading.Event | None = None) -> dict[str, Any]:
    """Kill so often on a rig that was built with SETTINGS; return the account, with `problems` (empty is a pass)."""
    chance, started = random.Random(seed), time.monotonic()
    rig.collector.set_faults(
        [
            {"kind": "status", "status": 503, "p": 0.2, "seed": seed},
            {"kind": "lost_response", "p": 0.1, "seed": seed + 1},
            {"kind": "cut", "at": "before_response", "p": 0.1, "seed": seed + 2},
        ]
    )
    rig.actod.start()
    wait_for(rig.witness.subscribed, seconds=60, what="the subscription")
    feeder = Feeder(rig)
    feeder.start()
    moments = Moments(state=rig.state, requests=rig.collector.received_file)
    if sealing is not None:
        moments.sealing = sealing
    drawn: Counter[str] = Counter()
    after: Counter[str] = Counter()
    try:
        while sum(drawn.values()) - drawn[START] < kills:
            drawn[_one_kill(rig, moments, chance)] += 1
            after[_last_line(rig)] += 1
    finally:
        moments.close()
        feeder.stopping.set()
        feeder.join(60)
    return _account(rig, feeder.published) | {
        "kills": kills,
        "start_kills": drawn.pop(START, 0),
        "moments": dict(drawn),
        "last_line": dict(after),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 1),
    }


def _one_kill(rig: Rig, moments: Moments, chance: random.Random) -> str:
    """Wait until enough is acknowledged, or not for a kill at the start; kill at a moment, start again; name the moment."""
    before, wanted = rig.witness.pubacks, _draw(rig, chance)
    if wanted == START:
        time.sleep(chance.uniform(0, 1.0))  # the moment of the kill is the experiment
        if rig.witness.pubacks - before >= BETWEEN:
            wanted = ANY
    else:
        wait_for(lambda: rig.witness.pubacks >= before + BETWEEN, seconds=120, what=f"{BETWEEN} acknowledgements")
        if wanted == ANY or not moments.wait(wanted, seconds=5 if wanted in {ROTATION, CHECKPOINT} else 0.5):
            wanted = ANY
            time.sleep(chance.uniform(0, 0.2))
        time.sleep(chance.uniform(0, _JITTER_SECONDS))
    rig.actod.kill()
    rig.actod.start()
    return wanted


def _draw(rig: Rig, chance: random.Random) -> str:
    """Choose a moment: one of the rare ones where it is near, else any."""
    newest = max((rig.state / "audit").glob("*.jsonl"), default=None)
    if newest is not None and newest.stat().st_size > _NEAR * _AUDIT_BYTES:
        return ROTATION
    with contextlib.suppress(FileNotFoundError):
        index = (rig.state / "spool.db-shm").read_bytes()[: _FRAMES_AT + 4]
        if int.from_bytes(index[_FRAMES_AT:], sys.byteorder) > _NEAR * _WAL_FRAMES:
            return CHECKPOINT
    return chance.choices([START, COMMIT, SEAL, SUBMIT, ANY], [15, 30, 20, 20, 15])[0]


def _last_line(rig: Rig) -> str:
    """Return the event of the last whole line of the audit log: how far actod had come."""
    newest = max((rig.state / "audit").glob("*.jsonl"))
    lines = newest.read_bytes()[-4096:].splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n") and line.startswith(b"{")]
    return str(orjson.loads(whole[-1])["event"]) if whole else "none"


def _account(rig: Rig, published: int) -> dict[str, Any]:
    """Let the queue drain, and hold what the witness saw acknowledged against the collector."""
    wanted, problems = set(range(published)), []

    def all_there() -> bool:
        time.sleep(0.2)
        return wanted <= {number(event["topic"], event["data"]) for event, _ in events(rig.envelopes())}

    try:
        wait_for(all_there, seconds=180, what="every published message at the collector")
    except TimeoutError as exc:
        problems.append(str(exc))
    failed = sum(rig.collector.stats()["struck"].values())
    if code := rig.actod.stop():
        problems.append(f"actod ended with {code}")
    verdict = judge(rig, number=number, published=wanted)
    audit = rig.tool("audit", "verify", "--state", str(rig.state))
    if audit.returncode:
        problems.append(f"audit log: {(audit.stdout or audit.stderr)[:500]}")
    return {
        "acknowledged": verdict.acknowledged,
        "lost": len(verdict.lost),
        "repeated": verdict.repeated,
        "bundles": verdict.bundles,
        "failed_requests": failed,
        "ledger": dict(verdict.ledger),
        "problems": problems + verdict.problems(),
    }


@contextlib.contextmanager
def signer_of_its_own(rig: Rig) -> Iterator[threading.Event]:
    """Run the signer as a unit beside actod, so that a kill costs no second start; yield what tells of each request."""
    tapped, real = rig.folder / "tap.sock", rig.folder / "signer.sock"
    text = rig.config_file.read_text(encoding="utf-8")
    rig.config_file.write_text(text + f'\n[signer]\nspawn = false\nsocket = "{tapped}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "actod", "signer", "--config", str(rig.config_file), "--socket", str(real)]
    with (rig.folder / "signer.log").open("wb") as log:
        signer = subprocess.Popen(command, stdout=log, stderr=log, env=rig.actod.environment, cwd=ROOT)
    try:
        wait_for(real.exists, what="the signer's socket")
        asked = threading.Event()
        with SignerTap(tapped, real, [asked]).running():
            yield asked
            if rig.actod.running():
                rig.actod.kill()
    finally:
        signer.terminate()
        signer.wait(10)


def main() -> int:
    """Run one batch in a throwaway folder, which stays where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="actod-soak-"))
    with build(folder, settings=SETTINGS) as rig, signer_of_its_own(rig) as sealing:
        account = run(rig, kills=options.kills, seed=options.seed, sealing=sealing)
    if account["problems"]:
        account["folder"] = str(folder)
    else:
        shutil.rmtree(folder)
    print(json.dumps(account), flush=True)
    return bool(account["problems"])


if __name__ == "__main__":
    sys.exit(main())
