"""What systemd hears of a real daemon: ready, what it waits for, that it lives, and that a new configuration is in force."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.publish
import pytest

from actod import configfile
from hil import soak
from hil.oracle import events, judge
from hil.parts.manager import Manager
from hil.rig import DEFAULT_ROUTES, Rig, build, wait_for, write_config

WATCHDOG_SECONDS = 0.4
# A disk that does not come back from a sync, for as long as a file is there.
SHIM = """
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int fdatasync(int fd) {
    const char *hangs = getenv("DISK_HANGS");
    while (access(hangs, F_OK) == 0) usleep(2000);
    return syscall(SYS_fdatasync, fd);
}
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with build(tmp_path / "rig", settings=soak.SETTINGS) as built:
        yield built


@pytest.fixture
def manager(tmp_path: Path, rig: Rig) -> Iterator[Manager]:
    with contextlib.closing(Manager(tmp_path, watchdog_seconds=WATCHDOG_SECONDS)) as made:
        rig.actod.environment.update(made.environment)
        yield made


def ready(said: dict[str, str]) -> bool:
    return said.get("READY") == "1"


def alive(said: dict[str, str]) -> bool:
    return said.get("WATCHDOG") == "1"


def status(word: str) -> Callable[[dict[str, str]], bool]:
    return lambda said: word in said.get("STATUS", "")


