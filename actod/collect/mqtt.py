"""The MQTT 5 session: paho with manual acknowledgements on the asyncio loop, and a bound on memory that is ours.

Paid for with failed trials: every call to paho is made on the loop's thread; an acknowledgement is sent only on the
connection that delivered the message, since packet ids start anew with a new session; callbacks never raise. At its limit
actod stops reading; if that lasts longer than half the keep-alive it disconnects, keeping the session, and returns when
there is room.

MQTT's Maximum Packet Size is not set: the broker would drop what is larger without a word. What is too large is streamed
away here instead, and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from actod.collect.arrivals import Arrivals
from actod.collect.broker_drops import BrokerDrops
from actod.collect.credentials import tls_context
from actod.collect.dial import dial
from actod.collect.intake import Intake
from actod.collect.link import Link, authenticate, make_client
from actod.collect.patience import Patience
from actod.collect.standing import Standing
from actod.collect.subscriber import Subscriber
from actod.collect.subscriptions import Subscriptions
from actod.collect.transport import FrameSocket, Publish
from actod.config import IntakeConfig, MqttConfig
from actod.errors import ConfigError
from actod.model import Delivery
from actod.ports import Clock

_TAKEN_OVER_CODE = 0x8E


class MqttSource:
    """Implements the Source port. `run` is the session's task; `state` says how it fares.

    `received` counts the messages whose fate is on disk, since the start.
    """

    def __init__(
        self,
        *,
        mqtt: MqttConfig,
        intake: IntakeConfig,
        subscriptions: Sequence[tuple[str, int]],
        clock: Clock,
        on_event: Callable[..., None],
        broker_drops: BrokerDrops,
        describe: Callable[[str], tuple[str, str]],
        had_session: bool = False,
    ) -> None:
        self._mqtt, self._had_session = mqtt, had_session
        self._standing = Standing(client_id=mqtt.client_id, on_event=on_event)
        self._largest_payload_bytes = intake.largest_payload_bytes
        self._subscriptions = Subscriptions(subscriptions)
        self._intake = Intake(intake, receive_maximum=mqtt.receive_maximum, clock=clock)
        self._arrivals = Arrivals(intake=self._intake, clock=clock, broker_drops=broker_drops, describe=describe)
        self._patience = Patience(random.SystemRandom())
        self._stopped = asyncio.Event()
        self._connection = self.received = 0
        self._connected = self._paused = self._ended = False
        self._lost = asyncio.Event()
        self._settled = asyncio.Event()  # the broker accepted, or the attempt ended
        self._room = asyncio.Event()
        self._room.set()
        self._pause_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._tls = tls_context(mqtt) if mqtt.tls else None
        self._client = make_client(mqtt)
        self._subscriber = Subscriber(self._client, self._subscriptions, on_event=on_event)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._link = Link(
            self._client,
            has_room=self._has_room,
            on_read=self._after_reading,
            on_lost=self._on_lost,
            on_publish=self._on_publish,
        )

    @property
    def state(self) -> str:
        """Say in a word how the session fares."""
        return self._standing.state

    # -- the Source port ---------------------------------------------------------------------------------------------

    def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        """Yield commit groups; see the port."""
        return self._intake.groups()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send the PUBACKs of this connection's messages, in arrival order, and make room."""
        mine = [d for d in deliveries if d.qos and d.connection == self._connection] if self._connected else []
        self._link.acknowledge([delivery.packet_id for delivery in mine if delivery.qos == 1])
        for delivery in mine:
            if delivery.qos > 1:
                self._link.complete(delivery.packet_id)
        self._link.write()
        self._intake.release(deliveries, acknowledged=len(mine))
        self.received += len(deliveries)
        if self._paused and not self._intake.full():
            self._resume()

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over what was dropped here (the LossCounter port)."""
        lost, self._arrivals.lost = self._arrivals.lost, Counter()
        return lost

    def adopt(
        self,
        *,
        intake: IntakeConfig,
        subscriptions: Sequence[tuple[str, int]],
        describe: Callable[[str], tuple[str, str]],
    ) -> None:
        """Take other bounds and subscriptions. What no route asks for any more ends at the broker, now or on our return."""
        self._intake.adopt(intake)
        self._arrivals.describe = describe
        self._subscriptions = Subscriptions(subscriptions)
        self._subscriber.adopt(self._subscriptions, connected=self._connected and not self._ended)
        self._link.write()

    # -- life ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a session until `stop_reading`: connect, subscribe, read; again with back-off when it is lost."""
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(self._tick(), name="mqtt keep-alive")
            await self._keep_session()
            ticker.cancel()

    def stop_reading(self) -> None:
        """Take nothing more: `groups` yields what was read and ends."""
        self._ended = True
        self._link.pause()
        self._intake.end()
        for event in (self._settled, self._lost, self._room, self._stopped):
            event.set()

    async def close(self) -> None:
        """Bring the last PUBACKs out and disconnect, keeping the session at the broker."""
        self._ended, connected, self._connected = True, self._connected, False
        self._stopped.set()
        if connected:
            await self._link.finish()
        self._drop_connection()
        self._standing.stopped()

    async def _keep_session(self) -> None:
        while not self._ended:
            if await self._connect():
                began = self._loop.time()
                await self._lost.wait()
                steady_seconds = self._loop.time() - began
                if self._patience.ended(steady_seconds, on_purpose=self._paused) and not self._standing.is_taken_over:
                    self._taken_over(told=False)
            else:
                self._patience.refused()
            if self._intake.full():
                self._pause()
            await self._room.wait()
            if not self._ended:
                await self._rest(self._patience.next_delay_seconds())

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    def _taken_over(self, *, told: bool) -> None:
        self._patience.taken_over()
        self._standing.taken_over(told=told)

    async def _connect(self) -> bool:
        """Connect. Returns whether the broker accepted."""
        self._lost.clear()
        self._settled.clear()
        try:
            authenticate(self._client, self._mqtt)  # for each connection anew: a changed password needs no restart
        except ConfigError as exc:
            return self._refused("credential", str(exc))
        try:
            async with asyncio.timeout(2 * self._mqtt.connect_timeout_seconds):  # for the connection, and for the handshake
                sock = await dial(self._mqtt, self._tls)
        except ssl.SSLError as exc:
            return self._refused("tls", exc.reason or "")
        except OSError as exc:
            return self._refused("network", exc.strerror or type(exc).__name__)
        if self._ended:
            sock.close()
            return False
        self._open(FrameSocket(sock, largest_payload_bytes=self._largest_payload_bytes))
        try:
            async with asyncio.timeout(self._mqtt.connect_timeout_seconds):
                await self._settled.wait()
        except TimeoutError:
            self._refused("timeout", "no CONNACK")
        if not self._connected:
            self._drop_connection()
        return self._connected

    def _open(self, frames: FrameSocket) -> None:
        self._connection += 1
        self._intake.connection_changed()
        self._arrivals.copies.forget()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._mqtt.session_expiry_seconds
        properties.ReceiveMaximum = self._mqtt.receive_maximum
        self._link.open(
            frames,
            host=self._mqtt.host,
            port=self._mqtt.port,
            keepalive=self._mqtt.keep_alive_seconds,
            clean_start=False,
            properties=properties,
        )

    def _refused(self, reason: str, detail: str) -> bool:
        self._standing.away(reason, detail)
        return False

    async def _tick(self) -> None:
        """Let paho see to its keep-alive; not while paused, when the answer to its ping would not be read."""
        while True:
            await asyncio.sleep(1.0)
            if self._connected and not self._paused:
                self._link.keep_alive()

    # -- paho's callbacks: they never raise ---------------------------------------------------------------------------

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._refused("refused", str(reason))
            self._drop_connection()
            return
        kept = bool(flags.session_present)
        forgotten, self._had_session = self._had_session and not kept, True
        self._connected = True
        self._settled.set()
        self._standing.connected(session_kept=kept, session_lost=forgotten)
        if forgotten:
            self._arrivals.lost["session_lost", "normal", "_broker"] += 1
        named = getattr(properties, "SubscriptionIdentifierAvailable", 1) != 0
        self._subscriber.subscribe(session_kept=kept, names_subscriptions=named)

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        self._subscriber.answered(mid, reasons)
        if self._subscriber.refused:
            self._standing.subscription_refused()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.value == _TAKEN_OVER_CODE:
            self._connected = False
            self._taken_over(told=True)
        self._link.close()
        self._on_lost(int(reason.value))

    def _on_publish(self, publish: Publish) -> None:
        self._arrivals.take(
            publish,
            connection=self._connection,
            brought_by=self._link.subscriptions(qos=publish.qos),
            oversize_bytes=self._link.oversize_bytes,
            is_only_ours=self._subscriptions.is_only_ours,
        )

    # -- the connection's end, and backpressure ------------------------------------------------------------------------

    def _on_lost(self, code: int = 0) -> None:
        if self._connected and not self._ended:
            self._standing.lost(code)
        self._drop_connection()
        self._intake.arm()

    def _drop_connection(self) -> None:
        self._link.close()
        self._connected = False
        self._settled.set()
        self._lost.set()

    def _has_room(self) -> bool:
        return not self._ended and not self._intake.full()

    def _after_reading(self) -> None:
        if self._intake.full():
            self._pause()
        self._intake.arm()

    def _pause(self) -> None:
        if self._paused or self._ended:
            return
        self._paused = True
        self._room.clear()
        self._link.pause()
        keep_alive_seconds = self._client.keepalive or self._mqtt.keep_alive_seconds  # the broker may have set another
        self._pause_timer = self._loop.call_later(keep_alive_seconds / 2, self._leave)

    def _leave(self) -> None:
        """No room for half a keep-alive: disconnect on purpose; the broker keeps the session."""
        if self._paused and self._connected:
            self._standing.full()
            self._link.leave()
            self._drop_connection()

    def _resume(self) -> None:
        self._paused = False
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._room.set()
        if not self._ended:
            self._link.resume()
