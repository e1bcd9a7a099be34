"""A connection to the broker, made on the loop: paho's own way blocks, and leaves a socket open where a handshake fails."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

from actod.config import MqttConfig


async def dial(mqtt: MqttConfig, context: ssl.SSLContext | None) -> socket.socket:
    """Return a connected, non-blocking socket, TLS where there is a context. Raises OSError, ssl.SSLError among it.

    May be cancelled at any time: no socket stays behind.
    """
    loop = asyncio.get_running_loop()
    failure = OSError("the broker's name has no address")
    addresses = await loop.getaddrinfo(mqtt.host, mqtt.port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(0)
            async with asyncio.timeout(mqtt.connect_timeout_seconds / len(addresses)):  # a silent one leaves time for others
                await loop.sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as exc:  # TimeoutError is one
            sock.close()
            failure = exc
        except BaseException:
            sock.close()
            raise
        else:
            return await _shake_hands(sock, context, mqtt.host) if context else sock
    raise failure


async def _shake_hands(sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    try:
        wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    loop, descriptor = asyncio.get_running_loop(), wrapped.fileno()
    try:
        while True:
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                await until_ready(loop.add_reader, loop.remove_reader, descriptor)
            except ssl.SSLWantWriteError:
                await until_ready(loop.add_writer, loop.remove_writer, descriptor)
            else:
                return wrapped
    except BaseException:
        wrapped.close()
        raise


async def until_ready(add: Callable[..., Any], remove: Callable[[int], Any], descriptor: int) -> None:
    """Wait until the loop finds a descriptor ready; `add` and `remove` are the loop's, for reading or for writing."""
    ready = asyncio.Event()
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)
