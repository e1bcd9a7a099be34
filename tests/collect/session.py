"""A source under test: started, taken from, and ended in an orderly way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from actod.collect.broker_drops import BrokerDrops
from actod.collect.mqtt import MqttSource
from actod.config import IntakeConfig, MqttConfig
from actod.model import Delivery
from actod.service.clock import SystemClock


@dataclass
class Session:
    """A running source, its groups one by one, and the events that it told."""

    source: MqttSource
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _groups: AsyncIterator[Sequence[Delivery]] | None = None

    async def group(self, seconds: float = 10) -> Sequence[Delivery]:
        """Return the next group."""
        if self._groups is None:
            self._groups = self.source.groups()
        async with asyncio.timeout(seconds):
            return await anext(self._groups)

    async def messages(self, count: int, *, acknowledge: bool = True, seconds: float = 20) -> list[Delivery]:
        """Return the next `count` messages or some more."""
        found: list[Delivery] = []
        async with asyncio.timeout(seconds):
            while len(found) < count:
                group = await self.group(seconds)
                found += group
                if acknowledge:
                    self.source.acknowledge(group)
        return found

    async def event(self, name: str, seconds: float = 15) -> dict[str, Any]:
        """Wait for an event."""
        async with asyncio.timeout(seconds):
            while True:
                for told, fields in self.events:
                    if told == name:
                        return fields
                await asyncio.sleep(0.01)


def make_source(
    *,
    port: int,
    topic: str = "t/#",
    subscriptions: Sequence[tuple[str, int]] = (),
    intake: dict[str, Any] | None = None,
    broker_drops: BrokerDrops | None = None,
    had_session: bool = False,
    describe: Callable[[str], tuple[str, str]] = lambda _topic: ("_none", "normal"),
    **mqtt_options: Any,
) -> tuple[MqttSource, list[tuple[str, dict[str, Any]]]]:
    """Make a source, and the list of events that it will tell."""
    events: list[tuple[str, dict[str, Any]]] = []
    source = MqttSource(
        mqtt=MqttConfig(port=port, **mqtt_options),
        intake=IntakeConfig(**({"commit_interval_ms": 100} | (intake or {}))),
        subscriptions=subscriptions or [(topic, 1)],
        clock=SystemClock(),
        on_event=lambda name, **fields: events.append((name, fields)),
        broker_drops=broker_drops or BrokerDrops(),
        describe=describe,
        had_session=had_session,
    )
    return source, events


@contextlib.asynccontextmanager
async def session(*, port: int, **options: Any) -> AsyncIterator[Session]:
    """Run a source against a broker, and return when it has subscribed."""
    source, events = make_source(port=port, **options)
    running = asyncio.create_task(source.run())
    told = Session(source, events)
    try:
        await told.event("broker.subscribed")
        yield told
    finally:
        source.stop_reading()
        await source.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def publish(port: int, payloads: Sequence[dict[str, Any]], *, topic: str = "t/x", qos: int = 1, **options: Any) -> None:
    """Publish from a client of its own, and return when the broker has all of it."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="", protocol=mqtt.MQTTv5)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    infos = [client.publish(topic, json.dumps(payload), qos=qos, **options) for payload in payloads]
    for info in infos:
        info.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def numbers(deliveries: Sequence[Delivery]) -> list[int]:
    """Return the numbers that the publisher gave."""
    return [json.loads(delivery.payload)["n"] for delivery in deliveries]
