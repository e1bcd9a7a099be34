"""`actod diag`: canaries are planted in all that a robot has, and none of them is in the bundle that support opens."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.publish import single

from actod.cli.diagnostics.bundle import Collector, lines
from actod.cli.diagnostics.collectors import Site, collectors
from actod.cli.diagnostics.fields import Each, Items, number, one_of, select
from hil.rig import ROOT, Rig, build, wait_for
from tests.e2e.test_lost_while_away import publish

CANARY = "canary"
SETTINGS = """
[seal]
max_age_seconds = 0.2

[device]
id = "canary-device"

[device.robots]
canary-serial = "canary-robot"

[masking]
rules = [{ operator = "keep", path = "/canary" }]
detectors = [{ name = "canaryword", pattern = "canary-[0-9]+" }]

[[alerts]]
name = "canary-channel"
url_file = "canary-url"
shape = "slack"
"""
ROUTES = """
[[routes]]
name = "canary-route"
topic = "canary/+/#"
robot_id = "topic:2"

[[routes]]
name = "canary-numbers"
topic = "canaries"
qos = 0
"""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Make a robot with canaries in its paths, configuration, topics, ids, content, secrets, environment and audit log."""
    with build(tmp_path_factory.mktemp("diag") / "canary-folder", settings=SETTINGS, routes=ROUTES) as rig:
        text = rig.config_file.read_text().replace("[mqtt]\n", '[mqtt]\nclient_id = "canary-client"\n')
        rig.config_file.write_text(text)
        url = rig.folder / "canary-url"
        url.write_text("https://127.0.0.1:1/canary-path\n")
        url.chmod(0o600)
        rig.actod.environment["CANARY"] = "canary-environment"
        rig.actod.start()
        wait_for(rig.witness.subscribed, what="the subscription")
        publish(rig, "canary/canary-robot/canary-topic", range(5), qos=1)
        single("canary/canary-robot/note", '{"note": "canary-payload"}', qos=1, port=rig.broker.port)
        wait_for(lambda: len(rig.envelopes()) >= 2, what="the first bundles")
        rig.tool("incident", "lock", "--reason", "canary_reason", "--config", str(rig.config_file), check=True)
        yield rig


@pytest.fixture(scope="module")
def key(rig: Rig) -> tuple[str, Path]:
    """Return the public key of whoever reads bundles, and the file of the private one."""
    file = rig.folder / "reader.key"
    return re.findall(r'"(.+)"', rig.tool("vault", "key", str(file), check=True).stdout)[0], file


def opened(rig: Rig, key: tuple[str, Path], name: str, *more: str) -> list[dict[str, Any]]:
    """Make a bundle with nothing masked of new files' modes, and open it as support does."""
    out = rig.folder / name
    command = ["diag", "--recipient", key[0], "-o", str(out), "--config", str(rig.config_file), *more]
    done = subprocess.run(
        [sys.executable, "-m", "actod", *command],
        env=rig.actod.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        umask=0,
    )
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    sealed = out.read_bytes()
    assert b'"contents"' not in sealed
    return [
        json.loads(line)
        for line in rig.tool("vault", "open", "--key", str(key[1]), str(out), check=True).stdout.splitlines()
    ]


def test_what_support_opens_tells_how_the_robot_fares_and_holds_no_canary(rig: Rig, key: tuple[str, Path]) -> None:
    log = rig.folder / "canary.log"
    planted = {"message_id": "818db80fa07a47e0b6bcb0aa2638a114", "timestamp": "2026-11-26T03:00:00.000000Z"}
    planted |= {
        "event": "canary",
        "reason": "canary",
        "state": "canary",
        "canary": "canary",
        "count": "canary",
        "level": "canary",
    }
    log.write_bytes(rig.actod.log_file.read_bytes() + json.dumps(planted).encode() + b"\n")
    manifest, *parts = opened(rig, key, "one.sealed", "--log", str(log))
    content = {part["name"]: part["content"] for part in parts}
    assert [each["name"] for each in manifest["contents"]] == list(content)
    failed = {each["name"]: each["failed"] for each in manifest["contents"] if each["failed"]}
    assert failed.keys() <= {"units"}, "a machine without systemd"
    assert (content["status"]["intake"], content["status"]["uplink"]) == ("connected", "blocked:incident")
    assert content["why"]["reason"] == "incident_locked"
    assert content["incident"]["locked"] is True
    assert content["store"]["acknowledged"] >= 5
    assert content["configuration"]["settings"]["routes"] == 2
    assert content["audit"]["whole"] is True
    assert content["audit"]["events"]["incident.locked"] == 1
    assert {"id": "audit-log", "level": "ok"} in content["checks"]
    assert "Collecting." in {line["says"] for line in content["log"]}
    dropped = {each["name"]: each["dropped"] for each in manifest["contents"]}
    assert dropped["log"] >= 5
    assert dropped["status"] >= 2

    text = json.dumps([manifest, *parts]).lower()
    for secret in (
        CANARY,
        rig.api_key,
        rig.token.pin,
        (rig.folder / "wallet").read_text(),
        str(rig.folder),
        os.uname().nodename,
        "127.0.0.1",
    ):
        assert secret.lower() not in text
    assert "canary-payload" in json.dumps(rig.envelopes())
    everywhere = [rig.config_file, log, *rig.state.glob("audit/*.jsonl"), Path(f"/proc/{rig.actod.pid()}/environ")]
    assert all(CANARY in file.read_text().lower() for file in everywhere), "planted"


