"""The MQTT session against a broker that misbehaves on purpose, and what holds at the bounds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
from pathlib import Path

import pytest

from actod.errors import ConfigError
from actod.model import Delivery
from tests.collect.scripted import (
    CONNECT,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBREC,
    Connection,
    ScriptedBroker,
    publish_packet,
    scripted_session,
)
from tests.collect.session import make_source, numbers, session


def send_numbers(connection: Connection, first: int, last: int, **options: object) -> None:
    connection.writer.write(b"".join(publish_packet(number, **options) for number in range(first, last)))


def test_at_its_limit_it_leaves_after_half_the_keep_alive_and_returns_when_there_is_room() -> None:
    async def run() -> None:
        limits = {"max_messages": 50, "max_group": 50}
        async with scripted_session(intake=limits, keep_alive_seconds=2) as (broker, connection, told):
            send_numbers(connection, 0, 80)
            held = await told.messages(50, acknowledge=False)
            full_since = time.monotonic()
            assert numbers(held) == list(range(50))
            assert await connection.packet(seconds=5) == b""  # the very next packet is a DISCONNECT that keeps the session
            assert 0.7 < time.monotonic() - full_since < 1.5
            assert await connection.packet() is None
            assert told.source.state == "intake:full"
            assert "broker.lost" not in [name for name, _ in told.events]
            await asyncio.sleep(0.4)  # time to return too early: there is no event for what must not happen
            assert broker.count == 1
            told.source.acknowledge(held)
            again = await broker.connection()
            await again.accept(session_present=True)
            send_numbers(again, 50, 80)
            rest = await told.messages(30)
            assert numbers(rest) == list(range(50, 80))
            assert await again.packet_ids(30) == list(range(51, 81))  # and none of those that the old connection brought
            assert told.source.state == "connected"

    asyncio.run(run())


def test_room_that_comes_in_time_keeps_the_connection() -> None:
    async def run() -> None:
        limits = {"max_messages": 10, "max_group": 10}
        async with scripted_session(intake=limits, keep_alive_seconds=2) as (broker, connection, told):
            send_numbers(connection, 0, 100)
            for first in range(0, 100, 10):
                group = await told.group()
                assert numbers(group) == list(range(first, first + 10))
                told.source.acknowledge(group)
            assert await connection.packet_ids(100) == list(range(1, 101))
            assert broker.count == 1

    asyncio.run(run())


def test_a_busy_broker_whose_answer_to_a_ping_waits_behind_messages_is_not_taken_for_a_silent_one() -> None:
    async def run() -> None:
        async with scripted_session(keep_alive_seconds=1) as (broker, connection, told):
            until, number = time.monotonic() + 3.5, 0  # over three keep-alives, in which no ping is answered
            while time.monotonic() < until:
                send_numbers(connection, number, number + 1)
                assert numbers(await told.messages(1)) == [number]
                assert await connection.packet_ids(1) == [number + 1]
                number += 1
            assert broker.count == 1
            assert told.source.state == "connected"

    asyncio.run(run())


def test_the_keep_alive_that_the_broker_sets_is_the_one_that_is_halved() -> None:
    async def run() -> None:
        server_keep_alive = b"\x13\x00\x01"  # one second
        limits = {"max_messages": 10}
        async with scripted_session(intake=limits, properties=server_keep_alive) as (_broker, connection, told):
            send_numbers(connection, 0, 10)
            await told.group()
            assert await connection.packet(DISCONNECT, seconds=3) == b""

    asyncio.run(run())


def test_a_connection_that_ends_while_it_is_full_is_made_anew_only_when_there_is_room() -> None:
    async def run() -> None:
        async with scripted_session(intake={"max_messages": 10}) as (broker, connection, told):
            send_numbers(connection, 0, 10)
            connection.send(0xE0, b"\x8b")  # in the same segment: the broker shuts down
            await connection.close()
            held = await told.group()
            await asyncio.sleep(0.4)  # time to return too early
            assert broker.count == 1
            told.source.acknowledge(held)
            again = await broker.connection(3)
            await again.accept(session_present=True)
            send_numbers(again, 10, 12)
            assert numbers(await told.messages(2)) == [10, 11]

    asyncio.run(run())


@pytest.mark.parametrize("ending", ["disconnect", "end of stream"])
def test_a_connection_that_the_broker_ends_is_replaced_by_one_that_is_read(ending: str) -> None:
    """The new socket often gets the old one's number: a loop that still watched the old one would not see the new."""

    async def run() -> None:
        async with scripted_session() as (broker, first, told):
            connection = first
            for number in range(3):
                if ending == "disconnect":
                    connection.send(0xE0, b"\x8b")
                await connection.close()
                connection = await broker.connection(3)
                await connection.accept(session_present=True)
                send_numbers(connection, number, number + 1)
                assert numbers(await told.messages(1, seconds=3)) == [number]

    asyncio.run(run())


