"""One look at the broker, for `actod check`: connects with a client id of its own, and leaves no session."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import ssl
from contextlib import suppress
from typing import Any

from actod.collect.credentials import tls_context
from actod.collect.dial import dial
from actod.collect.link import Client, Link, make_client
from actod.collect.transport import FrameSocket, Publish
from actod.config import MqttConfig
from actod.errors import TransientError

_LARGEST_BYTES = 1024  # what a broker says of itself is short
_RATE = "$SYS/broker/load/publish/received/1min"  # mosquitto's; of all clients together


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerAnswer:
    """What a broker says of itself: the limits of its CONNACK, None where it names none.

    `messages_per_second` is what all its clients published in the last minute, None where $SYS does not tell.
    """

    receive_maximum: int | None
    maximum_packet_bytes: int | None
    session_expiry_seconds: int | None
    messages_per_second: float | None


def probe_broker(mqtt: MqttConfig) -> BrokerAnswer:
    """Return what the broker says of itself. Raises TransientError with why it does not, ConfigError."""
    return asyncio.run(_probe(dataclasses.replace(mqtt, client_id=f"{mqtt.client_id}-check-{secrets.token_hex(4)}")))


async def _probe(mqtt: MqttConfig) -> BrokerAnswer:
    client, context = make_client(mqtt), tls_context(mqtt) if mqtt.tls else None
    ended = asyncio.Event()
    answer: dict[str, Any] = {}
    _ask_for_the_rate(client, answer, ended)

    def on_publish(publish: Publish) -> None:
        with suppress(ValueError):
            answer["rate"] = float(publish.payload) / 60

    link = Link(client, has_room=lambda: True, on_read=lambda: None, on_lost=ended.set, on_publish=on_publish)
    try:
        async with asyncio.timeout(mqtt.connect_timeout_seconds):
            frames = FrameSocket(await dial(mqtt, context), largest_payload_bytes=_LARGEST_BYTES)
            link.open(frames, host=mqtt.host, port=mqtt.port, keepalive=mqtt.keep_alive_seconds, clean_start=True)
            await ended.wait()
    except TimeoutError as exc:
        if "reason" not in answer:
            raise TransientError("no_answer", "the broker does not answer within the time") from exc
    except ssl.SSLError as exc:
        raise TransientError("unreachable", exc.reason or type(exc).__name__) from exc
    except OSError as exc:
        raise TransientError("unreachable", exc.strerror or type(exc).__name__) from exc
    finally:
        link.leave()
    if "reason" not in answer:
        raise TransientError("refused", "the broker closed the connection")
    if answer["reason"].is_failure:
        raise TransientError("refused", str(answer["reason"]))
    said = answer["properties"]
    return BrokerAnswer(
        receive_maximum=getattr(said, "ReceiveMaximum", None),
        maximum_packet_bytes=getattr(said, "MaximumPacketSize", None),
        session_expiry_seconds=getattr(said, "SessionExpiryInterval", None),
        messages_per_second=answer.get("rate"),
    )


def _ask_for_the_rate(client: Client, answer: dict[str, Any], ended: asyncio.Event) -> None:
    """Subscribe to the rate and take that back: what is retained comes before the answer to the second."""

    def on_connect(client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        answer.update(reason=reason, properties=properties)
        if reason.is_failure:
            ended.set()
        else:
            client.subscribe(_RATE)
            client.unsubscribe(_RATE)

    client.on_connect = on_connect
    client.on_unsubscribe = lambda *_: ended.set()
