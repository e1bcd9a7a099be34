"""The other end of the fixed workload: packets as a broker writes them, and paho as it is, over the same bytes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.mask import TOPIC, state

GROUP = 20  # messages: what mosquitto keeps in flight for a client that asks for no window
_CONNACK = b"\x20\x03\x00\x00\x00"
Mark = Callable[[str], None]


def packet(number: int, *, properties: bytes = b"\0") -> bytes:
    """Write a QoS 1 PUBLISH of a state, as a broker does; MQTT 3.1.1 has no properties, not even none."""
    topic, payload = TOPIC.encode(), state(number)
    body = len(topic).to_bytes(2) + topic + (number % 65535 + 1).to_bytes(2) + properties + payload
    length, rest = bytearray(), len(body)
    while rest:
        rest, low = divmod(rest, 128)
        length.append(low | (0x80 if rest else 0))
    return b"\x32" + bytes(length) + body


class Broker:
    """The other end of a connection: writes packets, and throws acknowledgements away."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        for end in (self.ours, self.theirs):
            end.settimeout(0)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.theirs.send(_CONNACK)

    def send(self, first: int, count: int) -> None:
        self.theirs.sendall(b"".join(packet(number) for number in range(first, first + count)))

    def drain(self) -> None:
        self.theirs.recv(1 << 20)


class Floor:
    """paho as it is: its loop reads, `on_message` acknowledges."""

    def __init__(self) -> None:
        self._broker, self.seen = Broker(), 0
        ours = self._broker.ours

        class Client(mqtt.Client):
            def _create_socket(self) -> Any:
                return ours

        self._client = Client(CallbackAPIVersion.VERSION2, client_id="floor", protocol=mqtt.MQTTv5, manual_ack=True)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", 1)
        self._client.loop_read()

    def _on_message(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.seen += 1
        client.ack(message.mid, message.qos)

    def run(self, first: int, mark: Mark) -> None:
        self._broker.send(first, GROUP)
        wanted = self.seen + GROUP
        mark("")
        while self.seen < wanted:
            self._client.loop_read()
            while self._client.want_write():
                self._client.loop_write()
        mark("floor")
        self._broker.drain()