def test_a_stop_brings_out_the_last_acknowledgements_and_says_goodbye() -> None:
    async def run() -> None:
        async with scripted_session() as (_broker, connection, told):
            send_numbers(connection, 0, 30)
            await told.messages(30)
            told.source.stop_reading()
            closing = asyncio.create_task(told.source.close())
            assert await connection.packet_ids(30) == list(range(1, 31))
            assert await connection.packet() == b""  # DISCONNECT
            with pytest.raises(TimeoutError):  # it stays until the broker has read all: closing now could reset the rest
                await connection.packet(seconds=0.2)
            await connection.close()
            await closing

    asyncio.run(run())


def test_what_was_read_before_a_stop_is_handed_out_and_nothing_after() -> None:
    async def run() -> None:
        async with scripted_session(intake={"commit_interval_ms": 60_000}) as (_broker, connection, told):
            send_numbers(connection, 0, 5)
            async with asyncio.timeout(5):
                while len(told.source._intake._waiting) < 5:
                    await asyncio.sleep(0.01)
            told.source.stop_reading()
            send_numbers(connection, 5, 10)
            groups = [numbers(group) async for group in told.source.groups()]
            assert groups == [[0, 1, 2, 3, 4]]

    asyncio.run(run())


def test_a_stop_while_it_connects_leaves_no_socket_behind() -> None:
    async def run(*, answering: bool) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
            source, _events = make_source(port=listener.getsockname()[1], tls=not answering)
            running = asyncio.create_task(source.run())
            accepted, _ = await asyncio.to_thread(listener.accept)
            with accepted:
                source.stop_reading()
                await source.close()
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
                accepted.settimeout(5)
                while await asyncio.to_thread(accepted.recv, 1000):
                    pass

    for answering in (True, False):  # waiting for CONNACK, and in the middle of a TLS handshake
        asyncio.run(run(answering=answering))
    gc.collect()  # a socket left open warns here, and warnings are errors


def test_a_stop_before_the_broker_answers_the_dial_sends_no_connect() -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            source, _events = make_source(port=listener.getsockname()[1])
            running = asyncio.create_task(source.run())
            await asyncio.sleep(0)  # it is looking up the name now
            await asyncio.sleep(0)
            source.stop_reading()
            await running
            await source.close()
            accepted, _ = await asyncio.to_thread(listener.accept)
            with accepted:
                accepted.settimeout(5)
                assert accepted.recv(1000) == b""

    asyncio.run(run())


def test_another_client_with_our_id_is_named_and_the_session_is_left_to_it() -> None:
    async def run() -> None:
        async with scripted_session() as (broker, connection, told):
            connection.send(0xE0, b"\x8e")  # session taken over
            await connection.close()
            assert await told.event("broker.taken_over") == {"client_id": "actod", "told": True}
            assert "broker.lost" not in [name for name, _ in told.events]
            assert told.source.state == "mqtt:taken_over"
            with pytest.raises(TimeoutError):
                await broker.connection(1.5)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("granted", "told_of", "state"),
    [
        (b"\x01\x00", [], "connected"),
        (b"\x87\x00", [("broker.subscription_refused", {"code": 0x87})], "subscription_refused"),
        (b"\x00\x00", [("broker.qos_lowered", {})], "connected"),
        (b"\x01\x87", [], "connected"),  # many brokers hide what they say of themselves
    ],
)
def test_what_the_broker_grants_is_held_against_what_was_asked(
    granted: bytes, told_of: list[tuple[str, dict[str, int]]], state: str
) -> None:
    async def run() -> None:
        async with scripted_session(granted=granted) as (_broker, _connection, told):
            assert told.events[2:] == told_of
            assert told.source.state == state

    asyncio.run(run())


