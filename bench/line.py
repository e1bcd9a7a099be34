"""What a message costs from the broker to the sealed outbox, and to the receipt, against paho's own loop.

    python -m bench.line [--messages N] [--rounds N]

The floor is a process with paho's `loop_forever()` and `manual_ack` that acknowledges in `on_message` and does nothing
else. Floor and daemon take the same 600 B VDA 5050 states from the same mosquitto, in turns (A B A B). CPU is that of
the whole process, threads and signer included, by /proc; medians, with the spread.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.mask import TOPIC, state
from hil.oracle import events
from hil.rig import Rig, build, wait_for, write_config

FLOOR = """
import sys
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.packettypes import PacketTypes

port, wanted = int(sys.argv[1]), int(sys.argv[2])
seen = 0
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="floor", protocol=mqtt.MQTTv5, manual_ack=True)

def on_connect(client, *_):
    client.subscribe("uagv/v2/+/+/+", qos=int(sys.argv[3]))
    print("subscribed", flush=True)

def on_message(client, _, message):
    global seen
    client.ack(message.mid, message.qos)
    seen += 1
    if seen == wanted:
        print("done", flush=True)

client.on_connect, client.on_message = on_connect, on_message
client.connect("127.0.0.1", port)
client.loop_forever()
"""
SETTINGS = """requests_per_second = 1000
backoff_min_seconds = 0.05

[seal]
max_age_seconds = 1.0
heartbeat_seconds = 3600
"""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """CPU microseconds a message: the daemon (or the floor) and the signer."""

    process: float
    signer: float = 0.0

    @property
    def all(self) -> float:
        return self.process + self.signer


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def publish(port: int, *, messages: int, per_second: float, qos: int, first: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="publisher", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(200)
    client.connect("127.0.0.1", port)
    client.loop_start()
    started = time.monotonic()
    last = None
    for index in range(messages):
        last = client.publish(TOPIC, state(first + index), qos=qos)
        if index % 20 == 0:
            time.sleep(max(0.0, index / per_second - (time.monotonic() - started)))
    if last is not None:
        last.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def floor(rig: Rig, *, messages: int, per_second: float, qos: int) -> Cost:
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOR, str(rig.broker.port), str(messages), str(qos)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    before = cpu_seconds(process.pid)
    publish(rig.broker.port, messages=messages, per_second=per_second, qos=qos, first=0)
    process.stdout.readline()
    used = cpu_seconds(process.pid) - before
    process.kill()
    process.wait()
    process.stdout.close()
    return Cost(used / messages * 1e6)


def daemon(rig: Rig, *, messages: int, per_second: float, qos: int, first: int, wanted: int) -> Cost:
    signer = wait_for(rig.actod.signer_pid, what="the signer")
    before = cpu_seconds(rig.actod.pid()), cpu_seconds(signer)
    publish(rig.broker.port, messages=messages, per_second=per_second, qos=qos, first=first)
    wait_for(lambda: received(rig) >= wanted, seconds=120, what="the end of the line")
    return Cost(
        (cpu_seconds(rig.actod.pid()) - before[0]) / messages * 1e6, (cpu_seconds(signer) - before[1]) / messages * 1e6
    )


def received(rig: Rig) -> int:
    return sum(event["topic"] == TOPIC for event, _ in events(rig.envelopes()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-second", type=float, default=1000)
    parser.add_argument("--inflight", type=int, default=20)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="actod-bench-"))
    for qos in (1, 0):
        measure(folder / f"qos{qos}", qos=qos, options=options)
    shutil.rmtree(folder)


def measure(folder: Path, *, qos: int, options: argparse.Namespace) -> None:
    with build(folder, settings=SETTINGS) as rig:
        rig.broker.stop()
        rig.broker.settings = f"max_inflight_messages {options.inflight}"
        rig.broker.start()
        write_config(rig, settings=SETTINGS, mqtt_port=rig.broker.port)
        text = rig.config_file.read_text(encoding="utf-8")
        text = text.replace('topic = "uagv/v2/+/+/+"', f'topic = "uagv/v2/+/+/+"\nqos = {qos}')
        rig.config_file.write_text(text, encoding="utf-8")
        work = {"messages": options.messages, "per_second": options.per_second, "qos": qos}
        floors, costs = [], []
        for turn in range(options.rounds):
            floors.append(floor(rig, **work))
            rig.actod.start()
            wait_for(lambda seen=turn: starts(rig) > seen, what="the record of the start")
            costs.append(daemon(rig, **work, first=turn * options.messages, wanted=(turn + 1) * options.messages))
            rig.actod.stop()
        low, middle, high = spread([cost.all for cost in costs])
        ratio = middle / statistics.median(cost.all for cost in floors)
        signer = statistics.median(cost.signer for cost in costs)
        bare = spread([cost.all for cost in floors])[1]
        print(
            f"QoS {qos}: floor {bare:.0f} us a message, actod {middle:.0f} us ({low:.0f} to {high:.0f}), "
            f"of it the signer {signer:.0f} us: {ratio:.2f} x the floor"
        )


def spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def starts(rig: Rig) -> int:
    """Return how many starts of actod the collector knows: what a start costs is not what a message costs."""
    own = (each["payload"] for each in rig.envelopes() if each["payload"]["subject"]["task_id"] == "actod")
    return sum(event["topic"] == "actod/start" for payload in own for event in payload["telemetry_normalized"]["events"])


if __name__ == "__main__":
    main()
