"""The MQTT 5 session: paho on the asyncio loop, manual acknowledgements, and a bound on memory that is ours.

Paid for with failed trials: connect() blocks, so it runs on a worker thread; every other call, ack() too, is made on the
loop's thread; an acknowledgement is sent only on the connection that delivered the message, since packet ids start anew
with a new session; callbacks never raise. At its limit actod stops reading; if that lasts longer than half the
keep-alive it disconnects, keeping the session, and returns when there is room.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from actod.collect.broker_drops import TOPIC as BROKER_DROPS_TOPIC
from actod.collect.broker_drops import BrokerDrops
from actod.collect.credentials import read_secret, tls_context
from actod.collect.transport import FrameSocket
from actod.collect.window import CommitWindow
from actod.config import IntakeConfig, MqttConfig
from actod.model import Delivery
from actod.ports import Clock

_BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_QOS0_SHARE = 0.75  # of the limit: what is beyond and cannot be acknowledged is dropped first
_TAKEN_OVER = 0x8E
_FAILED = 0x80

_log = structlog.get_logger(__name__)


class _Client(paho.Client):
    """paho with our socket under it."""

    largest_payload_bytes = 0
    frames: FrameSocket | None = None

    def _create_socket(self) -> Any:
        sock = cast("socket.socket", super()._create_socket())
        sock.settimeout(None)
        if sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames = FrameSocket(sock, largest_payload_bytes=self.largest_payload_bytes)
        return self.frames


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
        self._mqtt, self._intake, self._clock, self._on_event = mqtt, intake, clock, on_event
        self._subscriptions = [*subscriptions, (BROKER_DROPS_TOPIC, 0)]
        self._broker_drops = broker_drops
        self._window = CommitWindow(intake, receive_maximum=mqtt.receive_maximum)
        self._waiting: list[Delivery] = []
        self._held_messages = self._held_bytes = 0
        self._connection = 0
        self._connected = self._paused = self._ended = False
        self._lost = asyncio.Event()
        self._settled = asyncio.Event()  # the broker accepted, or the attempt ended
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._pause_timer: asyncio.TimerHandle | None = None
        self._dropped: Counter[tuple[str, str, str]] = Counter()
        self._loop = asyncio.get_running_loop()
        self._client = self._make_client()
        self.state = "connecting"

    # -- the Source port ---------------------------------------------------------------------------------------------

    async def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        """Yield commit groups; see the port."""
        while self._waiting or not self._ended:
            await self._due.wait()
            self._due.clear()
            group, self._waiting = self._waiting[: self._intake.max_group], self._waiting[self._intake.max_group :]
            self._window.taken()
            if self._waiting:
                self._due.set()
            if group:
                yield group

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send the PUBACKs of this connection's messages, in arrival order, and make room."""
        mine = [d.packet_id for d in deliveries if d.qos and d.connection == self._connection] if self._connected else []
        self._window.acknowledged(self._clock.now().monotonic_ns, len(mine))
        for packet_id in mine:
            self._client.ack(packet_id, 1)
        self._write()
        self._held_messages -= len(deliveries)
        self._held_bytes -= sum(len(d.payload) + len(d.topic) for d in deliveries)
        if self._paused and not self._full():
            self._resume()

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over what was dropped here (the LossCounter port)."""
        dropped, self._dropped = self._dropped, Counter()
        return dropped

    # -- life ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a session for ever: connect, subscribe, read; again with back-off when it is lost."""
        failures = 0
        ticker = asyncio.ensure_future(self._tick())
        try:
            while not self._ended:
                if await self._connect():
                    failures = 0
                    await self._lost.wait()
                if self._ended:
                    return
                if self._paused:
                    await self._room.wait()
                pause = _BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)]
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter is no secret
                failures += 1
        finally:
            ticker.cancel()

    def stop_reading(self) -> None:
        """Take nothing more: `groups` yields what was read and ends."""
        self._ended = True
        self._unwatch()
        self._due.set()
        self._lost.set()
        self._room.set()

    async def close(self) -> None:
        """Bring the last PUBACKs out and disconnect, keeping the session at the broker."""
        if self._connected:
            self._client.disconnect()
            self._write()
            with suppress(OSError, AttributeError):
                for _ in range(50):
                    if self._client.frames is None or self._client.frames.flush():
                        break
                    await asyncio.sleep(0.02)
        self._drop_connection()
        self._on_event("broker.disconnected", why="stopped")

    async def _connect(self) -> bool:
        """Connect, which blocks and so runs on a thread. Returns whether the broker accepted."""
        self._lost.clear()
        self._settled.clear()
        self._connection += 1
        self._window.reset()
        self._client.user_data_set(self._connection)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._mqtt.session_expiry_seconds
        properties.ReceiveMaximum = self._mqtt.receive_maximum
        try:
            await asyncio.to_thread(
                self._client.connect,
                self._mqtt.host,
                self._mqtt.port,
                self._mqtt.keep_alive_seconds,
                clean_start=False,
                properties=properties,
            )
        except ssl.SSLError as exc:
            return self._refused("tls", exc.reason or "")
        except (OSError, ValueError) as exc:
            return self._refused("network", getattr(exc, "strerror", "") or type(exc).__name__)
        if self._ended:
            return False
        self._watch()
        self._write()
        try:
            async with asyncio.timeout(self._mqtt.connect_timeout_seconds):
                await self._settled.wait()
        except TimeoutError:
            self._drop_connection()
            return self._refused("timeout", "no CONNACK")
        return self._connected

    def _refused(self, reason: str, detail: str) -> bool:
        state = f"away:{reason}"
        if self.state != state:
            self.state = state
            self._on_event("broker.away", reason=reason)
            _log.warning("The broker is away; it is tried again.", reason=reason, detail=detail)
        return False

    async def _tick(self) -> None:
        """Let paho see to its keep-alive."""
        while True:
            await asyncio.sleep(1.0)
            if self._connected and not self._paused:
                self._client.loop_misc()
                self._write()

    # -- paho's callbacks: on the loop's thread, and they never raise -------------------------------------------------

    def _make_client(self) -> _Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._mqtt.client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.largest_payload_bytes = self._intake.largest_payload_bytes
        client.connect_timeout = self._mqtt.connect_timeout_seconds
        if self._mqtt.username:
            password = read_secret(self._mqtt.password_file, key="mqtt.password_file") if self._mqtt.password_file else None
            client.username_pw_set(self._mqtt.username, password)
        if self._mqtt.tls:
            client.tls_set_context(tls_context(self._mqtt))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        # paho then queues what it sends and leaves the writing to us
        client.on_socket_register_write = lambda *_: None
        client.on_socket_unregister_write = lambda *_: None
        return client

    def _on_connect(self, _client: Any, connection: int, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if connection != self._connection:
            return
        if reason.is_failure:
            self._refused("refused", str(reason))
            self._drop_connection()
            return
        self._connected = True
        self._settled.set()
        self.state = "connected"
        self._on_event("broker.connected", session_present=bool(flags.session_present))
        _log.info("The broker is connected.", session_present=bool(flags.session_present))
        # Retained messages come with a new subscription only: a kept session must not bring them again.
        options = [(t, SubscribeOptions(qos=min(q, 1), retainHandling=1)) for t, q in self._subscriptions]
        self._client.subscribe(options)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        self._on_event("broker.subscribed", filters=len(reasons))
        for (topic, _qos), reason in zip(self._subscriptions, reasons, strict=False):
            if reason.value >= _FAILED:
                self._on_event("broker.subscription_refused", code=reason.value)
                _log.error("The broker refused a subscription.", topic=topic, reason=str(reason))

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.value == _TAKEN_OVER:
            self.state = "away:taken_over"
            self._on_event("broker.taken_over", client_id=self._mqtt.client_id)
            _log.error("Another client uses our client id: the broker gave it the session.", client_id=self._mqtt.client_id)
        elif not self._ended and self._connected:
            self.state = "away:lost"
            self._on_event("broker.lost", code=int(reason.value))
        self._drop_connection()

    def _on_message(self, _client: Any, connection: int, message: paho.MQTTMessage) -> None:
        received = self._clock.now()
        topic, payload = message.topic, bytes(message.payload)
        if topic.startswith("$SYS/"):
            self._broker_drops.see(payload.decode("ascii", "replace"))
            return
        if not message.qos and self._held_messages >= self._intake.max_messages * _QOS0_SHARE:
            self._dropped["qos0_overflow", "normal", "_none"] += 1
            return
        frames = self._client.frames
        oversize = frames.oversize(payload) if frames is not None else 0
        self._waiting.append(
            Delivery(
                topic=topic,
                payload=b"" if oversize else payload,
                qos=message.qos,
                packet_id=message.mid,
                connection=connection,
                duplicate=message.dup,
                retained=message.retain,
                received=received,
                oversize_bytes=oversize,
            )
        )
        self._held_messages += 1
        self._held_bytes += len(topic) + (0 if oversize else len(payload))
        self._window.arrived(received.monotonic_ns, acknowledgeable=message.qos > 0)

    # -- reading and writing -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        frames = self._client.frames
        if frames is not None and frames.fileno() >= 0:
            self._loop.add_reader(frames.fileno(), self._readable)

    def _unwatch(self) -> None:
        frames = self._client.frames
        if frames is not None and frames.fileno() >= 0:
            self._loop.remove_reader(frames.fileno())
            self._loop.remove_writer(frames.fileno())

    def _readable(self) -> None:
        """Drain the socket and what TLS holds, packet by packet, until there is nothing more or no room."""
        frames = self._client.frames
        if frames is None:
            return
        try:
            more = True
            while more and not self._full():
                more = frames.fill()
                while frames.has_packet() and not self._full():
                    if self._client.loop_read() != paho.MQTT_ERR_SUCCESS or self._client.frames is not frames:
                        self._lose()
                        return
        except OSError:
            self._lose()
            return
        self._write()
        if self._full():
            self._pause()
        self._arm()

    def _lose(self) -> None:
        if self._connected and not self._ended:
            self.state = "away:lost"
            self._on_event("broker.lost", code=0)
        self._drop_connection()
        self._arm()

    def _write(self) -> None:
        frames = self._client.frames
        if frames is None or frames.fileno() < 0:
            return
        try:
            if self._client.want_write():
                self._client.loop_write()
            if frames.flush():
                self._loop.remove_writer(frames.fileno())
            else:
                self._loop.add_writer(frames.fileno(), self._write)
        except (OSError, ValueError):
            self._lose()

    def _drop_connection(self) -> None:
        self._unwatch()
        if self._client.frames is not None:
            self._client.frames.close()
            self._client.frames = None
        self._connected = False
        self._settled.set()
        self._lost.set()

    # -- the commit timer and backpressure -----------------------------------------------------------------------------

    def _arm(self) -> None:
        """See to it that `groups` wakes when a commit is due."""
        due = self._window.due_ns()
        if due is None:
            return
        wait_ns = due - self._clock.now().monotonic_ns
        if wait_ns <= 0 or len(self._waiting) >= self._intake.max_group or self._full():
            self._due.set()
            return
        if self._timer is None:
            self._timer = self._loop.call_later(wait_ns / 1e9, self._on_timer)
        elif self._timer.when() > self._loop.time() + wait_ns / 1e9 + 0.002:
            self._timer.cancel()
            self._timer = self._loop.call_later(wait_ns / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._arm()

    def _full(self) -> bool:
        return self._held_messages >= self._intake.max_messages or self._held_bytes >= self._intake.max_bytes

    def _pause(self) -> None:
        if self._paused:
            return
        self._paused = True
        self._room.clear()
        self._unwatch()
        self._due.set()
        self._pause_timer = self._loop.call_later(self._mqtt.keep_alive_seconds / 2, self._leave)

    def _leave(self) -> None:
        """No room for half a keep-alive: disconnect on purpose; the broker keeps the session."""
        if self._paused and self._connected:
            self.state = "intake:full"
            self._on_event("intake.full")
            self._client.disconnect()
            self._write()
            self._drop_connection()

    def _resume(self) -> None:
        self._paused = False
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        self._room.set()
        if self._connected and not self._ended:
            self._watch()
            self._loop.call_soon(self._readable)  # what is buffered announces itself to nobody