def test_a_broker_that_says_nothing_is_given_up_after_the_time_and_tried_again() -> None:
    async def run() -> None:
        async with ScriptedBroker().running() as broker:
            source, events = make_source(port=broker.port, connect_timeout_seconds=0.3)
            running = asyncio.create_task(source.run())
            first = await broker.connection()
            assert await first.packet(CONNECT) is not None
            assert await first.packet() is None  # it closes
            assert source.state == "away:timeout"
            second = await broker.connection(3)
            await second.accept()
            async with asyncio.timeout(5):
                while source.state != "connected":
                    await asyncio.sleep(0.01)
            assert events[0] == ("broker.away", {"reason": "timeout"})
            source.stop_reading()
            seeing_off = asyncio.create_task(second.see_off())
            await source.close()
            await asyncio.gather(running, seeing_off)

    asyncio.run(run())


def test_a_refusal_is_told_once_and_the_broker_is_tried_again() -> None:
    async def run() -> None:
        async with ScriptedBroker().running() as broker:
            source, events = make_source(port=broker.port)
            running = asyncio.create_task(source.run())
            for _ in range(3):
                connection = await broker.connection(5)
                assert await connection.packet(CONNECT) is not None
                connection.send(0x20, b"\x00\x87\x00")  # not authorized
                assert await connection.packet() is None
            assert source.state == "away:refused"
            assert events == [("broker.away", {"reason": "refused"})]
            source.stop_reading()
            await source.close()
            await running

    asyncio.run(run())


def test_a_topic_that_is_no_utf_8_neither_ends_the_session_nor_blocks_the_next_message() -> None:
    async def run() -> None:
        async with scripted_session() as (_broker, connection, told):
            connection.writer.write(publish_packet(0, topic=b"t/\xff\xfe"))
            send_numbers(connection, 1, 3)
            found = await told.messages(3)
            assert found[0].topic == "t/\udcff\udcfe"
            assert numbers(found) == [0, 1, 2]
            assert await connection.packet_ids(3) == [1, 2, 3]

    asyncio.run(run())


def test_what_paho_cannot_read_among_a_messages_properties_is_not_shown_to_it() -> None:
    async def run() -> None:
        async with scripted_session() as (_broker, connection, told):
            feff = b"\x26\x00\x01k\x00\x03\xef\xbb\xbf"  # a user property that holds U+FEFF
            send_numbers(connection, 0, 2, properties=feff)
            send_numbers(connection, 2, 3, properties=b"\x7f\x01")  # a property that does not exist
            assert numbers(await told.messages(3)) == [0, 1, 2]

    asyncio.run(run())


def test_a_qos_2_message_of_an_older_session_is_completed() -> None:
    async def run() -> None:
        async with scripted_session() as (_broker, connection, told):
            connection.writer.write(publish_packet(0, qos=2))
            assert await connection.packet_ids(1, PUBREC) == [1]
            connection.send(0x62, b"\x00\x01")  # PUBREL
            assert numbers(await told.messages(1)) == [0]
            assert await connection.packet_ids(1, PUBCOMP) == [1]

    asyncio.run(run())


def test_an_oversize_message_is_counted_with_its_length_and_acknowledged_in_its_turn() -> None:
    async def run() -> None:
        async with scripted_session(intake={"largest_payload_bytes": 1024}) as (_broker, connection, told):
            send_numbers(connection, 0, 1)
            connection.writer.write(publish_packet(1, payload=b"x" * 3_000_000))
            send_numbers(connection, 2, 3)
            found = await told.messages(3)
            assert [(delivery.oversize_bytes, len(delivery.payload)) for delivery in found] == [
                (0, 8),
                (3_000_000, 0),
                (0, 8),
            ]
            assert await connection.packet_ids(3) == [1, 2, 3]

    asyncio.run(run())


