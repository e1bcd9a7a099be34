"""Real mosquitto: restarts with and without persistence, a second client with our id, filters that cross."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from hil.parts.broker import Broker
from hil.parts.witness import Witness
from tests.collect.session import numbers, publish, session

_CONNECT = bytes.fromhex("101700044d5154540500001e") + b"\x05\x11\x00\x00\x0e\x10\x00\x05actod"


def test_a_restart_with_persistence_keeps_the_session_and_what_was_not_acknowledged(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", persistence=True)

    async def run() -> None:
        async with session(port=broker.port) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(5)])
            first = await told.messages(5, acknowledge=False)
            told.events.clear()
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            assert await told.event("broker.connected") == {"session_present": True}
            told.source.acknowledge(first)  # on a connection that is gone
            again = await told.messages(5)
            assert numbers(again) == list(range(5))
            assert all(delivery.duplicate for delivery in again)
            assert told.source.take() == {}

    broker.start()
    try:
        asyncio.run(run())
    finally:
        broker.stop()


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_session_that_the_broker_forgot_stands_in_the_ledger_also_when_actod_was_away(
    tmp_path: Path, restarts: int
) -> None:
    broker = Broker(tmp_path / "broker")

    async def run() -> None:
        async with session(port=broker.port, had_session=not restarts) as told:
            if restarts:
                told.events.clear()
                await asyncio.to_thread(broker.restart)
                await told.event("broker.subscribed")
            assert told.source.take() == {("session_lost", "normal", "_broker"): 1}
        async with session(port=broker.port, had_session=True) as told:
            assert told.source.take() == {}

    broker.start()
    try:
        asyncio.run(run())
    finally:
        broker.stop()


def rival(port: int, over: threading.Event) -> None:
    """Take the session, again and again, as a second machine with the same configuration does."""
    while not over.is_set():
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(_CONNECT)
            while not over.is_set() and connection.recv(1000):
                pass


def test_a_second_client_with_our_id_is_named_whether_mosquitto_says_so_or_not_and_it_keeps_the_session(
    tmp_path: Path,
) -> None:
    broker = Broker(tmp_path / "broker")
    over = threading.Event()

    async def run(witness: Witness) -> None:
        async with session(port=witness.port) as told:
            fighting = threading.Thread(target=rival, args=(broker.port, over))
            fighting.start()
            try:
                event = await told.event("broker.taken_over", 40)
                assert event["client_id"] == "actod"  # newer ones than 2.0.11 do say it
                assert told.source.state == "mqtt:taken_over"
                connections = witness.connections
                assert connections <= 12  # a slow machine takes longer to see what goes on
                await asyncio.sleep(1.5)  # in which a fight would go on: there is no event for what must not happen
                assert witness.connections == connections
            finally:
                over.set()
                await asyncio.to_thread(broker.stop)  # ends the rival's read
                fighting.join(10)

    broker.start()
    try:
        with Witness(broker.port).running() as witness:
            asyncio.run(run(witness))
    finally:
        over.set()
        broker.stop()


def test_what_crossing_filters_both_match_is_one_message_and_every_copy_is_acknowledged(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker")

    async def run(witness: Witness) -> None:
        filters = [("a/+", 0), ("+/b", 1), ("c/#", 1)]
        async with session(port=witness.port, subscriptions=filters) as told:
            payloads = [{"n": n // 2} for n in range(40)]  # each content twice
            for topic in ("a/b", "a/x", "x/b", "c/b"):
                await asyncio.to_thread(publish, broker.port, payloads, topic=topic)
            found = await told.messages(40 * 6)
            taken = [delivery for delivery in found if not delivery.copy]
            for topic in ("a/b", "a/x", "x/b", "c/b"):
                assert sorted(numbers([d for d in taken if d.topic == topic])) == [n // 2 for n in range(40)]
            assert len(found) == 40 * 6
            assert {delivery.qos for delivery in taken} == {1}
            async with asyncio.timeout(5):
                while witness.pubacks < len(found):
                    await asyncio.sleep(0.01)

    broker.start()
    try:
        with Witness(broker.port).running() as witness:
            asyncio.run(run(witness))
    finally:
        broker.stop()
