"""Socket and paho, as the session uses them, over any packets: they end the connection or go on, and raise nothing.

Of what `loop_read` raises, the session catches OSError: anything else would reach the event loop.
"""

from __future__ import annotations

import socket
from typing import Any

import paho.mqtt.client as paho

from actod.collect.link import make_client
from actod.collect.transport import FrameSocket
from actod.config import MqttConfig

_LARGEST = 2048


def feed(packets: bytes) -> None:
    """Let paho read whole packets until it ends the connection or has read them all."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        client = make_client(MqttConfig())
        client.on_message = _on_message
        client.on_socket_register_write = client.on_socket_unregister_write = lambda *_: None
        frames = client.frames = FrameSocket(ours, largest_payload_bytes=_LARGEST)
        client.connect("127.0.0.1")
        theirs.sendall(packets)
        try:
            while frames.fill() or frames.has_packet():
                while frames.has_packet():
                    if publish := frames.publish():
                        assert publish.qos < 2
                        frames.acknowledge([publish.packet_id] * publish.qos)
                    elif client.loop_read() != paho.MQTT_ERR_SUCCESS or client.socket() is None:
                        return
        except OSError:
            return


def _on_message(client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
    try:
        topic = message.topic
    except UnicodeDecodeError as exc:
        topic = exc.object.decode("utf-8", "surrogateescape")
    assert isinstance(topic, str)
    client.ack(message.mid, message.qos)
