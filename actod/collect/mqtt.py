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
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from actod.collect.broker_drops import TOPIC as BROKER_DROPS_TOPIC
from actod.collect.broker_drops import BrokerDrops
from actod.collect.credentials import tls_context
from actod.collect.dial import dial
from actod.collect.intake import Intake
from actod.collect.link import Link, make_client
from actod.collect.subscriptions import Subscriptions
from actod.collect.transport import FrameSocket
from actod.config import IntakeConfig, MqttConfig
from actod.model import Delivery
from actod.ports import Clock

_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_STEADY_SECONDS = 10.0  # a connection that ends sooner counts as a failure: two clients with one id take it from each other
_UNSTEADY = 3  # short connections in a row; mosquitto does not tell a client that another has taken its session
_TAKEN_OVER = 0x8E
_FAILED = 0x80

_log = structlog.get_logger(__name__)


class MqttSource:
    """Implements the Source port. `run` is the session's task; `state` says how it fares."""

    def __init__(
        self,
        *,
        mqtt: MqttConfig,
        intake: IntakeConfig,
        subscriptions: Sequence[tuple[str, int]],
        clock: Clock,
        on_event: Callable[..., None],
        broker_drops: BrokerDrops,
    ) -> None:
        self._mqtt, self._clock, self._on_event, self._broker_drops = mqtt, clock, on_event, broker_drops
        self._largest_payload_bytes = intake.largest_payload_bytes
        self._subscriptions, self._left = Subscriptions(subscriptions), set[str]()
        self._intake = Intake(intake, receive_maximum=mqtt.receive_maximum, clock=clock)
        self._connection = 0
        self._connected = self._paused = self._ended = False
        self._lost = asyncio.Event()
        self._settled = asyncio.Event()  # the broker accepted, or the attempt ended
        self._room = asyncio.Event()
        self._room.set()
        self._pause_timer: asyncio.TimerHandle | None = None
        self._dropped: Counter[tuple[str, str, str]] = Counter()
        self._loop = asyncio.get_running_loop()
        self._tls = tls_context(mqtt) if mqtt.tls else None
        self._client = make_client(mqtt)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._link = Link(self._client, has_room=self._has_room, on_read=self._after_reading, on_lost=self._on_lost)
        self.state = "connecting"

    # -- the Source port ---------------------------------------------------------------------------------------------

    def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        """Yield commit groups; see the port."""
        return self._intake.groups()

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send the PUBACKs of this connection's messages, in arrival order, and make room."""
        mine = [d for d in deliveries if d.qos and d.connection == self._connection] if self._connected else []
        for delivery in mine:
            self._client.ack(delivery.packet_id, delivery.qos)
        self._link.write()
        self._intake.release(deliveries, acknowledged=len(mine))
        if self._paused and not self._intake.full():
            self._resume()

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over what was dropped here (the LossCounter port)."""
        dropped, self._dropped = self._dropped, Counter()
        return dropped

    def adopt(self, *, intake: IntakeConfig, subscriptions: Sequence[tuple[str, int]]) -> None:
        """Take other bounds and subscriptions. What no route asks for any more ends at the broker, now or on our return."""
        self._intake.adopt(intake)
        before, self._subscriptions = self._subscriptions.pairs, Subscriptions(subscriptions)
        wanted = self._subscriptions.pairs
        self._left = (self._left | {topic for topic, _ in before}) - {topic for topic, _ in wanted}
        if wanted != before and self._connected and not self._ended:
            self._subscribe(session_present=True)
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
        for event in (self._settled, self._lost, self._room):
            event.set()

    async def close(self) -> None:
        """Bring the last PUBACKs out and disconnect, keeping the session at the broker."""
        self._ended, connected, self._connected = True, self._connected, False
        if connected:
            await self._link.finish()
        self._drop_connection()
        self._on_event("broker.disconnected", why="stopped")

    async def _keep_session(self) -> None:
        failures = 0
        while not self._ended:
            if await self._connect():
                began = self._loop.time()
                await self._lost.wait()
                if self._loop.time() - began >= _STEADY_SECONDS or self._paused:
                    failures = 0
                elif failures == _UNSTEADY:
                    self._on_event("broker.unsteady", client_id=self._mqtt.client_id)
                    _log.warning("The broker accepts us and ends it at once. Does another client use our client id?")
            if self._intake.full():
                self._pause()
            await self._room.wait()
            if not self._ended:
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
                failures += 1

    async def _connect(self) -> bool:
        """Connect. Returns whether the broker accepted."""
        self._lost.clear()
        self._settled.clear()
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
        state = f"away:{reason}"
        if self.state != state:
            self.state = state
            self._on_event("broker.away", reason=reason)
            _log.warning("The broker is away; it is tried again.", reason=reason, detail=detail)
        return False

    async def _tick(self) -> None:
        """Let paho see to its keep-alive; not while paused, when the answer to its ping would not be read."""
        while True:
            await asyncio.sleep(1.0)
            if self._connected and not self._paused:
                self._link.keep_alive()

    # -- paho's callbacks: they never raise ---------------------------------------------------------------------------

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._refused("refused", str(reason))
            self._drop_connection()
            return
        self._connected = True
        self._settled.set()
        self.state = "connected"
        self._on_event("broker.connected", session_present=bool(flags.session_present))
        _log.info("The broker is connected.", session_present=bool(flags.session_present))
        self._subscribe(session_present=bool(flags.session_present))

    def _subscribe(self, *, session_present: bool) -> None:
        unwanted = [*self._subscriptions.covered, *self._left]  # a kept session would bring these twice, or for nobody
        if unwanted and session_present:
            self._client.unsubscribe(unwanted)
        self._client.subscribe(self._subscriptions.options())
        self._left.clear()

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        self._on_event("broker.subscribed", filters=len(reasons))
        for (topic, qos), reason in zip(self._subscriptions.pairs, reasons, strict=False):
            if reason.value >= _FAILED and self._subscriptions.is_only_ours(topic):
                _log.warning("The broker does not let us see what it drops.", reason=str(reason))
            elif reason.value >= _FAILED:
                self.state = "subscription_refused"
                self._on_event("broker.subscription_refused", code=reason.value)
                _log.error("The broker refused a subscription.", topic=topic, reason=str(reason))
            elif reason.value < min(qos, 1):
                self._on_event("broker.qos_lowered")
                _log.warning("The broker grants QoS 0 only: what it loses on the way is not sent again.", topic=topic)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.value == _TAKEN_OVER:
            self._connected = False
            self.state = "away:taken_over"
            self._on_event("broker.taken_over", client_id=self._mqtt.client_id)
            _log.error("Another client uses our client id: the broker gave it the session.", client_id=self._mqtt.client_id)
        self._link.close()
        self._on_lost(int(reason.value))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        received = self._clock.now()
        try:
            topic = message.topic
        except UnicodeDecodeError as exc:
            topic = exc.object.decode("utf-8", "surrogateescape")  # no broker should pass it on; the router refuses it
        payload = bytes(message.payload)
        if topic == BROKER_DROPS_TOPIC:
            self._broker_drops.see(payload.decode("ascii", "replace"))
            if self._subscriptions.is_only_ours(topic):
                return
        if not message.qos and not self._intake.has_room_for_qos0():
            self._dropped["qos0_overflow", "normal", "_none"] += 1
            return
        oversize = self._link.oversize_bytes(payload)
        self._intake.add(
            Delivery(
                topic=topic,
                payload=b"" if oversize else payload,
                qos=message.qos,
                packet_id=message.mid,
                connection=self._connection,
                duplicate=message.dup,
                retained=message.retain,
                received=received,
                oversize_bytes=oversize,
            )
        )

    # -- the connection's end, and backpressure ------------------------------------------------------------------------

    def _on_lost(self, code: int = 0) -> None:
        if self._connected and not self._ended:
            self.state = "away:lost"
            self._on_event("broker.lost", code=code)
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
            self.state = "intake:full"
            self._on_event("intake.full")
            self._link.leave()
            self._drop_connection()

    def _resume(self) -> None:
        self._paused = False
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._room.set()
        if not self._ended:
            self._link.resume()
