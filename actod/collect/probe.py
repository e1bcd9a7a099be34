"""One look at the broker, for `actod check`: connects with a client id of its own, and leaves no session."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import ssl
from typing import Any

from actod.collect.credentials import tls_context
from actod.collect.dial import dial
from actod.collect.link import Link, make_client
from actod.collect.transport import FrameSocket
from actod.config import MqttConfig
from actod.errors import TransientError

_LARGEST_BYTES = 1024  # nothing is subscribed to


def probe_broker(mqtt: MqttConfig) -> str:
    """Return what the broker says of itself. Raises TransientError with why it does not, ConfigError."""
    return asyncio.run(_probe(dataclasses.replace(mqtt, client_id=f"{mqtt.client_id}-check-{secrets.token_hex(4)}")))


async def _probe(mqtt: MqttConfig) -> str:
    client, context = make_client(mqtt), tls_context(mqtt) if mqtt.tls else None
    ended = asyncio.Event()
    answer: dict[str, Any] = {}

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        answer.update(reason=reason, properties=properties)
        ended.set()

    client.on_connect = on_connect
    link = Link(client, has_room=lambda: True, on_read=lambda: None, on_lost=ended.set, on_publish=lambda _: None)
    try:
        async with asyncio.timeout(mqtt.connect_timeout_seconds):
            frames = FrameSocket(await dial(mqtt, context), largest_payload_bytes=_LARGEST_BYTES)
            link.open(frames, host=mqtt.host, port=mqtt.port, keepalive=mqtt.keep_alive_seconds, clean_start=True)
            await ended.wait()
    except TimeoutError as exc:
        raise TransientError("no_answer", "the broker does not answer within the time") from exc
    except ssl.SSLError as exc:
        raise TransientError("unreachable", exc.reason or type(exc).__name__) from exc
    except OSError as exc:
        raise TransientError("unreachable", exc.strerror or type(exc).__name__) from exc
    finally:
        link.leave()
    if not answer:
        raise TransientError("refused", "the broker closed the connection")
    if answer["reason"].is_failure:
        raise TransientError("refused", str(answer["reason"]))
    inflight = getattr(answer["properties"], "ReceiveMaximum", None)
    if not inflight:
        return "no receive maximum named"
    advice = (
        "" if inflight >= mqtt.receive_maximum else f" (with {mqtt.receive_maximum} in flight actod would write less often)"
    )
    return f"receive maximum {inflight}{advice}"
