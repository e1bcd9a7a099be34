"""The connection to the broker: addresses in turn, and nothing left open."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from actod.collect.dial import dial
from actod.config import MqttConfig


def test_an_address_that_is_silent_leaves_time_for_the_next() -> None:
    async def run(silent: tuple[str, int], listener: socket.socket) -> None:
        async def addresses(*_arguments: Any, **_options: Any) -> list[Any]:
            tcp = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*tcp, silent), (*tcp, listener.getsockname())]

        asyncio.get_running_loop().getaddrinfo = addresses  # type: ignore[method-assign] # a name with two addresses
        sock = await dial(MqttConfig(connect_timeout_seconds=0.6), None)
        with sock:
            assert sock.getpeername() == listener.getsockname()
            assert sock.gettimeout() == 0

    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(full.getsockname()),  # its queue holds one: the kernel leaves the next without an answer
    ):
        asyncio.run(run(full.getsockname(), listener))


def test_a_broker_that_does_not_listen_is_refused_with_the_systems_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(dial(MqttConfig(port=port), None))
