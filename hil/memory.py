"""What actod's memory does where a broker brings more than it can hold: `python -m hil.memory --backlog 100000`.

Three times: a backlog in a kept session, a message of 60 MB, and a flood of QoS 0. The limit is what was there before,
the intake's own bound, and room for what works on it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from actod.errors import ConfigError
from actod.store.inspection import inspect
from hil.rig import Rig, build, wait_for, write_config

SETTINGS = """requests_per_second = 1000

[seal]
max_age_seconds = 0.2

[intake]
max_bytes = 4194304
max_messages = 5000
"""
MOST_GROWTH_BYTES = 24 << 20  # the intake's 4 MiB of payloads as Python's objects, a group's work, a bundle and its request
_AT_ONCE = 20_000  # paho has a packet id for each
_OVERSIZE_BYTES = 60_000_000
_BODY = json.dumps({"joints": [0.125] * 60, "state": "ok", "text": "x" * 200}).encode()


def run(rig: Rig, *, backlog: int, flood_seconds: float) -> dict[str, int]:
    """Return by how many bytes the daemon's memory grew at most in each case."""
    write_config(rig, settings=SETTINGS, mqtt_port=rig.broker.port)
    rig.actod.start()
    wait_for(lambda: acknowledged(rig, 20), seconds=60, what="the first messages")
    wait_for(lambda: rig.collector.count() > 1, what="bundles at the collector")  # now all is loaded that ever is
    before = peak_bytes(rig)
    rig.actod.stop()
    publish(rig, backlog, qos=1)
    rig.actod.start()
    wait_for(lambda: sealed(rig) >= backlog, seconds=900, what="the backlog in the journal")
    grown = {"backlog": peak_bytes(rig) - before}
    reset_peak(rig)
    before = peak_bytes(rig)
    publish(rig, 1, qos=1, body=b"x" * _OVERSIZE_BYTES)
    wait_for(lambda: acknowledged(rig, 20), seconds=60, what="the messages behind the large one")
    grown["oversize"] = peak_bytes(rig) - before
    reset_peak(rig)
    before = peak_bytes(rig)
    flood(rig, seconds=flood_seconds)
    wait_for(lambda: acknowledged(rig, 20), seconds=120, what="the messages behind the flood")
    return grown | {"flood": peak_bytes(rig) - before}


def acknowledged(rig: Rig, count: int) -> bool:
    """Publish some messages and say whether they are in the journal soon."""
    try:
        before = sealed(rig)
        publish(rig, count, qos=1)
        wait_for(lambda: sealed(rig) >= before + count, seconds=15)
    except (TimeoutError, ConfigError):  # too late, or there is no store yet
        return False
    return True


def sealed(rig: Rig) -> int:
    """Return how many messages were made durable since genesis, without those that are refused."""
    with inspect(rig.state) as inspection:
        return inspection.status(wall_ns=time.time_ns()).acknowledged


def publish(rig: Rig, count: int, *, qos: int, body: bytes = _BODY) -> None:
    """Publish, and return when the broker has all of it."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(1000)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", rig.broker.port)
    client.loop_start()
    last = None
    for number in range(count):
        last = client.publish(f"robot/{number % 3}/joints", body, qos=qos)
        if number % _AT_ONCE == _AT_ONCE - 1:
            last.wait_for_publish(600)
    if last is not None:
        last.wait_for_publish(600)
    client.disconnect()
    client.loop_stop()


def flood(rig: Rig, *, seconds: float) -> None:
    """Publish at QoS 0 from three clients as fast as they can."""
    until = time.monotonic() + seconds

    def publish_on() -> None:
        while time.monotonic() < until:
            publish(rig, 5000, qos=0)

    clients = [threading.Thread(target=publish_on) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()


def peak_bytes(rig: Rig) -> int:
    """Return the most memory that the daemon had since its start, or since `reset_peak`."""
    status = Path(f"/proc/{rig.actod.pid()}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def reset_peak(rig: Rig) -> None:
    """Let the peak begin at what is used now: proc(5), clear_refs."""
    Path(f"/proc/{rig.actod.pid()}/clear_refs").write_text("5", encoding="ascii")


def main() -> int:
    """Measure in a throwaway folder, and print by how much the memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--flood-seconds", type=float, default=10)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="actod-memory-"))
    with build(folder, settings=SETTINGS) as rig:
        grown = run(rig, backlog=options.backlog, flood_seconds=options.flood_seconds)
        peak = peak_bytes(rig)
    shutil.rmtree(folder)
    for what, size in grown.items():
        print(f"memory: {what:9} grew by {size / 2**20:5.1f} MiB (limit {MOST_GROWTH_BYTES >> 20})", flush=True)
    print(f"memory: {peak / 2**20:.1f} MiB at the end")
    return int(max(grown.values()) > MOST_GROWTH_BYTES)


if __name__ == "__main__":
    sys.exit(main())
