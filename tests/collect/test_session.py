"""The MQTT session against a real mosquitto, and a scripted broker for what a real one does only by chance."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from actod.collect.broker_drops import BrokerDrops
from actod.errors import ConfigError
from hil.parts.broker import Broker
from hil.parts.certificates import CertificateAuthority
from hil.parts.witness import Witness
from tests.collect.session import numbers, publish, session


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path / "broker")
    running.start()
    yield running
    running.stop()


def test_packet_ids_used_anew_after_a_broker_restart_are_never_acknowledged_in_anothers_name(broker: Broker) -> None:
    async def run(witness: Witness) -> None:
        async with session(port=witness.port) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(5)])
            old = await told.group()
            told.events.clear()
            await asyncio.to_thread(broker.restart)  # no persistence: the session and its packet ids are forgotten
            await told.event("broker.subscribed")
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(100, 103)])
            new = await told.group()
            assert {d.packet_id for d in new} <= {d.packet_id for d in old}
            told.source.acknowledge(old)  # the commit of the old group ends only now
            await asyncio.sleep(0.3)  # time for a wrong PUBACK to arrive: there is no event for what must not happen
            assert [
                seen for seen in witness.seen if seen.kind == "puback" and seen.connection == new_connection(witness)
            ] == []
            told.source.acknowledge(new)
            async with asyncio.timeout(5):
                while len(witness.acknowledged()) < 3:
                    await asyncio.sleep(0.01)
            assert [json.loads(seen.payload)["n"] for seen in witness.acknowledged()] == [100, 101, 102]

    with Witness(broker.port).running() as witness:
        asyncio.run(run(witness))


def new_connection(witness: Witness) -> int:
    return max(seen.connection for seen in witness.seen)


def test_what_was_not_acknowledged_comes_again_marked_as_a_duplicate(broker: Broker) -> None:
    async def run(witness: Witness) -> None:
        async with session(port=witness.port) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(7)])
            first = await told.messages(7, acknowledge=False)
        async with session(port=witness.port) as again:
            second = await again.messages(7)
            assert numbers(second) == numbers(first) == list(range(7))
            assert all(delivery.duplicate for delivery in second)

    with Witness(broker.port).running() as witness:
        asyncio.run(run(witness))


def publish_frame(number: int) -> bytes:
    body = b"\x00\x03t/x" + (number + 1).to_bytes(2) + b"\x00" + json.dumps({"n": number}).encode()
    return bytes([0x32, len(body)]) + body


def test_ten_messages_of_one_tls_record_are_all_read_at_once(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path / "ca")
    certificate = authority.issue("broker")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK
        packet = await reader.read(1000)
        writer.write(b"\x90\x05" + packet[2:4] + b"\x00\x01\x00")  # SUBACK
        await writer.drain()
        writer.write(b"".join(publish_frame(number) for number in range(10)))  # one write, one record
        await writer.drain()
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with session(port=port, tls=True, ca_file=authority.ca_file, intake={"commit_interval_ms": 200}) as told:
            group = await told.group(5)
            assert numbers(group) == list(range(10))
        server.close()

    asyncio.run(run())


def test_at_a_hundred_a_second_groups_are_never_single_messages_and_a_burst_is_not_held_up(broker: Broker) -> None:
    async def run() -> None:
        async with session(port=broker.port, intake={"commit_interval_ms": 500}) as told:
            steady = asyncio.create_task(asyncio.to_thread(_steadily, broker.port, 200))
            sizes = []
            while sum(sizes) < 200:
                group = await told.group()
                sizes.append(len(group))
                told.source.acknowledge(group)
            await steady
            assert len(sizes) <= 20, sizes
            started = time.monotonic()
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(3000)])
            await told.messages(3000)
            # mosquitto keeps 20 in flight: 150 windows of 500 ms each would be 75 s
            assert time.monotonic() - started < 25

    asyncio.run(run())


def _steadily(port: int, count: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="steady", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    started = time.monotonic()
    for index in range(count):
        client.publish("t/x", json.dumps({"n": index}), qos=1)
        time.sleep(max(0.0, started + (index + 1) / 100 - time.monotonic()))
    client.disconnect()
    client.loop_stop()


def test_at_its_limit_nothing_is_lost_and_nothing_comes_twice_to_a_group(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", settings="max_inflight_messages 0")

    async def run() -> None:
        limits = {"max_messages": 50, "max_group": 50}
        options = {"keep_alive_seconds": 1, "receive_maximum": 500}
        async with session(port=broker.port, intake=limits, **options) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(400)])
            held = await told.messages(50, acknowledge=False)
            await told.event("intake.full")
            told.source.acknowledge(held)  # on a connection that is gone: all of it comes again
            rest = await told.messages(400)
            assert numbers(held) == list(range(50))
            assert numbers(rest) == list(range(400))
            assert [delivery.duplicate for delivery in rest[:50]] == [True] * 50

    broker.start()
    try:
        asyncio.run(run())
    finally:
        broker.stop()


def test_a_flood_of_qos_0_is_bounded_and_what_was_dropped_is_counted(broker: Broker) -> None:
    async def run() -> None:
        async with session(port=broker.port, intake={"max_messages": 100, "max_group": 1000}) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(3000)], qos=0)
            held = list(await told.group())
            async with asyncio.timeout(10):
                while not (dropped := sum(told.source.take().values())):
                    await asyncio.sleep(0.01)
            assert len(held) <= 100
            assert dropped > 100

    asyncio.run(run())


def test_a_message_that_several_filters_match_is_delivered_once_and_at_the_highest_qos(broker: Broker) -> None:
    async def run() -> None:
        filters = [("t/+/state", 1), ("t/#", 0), ("t/a/state", 0), ("u/x", 1)]
        async with session(port=broker.port, subscriptions=filters) as told:
            for topic in ("t/a/state", "t/b/state", "t", "u/x"):
                await asyncio.to_thread(publish, broker.port, [{"n": 1}], topic=topic)
            found = await told.messages(4)
            assert [(delivery.topic, delivery.qos) for delivery in found] == [
                ("t/a/state", 1),
                ("t/b/state", 1),
                ("t", 1),
                ("u/x", 1),
            ]

    asyncio.run(run())


def test_a_kept_session_of_older_routes_brings_nothing_twice(broker: Broker) -> None:
    async def run() -> None:
        async with session(port=broker.port, subscriptions=[("t/+", 1)]):
            pass
        async with session(port=broker.port, subscriptions=[("t/+", 1), ("t/#", 1)]) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": 1}, {"n": 2}])
            assert numbers(await told.messages(2)) == [1, 2]

    asyncio.run(run())


def test_retained_messages_come_with_a_new_session_only_and_are_marked(broker: Broker) -> None:
    async def run() -> None:
        await asyncio.to_thread(publish, broker.port, [{"n": 1}], retain=True)
        async with session(port=broker.port) as told:
            (first,) = await told.messages(1)
            assert (first.retained, numbers([first])) == (True, [1])
        async with session(port=broker.port) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": 2}], retain=True)
            (second,) = await told.messages(1)
            assert (second.retained, numbers([second])) == (False, [2])

    asyncio.run(run())


def test_qos_2_publications_come_at_qos_1(broker: Broker) -> None:
    async def run() -> None:
        async with session(port=broker.port) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": 1}], qos=2)
            assert [(delivery.qos, delivery.packet_id > 0) for delivery in await told.messages(1)] == [(1, True)]

    asyncio.run(run())


def test_a_user_property_that_paho_refuses_does_not_stop_the_collection(broker: Broker) -> None:
    async def run() -> None:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("note", "\ufeffbegins with a byte order mark")
        async with session(port=broker.port) as told:
            await asyncio.to_thread(publish, broker.port, [{"n": 1}], properties=properties)
            await asyncio.to_thread(publish, broker.port, [{"n": 2}])
            assert numbers(await told.messages(2, seconds=5)) == [1, 2]

    asyncio.run(run())


def test_a_route_of_the_brokers_own_topics_neither_blocks_nor_is_taken_for_drops(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", settings="sys_interval 1")

    async def run() -> None:
        drops = BrokerDrops()
        async with session(port=broker.port, topic="$SYS/#", broker_drops=drops) as told:
            topics: set[str] = set()
            while "$SYS/broker/publish/messages/dropped" not in topics or len(topics) < 30:
                topics |= {delivery.topic for delivery in await told.messages(1)}
            assert drops.take() == {}

    broker.start()
    try:
        asyncio.run(run())
    finally:
        broker.stop()


def test_what_the_broker_dropped_while_we_were_away_is_counted_at_our_return(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", settings="sys_interval 1\nmax_queued_messages 30\nmax_inflight_messages 10")
    drops, observer = BrokerDrops(), BrokerDrops()

    async def seen(by: BrokerDrops, value: int) -> None:
        async with asyncio.timeout(10):
            while by.last is None or by.last < value:
                await asyncio.sleep(0.02)

    async def run() -> None:
        async with session(port=broker.port, broker_drops=drops):
            await seen(drops, 0)
        await asyncio.to_thread(publish, broker.port, [{"n": n} for n in range(100)])
        async with session(port=broker.port, topic="nothing", client_id="observer", broker_drops=observer):
            await seen(observer, 70)  # the broker has told it, while we were not there
        async with session(port=broker.port, broker_drops=drops):
            await seen(drops, 70)
        assert drops.take() == {("broker_dropped", "normal", "_broker"): 70}

    broker.start()
    try:
        asyncio.run(run())
    finally:
        broker.stop()


def test_password_and_client_certificate_are_used_over_tls(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path / "ca")
    client = authority.issue("actod", client=True)
    broker = Broker(
        tmp_path / "broker",
        certificate=authority.issue("broker"),
        ca_file=authority.ca_file,
        require_certificate=True,
        passwords={"robot": "correct horse"},
    )
    broker.start()
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("correct horse\n", encoding="utf-8")
    options = {
        "tls": True,
        "ca_file": authority.ca_file,
        "certificate_file": client.cert_file,
        "private_key_file": client.key_file,
        "username": "robot",
        "password_file": secret,
    }

    async def run() -> None:
        async with session(port=broker.port, **options) as told:
            assert told.source.state == "connected"

    try:
        asyncio.run(run())
        secret.chmod(0o644)
        with pytest.raises(ConfigError, match="chmod 600"):
            asyncio.run(run())
        secret.chmod(0o600)
        with pytest.raises(TimeoutError):  # another CA: the broker is never believed
            asyncio.run(_refused(broker.port, options | {"ca_file": CertificateAuthority.make(tmp_path / "other").ca_file}))
    finally:
        broker.stop()


async def _refused(port: int, options: dict[str, object]) -> None:
    async with asyncio.timeout(1.5):
        async with session(port=port, **options):
            pytest.fail("a broker of another CA was believed")
