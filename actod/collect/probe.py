"""One look at the broker, for `actod check`: connects with a client id of its own, and leaves no session."""

from __future__ import annotations

import secrets
import threading
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from actod.collect.credentials import tls_context
from actod.config import MqttConfig
from actod.errors import TransientError
from actod.secretfile import read_secret


def probe_broker(mqtt: MqttConfig) -> str:
    """Return what the broker says of itself. Raises TransientError with why it does not, ConfigError."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"{mqtt.client_id}-check-{secrets.token_hex(4)}", protocol=paho.MQTTv5
    )
    if mqtt.username:
        secret = read_secret(mqtt.password_file, key="mqtt.password_file") if mqtt.password_file else None
        client.username_pw_set(mqtt.username, secret)
    if mqtt.tls:
        client.tls_set_context(tls_context(mqtt))
    answered = threading.Event()
    answer: dict[str, Any] = {}

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        answer.update(reason=reason, properties=properties)
        answered.set()

    client.on_connect = on_connect
    try:
        client.connect(mqtt.host, mqtt.port, mqtt.keep_alive_seconds, clean_start=True)
        client.loop_start()
        if not answered.wait(mqtt.connect_timeout_seconds):
            raise TransientError("no_answer", "the broker does not answer within the time")
    except (OSError, ValueError) as exc:
        raise TransientError("unreachable", getattr(exc, "strerror", None) or type(exc).__name__) from exc
    finally:
        client.disconnect()
        client.loop_stop()
    if answer["reason"].is_failure:
        raise TransientError("refused", str(answer["reason"]))
    inflight = getattr(answer["properties"], "ReceiveMaximum", None)
    return f"receive maximum {inflight}" if inflight else "no receive maximum named"
