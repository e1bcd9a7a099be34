"""deploy/mosquitto/robot.conf with a real mosquitto, bridged over TLS to a second one."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actod import configfile
from actod.collect.routes import Routes
from hil.parts.broker import Broker, free_port
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, wait_for
from tests.collect.routing import write_config
from tests.collect.session import numbers, publish, session

SOURCE = ROOT / "deploy/mosquitto/robot.conf"
ROBOT = "uagv/v2/acme/amr-07"


@dataclass
class RobotBroker:
    """The broker of the file, with the places that it leaves open filled in."""

    folder: Path
    site_port: int
    ca_file: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.port = self.port or free_port()
        text = SOURCE.read_text(encoding="utf-8")
        for old, new in (
            ("listener 1883 127.0.0.1", f"listener {self.port} 127.0.0.1"),
            ("persistence true\n", f"persistence true\npersistence_location {self.folder}/\n"),
            ("<site-broker.example:8883>", f"127.0.0.1:{self.site_port}"),
            ("</etc/mosquitto/site-ca.pem>", str(self.ca_file)),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        text = re.sub("[<>]", "", text)
        if os.geteuid() == 0:
            text += "user root\n"
        file = self.folder / "robot.conf"
        file.write_text(text, encoding="utf-8")
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert program is not None
        with (self.folder / "robot.log").open("ab") as log:
            self.process = subprocess.Popen([program, "-c", str(file)], stdout=log, stderr=log)
        wait_for(self._answers, what="the robot's broker")

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(10)

    def _answers(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[RobotBroker, Broker, Broker]]:
    """Yield the robot's broker, the site's, and the door by which tests look into the site's without TLS."""
    authority = CertificateAuthority.make(tmp_path / "ca")
    plain = free_port()
    door = f"listener {plain} 127.0.0.1\nallow_anonymous true"
    site = Broker(tmp_path / "site", certificate=authority.issue("site"), persistence=True, settings=door)
    site.start()
    robot = RobotBroker(tmp_path, site.port, authority.ca_file)
    robot.start()
    try:
        yield robot, site, Broker(tmp_path / "door", port=plain)
    finally:
        robot.stop()
        site.stop()


def arrive(port: int, topic: str, sent_to: int, sent: str, *, client_id: str) -> None:
    """Publish at one broker until it arrives at the other: a bridge says nothing when it is up."""

    async def run() -> None:
        async with session(port=port, topic=topic, client_id=client_id) as told:
            for _ in range(100):
                await asyncio.to_thread(publish, sent_to, [{"n": -1}], topic=sent)
                try:
                    await told.messages(1, seconds=0.3)
                except TimeoutError:
                    continue
                return
            pytest.fail("nothing came over the bridge")

    asyncio.run(run())


def test_what_the_robot_says_reaches_actod_and_the_site_and_catches_up_after_the_site_was_away(
    brokers: tuple[RobotBroker, Broker, Broker],
) -> None:
    robot, site, door = brokers
    arrive(door.port, f"{ROBOT}/state", robot.port, f"{ROBOT}/state", client_id="first look")
    arrive(robot.port, f"{ROBOT}/order", door.port, f"{ROBOT}/order", client_id="first order")

    async def run() -> None:
        async with session(port=door.port, topic=f"{ROBOT}/state", client_id="control"):
            pass  # the site keeps a session for who looks later
        await asyncio.to_thread(site.stop)
        async with session(port=robot.port, topic=f"{ROBOT}/+") as told:
            await asyncio.to_thread(publish, robot.port, [{"n": n} for n in range(300)], topic=f"{ROBOT}/state")
            assert numbers(await told.messages(300)) == list(range(300))  # the robot's actod does not wait for the site
        await asyncio.to_thread(site.start)
        async with session(port=door.port, topic=f"{ROBOT}/state", client_id="control") as told:
            seen: list[int] = []
            while len(set(seen)) < 300:
                seen += [number for number in numbers(await told.messages(1, seconds=40)) if number >= 0]
            assert sorted(set(seen)) == list(range(300))

    asyncio.run(run())


def test_the_queue_for_an_absent_actod_outlives_a_restart_of_the_broker_and_an_oversize_sender_is_told(
    brokers: tuple[RobotBroker, Broker, Broker],
) -> None:
    robot, _site, _door = brokers

    async def run() -> None:
        async with session(port=robot.port, topic=f"{ROBOT}/+"):
            pass
        await asyncio.to_thread(publish, robot.port, [{"n": n} for n in range(2000)], topic=f"{ROBOT}/state")
        await asyncio.to_thread(robot.stop)
        await asyncio.to_thread(robot.start)
        async with session(port=robot.port, topic=f"{ROBOT}/+") as told:
            found = await told.messages(150, acknowledge=False)
            assert len(found) >= 150  # in flight at once
            told.source.acknowledge(found)
            found += await told.messages(1999 - len(found))
            # mosquitto 2.0.11 loses the first message behind those in flight at a restart: docs/topology.md says so
            assert sorted(set(range(2000)) - set(numbers(found))) in ([], [200])

    asyncio.run(run())
    with socket.create_connection(("127.0.0.1", robot.port), timeout=10) as sender:
        sender.sendall(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x1e\x00\x00\x04big!")
        assert sender.recv(100)[:1] == b"\x20"
        try:
            sender.sendall(b"\x30\x81\x80\x80\x01" + b"\x00\x01t\x00" + bytes(1 << 20))
            assert sender.recv(100)[:1] in {b"\xe0", b""}
        except ConnectionError:
            pass


def test_the_page_shows_routes_that_actod_takes(tmp_path: Path) -> None:
    page = (ROOT / "docs/topology.md").read_text(encoding="utf-8")
    tables = [block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "state_directory" not in block]
    assert tables
    for block in tables:
        routes = Routes.compile(configfile.load(write_config(tmp_path, block)).routes)
        assert routes.subscriptions()