def audited(rig: Rig, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for file in sorted((rig.state / "audit").iterdir()) for line in file.read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def publish(rig: Rig, number: int, topic: str = "robot/1/joints") -> None:
    paho.mqtt.publish.single(topic, json.dumps({"n": number}), qos=1, hostname="127.0.0.1", port=rig.broker.port)


def numbers(rig: Rig) -> set[Any]:
    return {event["data"].get("n") for event, _ in events(rig.envelopes())}


def reload(rig: Rig, manager: Manager) -> None:
    """Send SIGHUP, and return when the daemon says that it is done."""
    manager.forget()
    rig.actod.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    manager.hears(lambda said: said.get("RELOADING") == "1" and int(said["MONOTONIC_USEC"]) > 0)
    manager.hears(ready)


def test_it_is_ready_without_broker_and_token_and_says_what_it_waits_for(rig: Rig, manager: Manager) -> None:
    rig.broker.stop()
    write_config(rig, settings=soak.SETTINGS, mqtt_port=rig.broker.port)
    rig.token.pin_file.write_text("0000")
    rig.actod.start()
    manager.hears(ready)
    manager.hears(status("the broker is not there (away:"))
    manager.hears(status("sealing waits for token: pin_incorrect"))
    rig.broker.start()
    said = manager.hears(status("collecting"))
    assert said["STATUS"] == "collecting; sealing waits for token: pin_incorrect"
    manager.hears(alive)
    assert rig.actod.stop() == 0
    manager.hears(lambda said: said == {"STOPPING": "1"})


def test_a_store_that_hangs_keeps_the_sign_of_life_back_and_its_return_brings_it_again(
    rig: Rig, manager: Manager, tmp_path: Path
) -> None:
    source, library, hangs = tmp_path / "shim.c", tmp_path / "shim.so", tmp_path / "hangs"
    source.write_text(SHIM, encoding="ascii")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    rig.actod.environment |= {"LD_PRELOAD": str(library), "DISK_HANGS": str(hangs)}
    rig.actod.start()
    manager.hears(alive)
    wait_for(rig.witness.subscribed, what="the subscription")
    hangs.touch()
    publish(rig, 1)
    wait_for(lambda: "A part makes no progress" in rig.actod.log_file.read_text(), what="the watchdog's complaint")
    manager.forget()
    with pytest.raises(TimeoutError):
        manager.hears(alive, seconds=3 * WATCHDOG_SECONDS)
    assert rig.actod.running()
    hangs.unlink()
    manager.hears(alive)
    wait_for(lambda: numbers(rig) >= {1}, what="the message")
    assert rig.actod.stop() == 0
    line = next(line for line in rig.actod.log_file.read_text().splitlines() if "makes no progress" in line)
    assert set(json.loads(line)["parts"]) & {"store", "audit"}


def test_fifty_reloads_under_load_lose_nothing_and_the_chain_names_each_configuration(rig: Rig, manager: Manager) -> None:
    rig.actod.start()
    manager.hears(ready)
    wait_for(rig.witness.subscribed, what="the subscription")
    publisher = soak.Publisher(port=rig.broker.port, messages=2000, per_second=400)
    publisher.start()
    for turn in range(50):
        timeout = f"request_timeout_seconds = {30 + turn}\n"
        extra = f'[[routes]]\nname = "extra"\ntopic = "extra/{turn % 3}"\n' if turn % 2 else ""
        rule = '[[masking.rules]]\noperator = "redact"\npath = "/planted"\n' if turn % 3 else ""
        write_config(rig, settings=timeout + soak.SETTINGS, routes=DEFAULT_ROUTES + extra + rule)
        reload(rig, manager)
    publisher.join(60)
    wait_for(lambda: numbers(rig) >= set(range(2000)), what="every message at the collector")
    digest = configfile.digest(configfile.load(rig.config_file))
    publish(rig, 2000)
    wait_for(lambda: 2000 in numbers(rig), what="the message behind the storm")
    assert rig.actod.stop() == 0
    verdict = judge(rig, number=soak.number, published=range(2001))
    assert verdict.problems() == []
    assert (verdict.acknowledged, verdict.sealed, verdict.repeated) == (2001, 2001, 0)
    assert len(audited(rig, "config.reloaded")) == 50
    payloads = [envelope["payload"] for envelope in rig.envelopes()]
    told = [
        event["data"]["config"]
        for payload in payloads
        for event in payload["telemetry_normalized"]["events"]
        if event["topic"] == "actod/configuration"
    ]
    assert len(set(told)) == 50
    assert told[-1] == digest
    last = next(p for p in payloads if any(e["data"].get("n") == 2000 for e in p["telemetry_normalized"]["events"]))
    assert last["meta"]["actod"]["config"] == digest


def test_a_bad_configuration_changes_nothing_and_is_audited_and_a_good_one_is_taken(rig: Rig, manager: Manager) -> None:
    rig.actod.start()
    manager.hears(ready)
    wait_for(rig.witness.subscribed, what="the subscription")
    good = rig.config_file.read_text()
    control = ("--socket", str(rig.state / "run" / "control.sock"))
    rig.config_file.write_text(good.replace('topic = "site/#"', 'topic = "site/#/x"'))
    reload(rig, manager)
    manager.hears(status(f"the new configuration is refused ({rig.config_file}: routes.topic)"))
    refused = rig.tool("reload", *control)
    assert refused.returncode == 1
    assert f"{rig.config_file}: routes.topic: expected " in refused.stderr
    rig.config_file.write_text(good.replace("[mqtt]", "[mqtt"))
    assert rig.tool("reload", *control).returncode == 1
    assert [(line["file"], line["key"]) for line in audited(rig, "config.refused")] == [
        (str(rig.config_file), "routes.topic"),
        (str(rig.config_file), "routes.topic"),
        (str(rig.config_file), "(syntax)"),
    ]
    publish(rig, 1, "site/gate")
    wait_for(lambda: 1 in numbers(rig), what="a message by the old configuration")

    write_config(rig, settings=soak.SETTINGS, routes='[[routes]]\nname = "new"\ntopic = "new/#"\n', mqtt_port=1)
    done = rig.tool("reload", *control)
    assert (done.returncode, done.stderr) == (0, "")
    assert "changed: routes\n" in done.stdout
    assert "takes a restart: mqtt.port\n" in done.stdout
    again = rig.tool("reload", *control)
    assert "changed:" not in again.stdout, "nothing changed since"
    publish(rig, 2, "new/gate")
    wait_for(lambda: 2 in numbers(rig), what="a message by the new route")
    publish(rig, 3, "site/gate")
    publish(rig, 4, "new/gate")
    wait_for(lambda: 4 in numbers(rig), what="a message behind the one that no route asks for")
    assert rig.actod.stop() == 0
    assert 3 not in numbers(rig)
    assert [seen.topic for seen in rig.witness.seen if seen.kind == "publish" and seen.topic == "site/gate"] == ["site/gate"]
    assert [(line["changed"], line["waiting"]) for line in audited(rig, "config.reloaded")] == [(1, 1), (0, 1)]
