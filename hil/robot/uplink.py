"""Publishes a robot's messages at QoS 1, and writes what was sent and what the broker confirmed to a witness file."""

from __future__ import annotations

import collections
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.robot.model import Message

_MOST_UNCONFIRMED = 5000
_INFLIGHT = 200


class Uplink:
    """One MQTT connection a sender, as vehicles have. Survives broker restarts: what was not confirmed is sent again.

    `witness.jsonl` gets {"n", "topic", "sent"}, {"n", "acked"} and, when a connection ends,
    {"unconfirmed": [n, ...]}: those may reach the broker twice. `canaries.txt` gets each planted value before the message
    that carries it is sent.
    """

    def __init__(self, *, host: str, port: int, folder: Path, client_prefix: str) -> None:
        self._host, self._port, self._prefix = host, port, client_prefix
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._witness, self._canaries = _append(folder / "witness.jsonl"), _append(folder / "canaries.txt")
        self._clients: dict[str, mqtt.Client] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._events: collections.deque[tuple[str, int, float]] = collections.deque()  # filled by paho's threads
        self._stirred = threading.Event()

    def connect(self, senders: Iterable[str], wills: Mapping[str, tuple[str, bytes]]) -> None:
        """Connect each sender; waits as long as the broker is away."""
        for index, sender in enumerate(senders):
            client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"{self._prefix}-{index}", protocol=mqtt.MQTTv5)
            client.max_inflight_messages_set(_INFLIGHT)
            client.max_queued_messages_set(0)
            client.reconnect_delay_set(1, 2)
            if sender in wills:
                topic, payload = wills[sender]
                client.will_set(topic, payload, qos=1, retain=True)
            self._watch(client, sender)
            client.connect_async(self._host, self._port, keepalive=20)
            client.loop_start()
            self._clients[sender] = client

    def _watch(self, client: mqtt.Client, sender: str) -> None:
        def on_publish(_client: Any, _userdata: Any, mid: int, *_rest: Any) -> None:
            self._events.append((sender, mid, time.time()))
            self._stirred.set()

        def on_disconnect(*_arguments: Any) -> None:
            self._events.append((sender, 0, time.time()))
            self._stirred.set()

        client.on_publish = on_publish
        client.on_disconnect = on_disconnect

    def publish(self, message: Message) -> None:
        """Send one message; waits while too many are unconfirmed."""
        while len(self._numbers) >= _MOST_UNCONFIRMED:
            self._wait(0.5)
        if message.canaries:
            os.write(self._canaries, "".join(f"{canary}\n" for canary in message.canaries).encode())
        self._write({"n": message.number, "id": message.identity, "topic": message.topic, "sent": time.time()})
        client = self._clients[message.sender]
        info = client.publish(message.topic, message.payload, qos=1, retain=message.retain)
        self._numbers[message.sender, info.mid] = message.number
        self.settle()

    def pause(self, seconds: float) -> None:
        """Let time pass, and keep the witness file up to date."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._wait(left)

    def drain(self, seconds: float) -> int:
        """Wait until the broker has confirmed everything; return how many messages it has not."""
        deadline = time.monotonic() + seconds
        self.settle()
        while self._numbers and time.monotonic() < deadline:
            self._wait(0.2)
        return len(self._numbers)

    def close(self) -> None:
        """End the connections in an orderly way, which takes back the wills."""
        for client in self._clients.values():
            client.disconnect()
            client.loop_stop()
        os.close(self._witness)
        os.close(self._canaries)

    def settle(self) -> None:
        """Write what paho's threads reported."""
        lines: list[dict[str, Any]] = []
        while self._events:
            sender, mid, at = self._events.popleft()
            if mid:
                lines.append({"n": self._numbers.pop((sender, mid)), "acked": at})
                continue
            unconfirmed = [number for (owner, _), number in self._numbers.items() if owner == sender]
            if unconfirmed:
                lines.append({"unconfirmed": unconfirmed, "at": at})
        self._write(*lines)

    def _wait(self, seconds: float) -> None:
        self._stirred.wait(seconds)
        self._stirred.clear()
        self.settle()

    def _write(self, *lines: dict[str, Any]) -> None:
        if lines:
            os.write(self._witness, b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def _append(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