def test_that_search_finds_a_canary_where_a_collector_may_say_anything(rig: Rig) -> None:
    careless = Collector(
        name="careless", about="", shape={"text": lambda _value: True}, gather=lambda: {"text": rig.config_file.read_text()}
    )
    assert CANARY.encode() in b"".join(lines([careless], made_at=""))


def test_a_bundle_is_made_without_a_daemon_and_of_a_configuration_that_is_refused_and_never_in_the_clear(rig: Rig) -> None:
    def gathered(config: Path, log: Path) -> tuple[dict[str, str], dict[str, Any]]:
        manifest, *parts = [json.loads(line) for line in lines(collectors(Site(config, log, 9)), made_at="")]
        assert CANARY not in json.dumps([manifest, *parts]).lower()
        return {each["name"]: each["failed"] for each in manifest["contents"]}, {
            each["name"]: each["content"] for each in parts
        }

    refused = rig.folder / "refused.toml"
    refused.write_text(rig.config_file.read_text().replace("[device]\n", '[device]\ncanary = "canary"\n'))
    failed, content = gathered(refused, rig.folder / "none")
    assert (failed["status"], failed["store"], failed["log"]) == ("config", "config", "FileNotFoundError")
    assert content["configuration"] == {}
    refused.write_text(rig.config_file.read_text().replace('environment = "dev"', 'environment = "canary"'))
    assert gathered(refused, rig.actod.log_file)[1]["configuration"] == {"refused_at": "environment"}

    assert rig.actod.stop() == 0
    failed, content = gathered(rig.config_file, rig.actod.log_file)
    assert failed["status"] == failed["why"] == "daemon_away"
    assert content["store"]["acknowledged"] >= 5
    assert content["incident"]["locked"] is True
    unread = rig.tool("diag", "--config", str(rig.config_file), "-o", str(rig.folder / "four.sealed"))
    assert (unread.returncode, (rig.folder / "four.sealed").exists()) == (78, False)
    assert "never written in the clear" in unread.stderr


def test_what_a_bundle_holds_is_listed_before(rig: Rig) -> None:
    listed = rig.tool("diag", "--list", "--config", str(rig.config_file), check=True).stdout
    site = Site(config_file=rig.config_file, log_file=None, most_lines=1)
    assert [line.split()[0] for line in listed.splitlines()[::2]] == [each.name for each in collectors(site)]


def test_a_collector_that_hangs_or_fails_is_named_and_the_others_are_there() -> None:
    never = threading.Event()

    def fail() -> None:
        raise OSError("canary")

    site = [
        Collector(name="hangs", about="", shape=number, gather=never.wait, limit_seconds=0.05),
        Collector(name="fails", about="", shape=number, gather=fail),
        Collector(name="works", about="", shape=number, gather=lambda: 7),
    ]
    manifest, *parts = [json.loads(line) for line in lines(site, made_at="")]
    never.set()
    assert [each["failed"] for each in manifest["contents"]] == ["no answer in time", "OSError", ""]
    assert [part["content"] for part in parts] == [None, None, 7]
    assert CANARY not in json.dumps([manifest, *parts])


def test_a_shape_keeps_what_it_names_and_counts_the_rest() -> None:
    shape = {"a": number, "b": one_of({"yes"}), "c": Items({"d": number}), "e": Each(one_of({"k"}), number)}
    value = {
        "a": "canary",
        "b": "canary",
        "c": [{"d": 1, "canary": 2}, "canary"],
        "e": {"k": 1, "canary": 2},
        "canary": {"x": [1, 2]},
    }
    assert select(value, shape) == ({"c": [{"d": 1}], "e": {"k": 1}}, 7)
    assert select(float("nan"), number) == (None, 1)
