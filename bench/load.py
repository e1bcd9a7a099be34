"""The work of the line: VDA 5050 states at a pace, the floor that only acknowledges them, and the rig that takes them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from actod.store.inspection import Inspection
from actod.store.status import SpoolStatus
from bench.machine import cpu_seconds
from bench.mask import TOPIC, state
from hil.parts.broker import Broker
from hil.rig import DEFAULT_ROUTES, ROOT, Rig, build, wait_for, write_config

FLOOR = """
import sys
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

port, wanted, qos = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
seen = 0
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="floor", protocol=mqtt.MQTTv5, manual_ack=True)

def on_connect(client, *_):
    client.subscribe("uagv/v2/+/+/+", qos=qos)

def on_subscribe(*_):
    print("subscribed", flush=True)

def on_message(client, _, message):
    global seen
    client.ack(message.mid, message.qos)
    seen += 1
    if seen % wanted == 0:
        print("done", flush=True)

client.on_connect, client.on_message, client.on_subscribe = on_connect, on_message, on_subscribe
client.connect("127.0.0.1", port)
client.loop_forever()
"""
SETTINGS = """requests_per_second = 1000

[seal]
max_age_seconds = 1.0
heartbeat_seconds = 3600
"""
IN_FLIGHT = 20  # mosquitto's default, for clients that ask for no window: the floor does not, actod asks for 200
WARM_UP_PACE = 4  # times as fast as what is measured
_BURST = 20
_PUBLISHER_IN_FLIGHT = 200
_PATIENCE_SECONDS = 60.0


class Pace:
    """Publishes states at a steady pace, in bursts as a robot's programs make them."""

    def __init__(self, port: int, *, qos: int) -> None:
        self._qos, self.sent = qos, 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="publisher", protocol=mqtt.MQTTv5)
        self._client.max_inflight_messages_set(_PUBLISHER_IN_FLIGHT)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, messages: int, *, per_second: float) -> None:
        """Publish so many; returns when the broker has them."""
        started, last = time.monotonic(), None
        for index in range(messages):
            last = self._client.publish(TOPIC, state(self.sent), qos=self._qos)
            self.sent += 1
            if index % _BURST == 0:
                time.sleep(max(0.0, index / per_second - (time.monotonic() - started)))
        if last is not None:
            last.wait_for_publish(_PATIENCE_SECONDS)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def publishing(port: int, *, qos: int) -> Iterator[Pace]:
    pace = Pace(port, qos=qos)
    try:
        yield pace
    finally:
        pace.close()


@contextmanager
def floor(port: int, *, messages: int, qos: int) -> Iterator[subprocess.Popen[str]]:
    """Run the floor: it prints a line after each `messages`."""
    arguments = [sys.executable, "-c", FLOOR, str(port), str(messages), str(qos)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def floor_cost(port: int, *, messages: int, per_second: float, qos: int) -> float:
    """Return the floor's CPU time, in us a message, after a warm-up."""
    with floor(port, messages=messages, qos=qos) as process, publishing(port, qos=qos) as pace:
        assert process.stdout is not None
        pace.publish(messages, per_second=WARM_UP_PACE * per_second)
        process.stdout.readline()
        before = cpu_seconds(process.pid)
        pace.publish(messages, per_second=per_second)
        process.stdout.readline()
        return (cpu_seconds(process.pid) - before) / messages * 1e6


@contextmanager
def another_broker(folder: Path, *, in_flight: int = IN_FLIGHT) -> Iterator[Broker]:
    """Run a broker for the floor alone: one that others have a session at would keep the floor's messages for them."""
    broker = Broker(folder, settings=f"max_inflight_messages {in_flight}")
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def rig(folder: Path, *, qos: int, settings: str = SETTINGS, broker: str = "") -> Iterator[Rig]:
    """Make a rig whose daemon takes states straight from the broker."""
    with build(folder, settings=settings) as made:
        made.broker.stop()
        made.broker.settings = broker or f"max_inflight_messages {IN_FLIGHT}"
        made.broker.start()
        routes = DEFAULT_ROUTES.replace('topic = "uagv/v2/+/+/+"', f'topic = "uagv/v2/+/+/+"\nqos = {qos}')
        write_config(made, settings=settings, routes=routes, mqtt_port=made.broker.port)
        yield made


@contextmanager
def running(made: Rig, *command: str) -> Iterator[None]:
    """Run the daemon (under a command, if one is given) until the block ends; the record of its start is sealed before."""
    before = sealed(made)
    start = [*(command or (sys.executable, "-m", "actod")), "run", "--config", str(made.config_file)]
    with made.actod.log_file.open("ab") as log:
        made.actod.process = subprocess.Popen(start, stdout=log, stderr=log, env=made.actod.environment, cwd=ROOT)
    try:
        wait_for(lambda: sealed(made) > before, what="the record of the start")
        yield
    finally:
        stopped(made)


def stopped(made: Rig) -> None:
    """Have the daemon end."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(made.actod.pid(), signal.SIGTERM)
    assert made.actod.process is not None
    made.actod.process.wait(_PATIENCE_SECONDS)


def look(made: Rig) -> SpoolStatus:
    """Read the store's numbers from outside: the daemon spends nothing on it."""
    view = Inspection(made.state)
    try:
        return view.status(wall_ns=time.time_ns())
    finally:
        view.close()


def sealed(made: Rig) -> int:
    """Return how many bundles were sealed; 0 where there is no store yet."""
    with contextlib.suppress(Exception):  # a store that is being made
        return look(made).sealed
    return 0
