"""One connection to the broker: paho on the loop's thread over a socket of ours, watched by the loop.

paho closes the socket by itself in several cases. The loop must stop watching it before the number of its descriptor is
given to the next one: a loop that still knows the number would never watch the new socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from actod.collect.dial import until_ready
from actod.collect.transport import FrameSocket, Publish
from actod.config import MqttConfig
from actod.secretfile import read_secret

_TURN_SECONDS = 0.01  # of reading, then others have their turn: commits, acknowledgements, signals
_DISCONNECT = b"\xe0\x00"
_FAREWELL_SECONDS = 1.0


class Client(paho.Client):
    """paho over a socket that is connected already."""

    frames: FrameSocket | None = None

    def _create_socket(self) -> Any:
        return self.frames

    def has_heard(self) -> None:
        """Take note of packets that went past paho: else its keep-alive takes a busy broker for a silent one."""
        with self._msgtime_mutex:
            self._last_bytes_received = paho.time_func()

    def has_spoken(self) -> None:
        """Take note of what was sent past paho, likewise."""
        with self._msgtime_mutex:
            self._last_msg_out = paho.time_func()


def make_client(mqtt: MqttConfig) -> Client:
    """Make the client with its name and password. Raises ConfigError as `authenticate` does."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=mqtt.client_id,
        protocol=paho.MQTTv5,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    authenticate(client, mqtt)
    return client


def authenticate(client: Client, mqtt: MqttConfig) -> None:
    """Give the client its name and the password as its file holds it now. Raises ConfigError if that is not in order."""
    if mqtt.username:
        password = read_secret(mqtt.password_file, key="mqtt.password_file") if mqtt.password_file else None
        client.username_pw_set(mqtt.username, password)


class Link:
    """Reads and writes. `has_room` is asked before each packet, `on_read` told after each turn, `on_lost` at the end.

    `on_publish` gets each message in its turn: those of QoS 2 by way of paho, which completes them first.
    """

    def __init__(
        self,
        client: Client,
        *,
        has_room: Callable[[], bool],
        on_read: Callable[[], None],
        on_lost: Callable[[], None],
        on_publish: Callable[[Publish], None],
    ) -> None:
        self._client = client
        self._has_room, self._on_read, self._on_lost = has_room, on_read, on_lost
        self._on_publish = on_publish
        self._frames: FrameSocket | None = None
        self._again: asyncio.Handle | None = None
        self._loop = asyncio.get_running_loop()
        client.on_socket_close = self._on_socket_close
        client.on_message = self._on_message
        # paho then queues what it sends and leaves the writing to us
        client.on_socket_register_write = lambda *_: None
        client.on_socket_unregister_write = lambda *_: None

    def open(self, frames: FrameSocket, **connect: Any) -> None:
        """Send CONNECT over a socket, and read what comes."""
        self._client.frames = self._frames = frames
        self._client.connect(**connect)
        self.resume()
        self.write()

    def close(self) -> None:
        """Close the connection. What paho has written goes out if the network takes it at once."""
        frames, self._frames = self._frames, None
        self._cancel_turn()
        if frames is not None:
            self._unwatch(frames)
            frames.close()

    def leave(self) -> None:
        """Disconnect on purpose; the broker keeps the session."""
        if self._frames is not None:
            self._frames.send(_DISCONNECT)
        self.close()

    async def finish(self) -> None:
        """Disconnect once all acknowledgements are out, and see the broker close: it has read them then."""
        frames, self._frames = self._frames, None
        self._cancel_turn()
        if frames is None:
            return
        self._unwatch(frames)
        frames.send(_DISCONNECT)
        with suppress(OSError):  # the time is up (TimeoutError is one), or the connection broke
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while not frames.flush():
                    await until_ready(self._loop.add_writer, self._loop.remove_writer, frames.descriptor)
                while not frames.discard():
                    await until_ready(self._loop.add_reader, self._loop.remove_reader, frames.descriptor)
        frames.close()

    def pause(self) -> None:
        """Read nothing more until `resume`; the network holds the broker back."""
        if self._frames is not None:
            self._loop.remove_reader(self._frames.descriptor)

    def resume(self) -> None:
        """Read on. What is buffered already announces itself to nobody."""
        if self._frames is not None:
            self._loop.add_reader(self._frames.descriptor, self._read)
            self._read_again()

    def oversize_bytes(self, payload: bytes) -> int:
        """Return the true length in bytes of a message that was too large and streamed away, 0 for any other."""
        return self._frames.oversize(payload) if self._frames is not None else 0

    def subscriptions(self, *, qos: int) -> Sequence[int]:
        """Return the identifiers of the subscriptions that brought the PUBLISH that paho hands over now."""
        if self._frames is None or qos > 1 or not self._frames.subscriptions:
            return ()
        return self._frames.subscriptions.popleft()

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs in this order, with the next `write`."""
        if self._frames is not None and packet_ids:
            self._frames.acknowledge(packet_ids)
            self._client.has_spoken()

    def complete(self, packet_id: int) -> None:
        """Send the PUBCOMP of a message of QoS 2, with the next `write`."""
        self._client.ack(packet_id, 2)

    def write(self) -> None:
        """Bring out what is to be sent."""
        frames = self._frames
        if frames is None:
            return
        try:
            if self._client.want_write():
                self._client.loop_write()
            if self._frames is not frames:
                return
            if frames.flush():
                self._loop.remove_writer(frames.descriptor)
            else:
                self._loop.add_writer(frames.descriptor, self.write)
        except OSError:
            self._lose()

    def keep_alive(self) -> None:
        """Let paho see to its pings; call it about once a second."""
        if self._frames is not None:
            self._client.loop_misc()
            self.write()

    def _read_again(self) -> None:
        if self._again is None:
            self._again = self._loop.call_soon(self._read)

    def _cancel_turn(self) -> None:
        """Take back a turn that was asked for: one that the socket brought would else be followed by more and more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _read(self) -> None:
        """Take what is buffered, then what the network and TLS hold, packet by packet, for one turn or until it is full."""
        frames = self._frames
        self._cancel_turn()
        if frames is None:
            return
        until = self._loop.time() + _TURN_SECONDS
        more = True
        heard = False
        try:
            while self._has_room():
                if publish := frames.publish():
                    self._on_publish(publish)
                    heard = True
                elif frames.has_packet():
                    if self._client.loop_read() != paho.MQTT_ERR_SUCCESS or self._frames is not frames:
                        self._lose()
                        return
                elif more:
                    more = frames.fill()
                else:
                    break
                if self._loop.time() > until:
                    self._read_again()
                    break
        except OSError:
            self._lose()
            return
        if heard:
            self._client.has_heard()
        self.write()
        self._on_read()

    def _lose(self) -> None:
        self.close()
        self._on_lost()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        """Hand over a message of QoS 2 that is complete."""
        try:
            topic = message.topic
        except UnicodeDecodeError as exc:
            topic = exc.object.decode("utf-8", "surrogateescape")
        payload = bytes(message.payload)
        self._on_publish(Publish(topic, payload, message.qos, message.mid, message.dup, message.retain))

    def _on_socket_close(self, _client: Any, _data: Any, sock: Any) -> None:
        """Take the socket out of the loop: paho is about to close it."""
        self._unwatch(cast("FrameSocket", sock))

    def _unwatch(self, frames: FrameSocket) -> None:
        if frames.fileno() >= 0:
            self._loop.remove_reader(frames.descriptor)
            self._loop.remove_writer(frames.descriptor)