def test_what_is_buffered_below_paho_stays_small_however_slowly_groups_are_released() -> None:
    async def run() -> None:
        async with scripted_session(intake={"max_messages": 10}) as (_broker, connection, told):
            send_numbers(connection, 0, 60_000)  # 1.5 MB
            for _ in range(100):
                told.source.acknowledge(await told.group())
                frames = told.source._link._frames
                assert frames is not None
                assert len(frames._ready) + len(frames._incoming) < 400_000
            connection.writer.transport.abort()

    asyncio.run(run())


def test_qos_0_is_dropped_and_counted_where_it_would_fill_the_bytes() -> None:
    async def run() -> None:
        limits = {"max_bytes": 100_000, "largest_payload_bytes": 20_000}
        async with scripted_session(intake=limits) as (_broker, connection, told):
            send_numbers(connection, 0, 20, qos=0, payload=b"x" * 10_000)
            send_numbers(connection, 20, 21)  # QoS 1 still has room
            found: list[Delivery] = []
            while not any(delivery.qos for delivery in found):
                found += await told.group()
            assert len(found) == 8 + 1
            assert told.source.take() == {("qos0_overflow", "normal", "_none"): 12}

    asyncio.run(run())


def test_qos_0_of_interventions_is_dropped_last_and_each_drop_is_counted_by_its_route_and_class() -> None:
    def describe(topic: str) -> tuple[str, str]:
        return ("stops", "intervention") if topic == "t/stop" else ("rest", "bulk")

    async def run() -> None:
        async with scripted_session(intake={"max_messages": 40, "max_group": 40}, describe=describe) as parts:
            _broker, connection, told = parts
            send_numbers(connection, 0, 40, qos=0)
            send_numbers(connection, 40, 60, qos=0, topic=b"t/stop")
            found = await told.messages(40, acknowledge=False)
            assert [delivery.topic for delivery in found].count("t/stop") == 10
            told.source.acknowledge(found)
            assert len(await told.messages(10)) == 10
            assert told.source.take() == {("qos0_overflow", "bulk", "rest"): 10}

    asyncio.run(run())


def test_an_endless_flood_leaves_time_for_everything_else() -> None:
    """A flood of QoS 0 never fills the intake, since what is beyond its share is dropped: only a turn's end ends it."""
    packets = b"".join(publish_packet(number, qos=0) for number in range(1000))
    over = threading.Event()

    def flood(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"\x20\x03\x00\x00\x00")
            body = connection.recv(1000)
            connection.sendall(b"\x90\x05" + body[2:4] + b"\x00\x01\x01")
            with contextlib.suppress(OSError):
                while not over.is_set():
                    connection.sendall(packets)

    async def run(port: int) -> None:
        async with session(port=port, intake={"max_messages": 100}) as told:
            longest, last = 0.0, time.monotonic()
            for _ in range(30):
                await asyncio.sleep(0.001)
                now = time.monotonic()
                longest, last = max(longest, now - last), now
            assert await told.group()
            over.set()
            assert longest < 0.5

    with socket.create_server(("127.0.0.1", 0)) as listener:
        flooding = threading.Thread(target=flood, args=(listener,))
        flooding.start()
        try:
            asyncio.run(run(listener.getsockname()[1]))
        finally:
            over.set()
            flooding.join(10)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    async def run(file: Path) -> None:
        make_source(port=1, tls=True, ca_file=file)

    (tmp_path / "empty.pem").write_text("no certificate", encoding="utf-8")
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(ConfigError, match=r"mqtt\.ca_file"):
            asyncio.run(run(tmp_path / name))


def test_acknowledgements_keep_the_order_of_arrival_when_groups_overlap() -> None:
    async def run() -> None:
        async with scripted_session(intake={"max_group": 4}) as (_broker, connection, told):
            send_numbers(connection, 0, 20)
            await told.messages(20)
            assert await connection.packet_ids(20, PUBACK) == list(range(1, 21))

    asyncio.run(run())
