"""docs/incidents.md, run as it stands: each runbook's commands, on a robot of real parts, and what they mended."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from hil.rig import ROOT, Rig, build, wait_for
from tests.e2e.test_away import numbers, publish

PAGE = (ROOT / "docs" / "incidents.md").read_text(encoding="utf-8")
SETTINGS = """requests_per_second = 1000
backoff_min_seconds = 0.05
backoff_max_seconds = 0.2

[seal]
max_age_seconds = 0.2
"""
LEAKED = "GATE-7731-XK"

# What a robot has: actod with its configuration in /etc, root's word, and a service manager.
ACTOD = """#!/bin/bash
case $1 in vault | verify) exec {python} -m actod "$@" ;; *) exec {python} -m actod "$@" --config {config} ;; esac
"""
SUDO = """#!/bin/bash
exec "$@"
"""
SYSTEMCTL = """#!/bin/bash
set -e
gone() {{ [ ! -e /proc/$1 ] || grep -q '^State:.Z' /proc/$1/status 2>/dev/null; }}
[ "$2" = actod ]
if [ $1 = stop ] || [ $1 = restart ]; then
    pid=$(cat {pid})
    kill -TERM "$pid"
    until gone "$pid"; do sleep 0.05; done
fi
if [ $1 = start ] || [ $1 = restart ]; then
    setsid {python} -m actod run --config {config} </dev/null >>{log} 2>&1 &
    echo $! >{pid}
    until [ -S {socket} ]; do sleep 0.05; done
fi
"""


class Robot:
    """The rig with a shell on it."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.folder, self.pid_file = rig, rig.folder / "desk", rig.folder / "pid"
        self.folder.mkdir(mode=0o700)
        tools = rig.folder / "bin"
        tools.mkdir()
        names = {
            "python": sys.executable,
            "config": rig.config_file,
            "pid": self.pid_file,
            "log": rig.actod.log_file,
            "socket": rig.state / "run" / "control.sock",
        }
        for name, text in (("actod", ACTOD), ("sudo", SUDO), ("systemctl", SYSTEMCTL)):
            (tools / name).write_text(text.format(**names), encoding="utf-8")
            (tools / name).chmod(0o755)
        self.environment = rig.actod.environment | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "STATE": str(rig.state),
            "CREDENTIALS": str(rig.folder),
            "CONF": str(rig.folder / "conf.d"),
            "SEALED_SECONDS": "1",
        }

    def shell(self, script: str, **variables: str) -> str:
        """Run a script as an operator does, in a folder of his own; the first failure ends it."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """Write a file that nobody else can read."""
        with os.fdopen(os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def status(self) -> dict[str, Any]:
        """Return what the daemon says."""
        facts: dict[str, Any] = json.loads(self.shell("actod status --json"))
        return facts

    def end(self) -> None:
        """End the daemon, whoever started it."""
        pid = int(self.pid_file.read_text())
        if Path(f"/proc/{pid}/cmdline").exists() and b"actod" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, 9)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    """Make one robot for the whole page: its runbooks are its bad year, in the order of the tests."""
    with build(tmp_path_factory.mktemp("bad-year") / "r", settings=SETTINGS) as rig:
        (rig.folder / "conf.d").mkdir()
        robot = Robot(rig)
        rig.actod.start()
        assert rig.actod.process is not None
        robot.pid_file.write_text(str(rig.actod.process.pid))
        wait_for(rig.witness.subscribed, what="the subscription")
        publish(rig, 0, 20)
        wait_for(lambda: numbers(rig) >= set(range(20)), what="the first bundles")
        try:
            yield robot
        finally:
            robot.end()


@pytest.fixture(scope="module")
def recipient(robot: Robot) -> str:
    """Make a key of someone who reads evidence, as the page says; return the public one."""
    (found,) = re.findall(r'"(.+)"', robot.shell("actod vault key reader.key"))
    return str(found)


def runbook(title: str) -> list[str]:
    """Return the blocks of a runbook, to the letter."""
    _, _, section = PAGE.partition(f"\n## {title}\n" if title else "\n\n")
    blocks = re.findall(r"^```sh\n(.*?)^```$", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert blocks, title
    return blocks


def new_key(robot: Robot) -> str:
    """Make a new key at the collector, and revoke the old one."""
    key = "acto_" + secrets.token_urlsafe(32)
    robot.rig.collector.take_keys(key)
    robot.write("new-key", key + "\n")
    return key


def test_every_block_of_the_page_belongs_to_a_runbook_that_a_test_runs() -> None:
    titles = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert titles == [
        "A lost API key",
        "A leaked secret",
        "A data breach",
        "Unauthorised access",
        "A stolen robot",
        "A broken audit chain",
    ]


def test_the_two_commands_that_each_of_them_begins_and_ends_with_do_so(robot: Robot) -> None:
    (both,) = runbook("")
    said = robot.shell(both).splitlines()
    assert said == ["submission is locked: blocked:incident", "submission is unlocked: ok"]


@pytest.mark.parametrize("block", [0, 1])
def test_after_a_lost_api_key_the_old_one_is_used_no_more_and_submission_goes_on(robot: Robot, block: int) -> None:
    rig, first = robot.rig, 100 * (block + 1)
    old = (rig.folder / "api-key").read_text().split()[0]
    key = new_key(robot)
    publish(rig, first, first + 10)
    robot.shell(runbook("A lost API key")[block])
    wait_for(lambda: numbers(rig) >= set(range(first, first + 10)), what="bundles under the new key")
    assert not (robot.folder / "new-key").exists()
    assert not list(rig.folder.glob("api-key.*"))
    rig.collector.take_keys(old)
    publish(rig, first + 10, first + 20)
    wait_for(lambda: robot.status()["uplink"] == "blocked:auth", what="a daemon that does not use the old key")
    rig.collector.take_keys(key)
    wait_for(lambda: numbers(rig) >= set(range(first, first + 20)), what="the rest")


def test_after_a_leaked_secret_it_is_masked_what_had_not_left_never_leaves_and_the_rest_is_named(robot: Robot) -> None:
    rig = robot.rig

    def say(*notes: str) -> None:
        before = rig.witness.count_pubacks()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="", protocol=mqtt.MQTTv5)
        client.connect("127.0.0.1", rig.broker.port)
        client.loop_start()
        for note in notes:
            client.publish("site/notes", json.dumps({"note": note}), qos=1).wait_for_publish(30)
        client.disconnect()
        client.loop_stop()
        wait_for(lambda: rig.witness.count_pubacks() >= before + len(notes), what="acknowledgements")

    def held() -> list[str]:
        return [envelope["payload"]["payload_hash"] for envelope in rig.envelopes() if LEAKED in json.dumps(envelope)]

    say(f"the gate opens with {LEAKED}")
    delivered = wait_for(held, what="a bundle with the secret at the collector")
    robot.write("leaked", LEAKED + "\n")
    lock, mask, drop = runbook("A leaked secret")
    robot.shell(lock)
    affected = [json.loads(line) for line in (robot.folder / "affected.json").read_text().splitlines()]
    assert [one["payload_hash"] for one in affected] == delivered
    assert affected[0]["receipt"].startswith("confirmed ")
    say(f"{LEAKED} again")
    robot.shell(mask)
    say(f"{LEAKED} a third time")
    assert robot.shell(drop).splitlines()[-2] == "0"
    publish(rig, 300, 310)
    wait_for(lambda: numbers(rig) >= set(range(300, 310)), what="what came afterwards")
    assert held() == delivered
    assert "a third time" in json.dumps(rig.envelopes())
    assert not (robot.folder / "leaked").exists()


def test_after_a_data_breach_the_affected_proofs_are_listed_with_their_content_for_the_recipient(
    robot: Robot, recipient: str
) -> None:
    payloads = sorted((each["payload"] for each in robot.rig.envelopes()), key=lambda payload: payload["created_at"])
    since, until = payloads[2]["created_at"], payloads[5]["created_at"]
    lock, unlock = runbook("A data breach")
    robot.shell(lock, SINCE=since, UNTIL=until, RECIPIENT=recipient)
    affected = {
        json.loads(line)["proof_id"]: json.loads(line) for line in (robot.folder / "affected.json").read_text().splitlines()
    }
    held = {one["payload_hash"] for one in affected.values() if one["place"] != "gone"}
    within = {payload["payload_hash"] for payload in payloads if since <= payload["created_at"] <= until}
    assert within <= held
    fewer = robot.shell(
        f"actod queue affected --since {since} --until {until} --believe-clock --place archive --json"
    ).splitlines()
    assert within <= {json.loads(line)["payload_hash"] for line in fewer} < {payload["payload_hash"] for payload in payloads}
    policy, other = payloads[3]["meta"]["actod"]["policy"], robot.shell("actod queue affected --policy 00000 --ids")
    assert robot.shell(f"actod queue affected --policy {policy[:8]} --robot nobody --ids") == other == ""
    confirmed = {one["payload_hash"] for one in affected.values() if one["receipt"].startswith("confirmed ")}
    assert within <= confirmed <= {payload["payload_hash"] for payload in payloads}
    opened = [json.loads(line) for line in robot.shell("actod vault open --key reader.key affected.export").splitlines()]
    assert held <= {one["payload"]["payload_hash"] for one in opened}  # and the record of the lock, if it was sealed since
    robot.shell(unlock)
    assert robot.status()["uplink"] == "ok"


def test_after_unauthorised_access_another_key_signs_another_key_submits_and_the_evidence_is_kept(
    robot: Robot, recipient: str
) -> None:
    rig, since = robot.rig, robot.rig.envelopes()[-1]["payload"]["created_at"]
    before = signer(rig)
    old = (rig.folder / "api-key").read_text()
    look, retire, go_on = runbook("Unauthorised access")
    shown = robot.shell(look, RECIPIENT=recipient)
    assert "control.asked" in shown
    robot.shell(retire, SINCE=since)
    key = new_key(robot)
    robot.shell(go_on)
    publish(rig, 400, 410)
    wait_for(lambda: numbers(rig) >= set(range(400, 410)), what="bundles after the change of keys")
    assert signer(rig) != before
    assert (rig.folder / "api-key").read_text().split()[0] == key != old.split()[0]
    trusted = json.loads((robot.folder / "robot.json").read_text())["devices"][0]["keys"]
    assert before not in {each["ed25519"] for each in trusted}
    assert robot.shell("actod vault open --key reader.key bundles.export").count("\n") > 5
    assert '"configuration"' in robot.shell("actod vault open --key reader.key diag.sealed")


def test_after_a_broken_audit_chain_evidence_is_kept_a_new_log_is_whole_and_nothing_of_the_queue_is_lost(
    robot: Robot,
) -> None:
    rig = robot.rig
    (log, *_) = sorted((rig.state / "audit").glob("audit-*.jsonl"))
    data = log.read_bytes()
    place = data.index(b"daemon.started")
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"daemon.stirred")
    keep, mend = runbook("A broken audit chain")
    assert "BROKEN" in robot.shell(keep)
    publish(rig, 500, 510)
    robot.shell(mend)
    wait_for(lambda: numbers(rig) >= set(range(500, 510)), what="what came meanwhile")
    assert "audit/audit-000000000001.jsonl" in robot.shell("tar -tf audit.tar")
    named = robot.shell("actod queue fsck || true").splitlines()
    assert len(named) == 2
    assert "heads that bundles carry are not in the log" in named[0]
    assert "audit.cut" in robot.shell("actod audit show --event audit. --last 50")
    assert robot.status()["uplink"] == "ok"


def test_after_a_theft_nothing_of_the_robot_is_taken_or_believed_and_it_is_empty(robot: Robot) -> None:
    rig = robot.rig
    device = robot.status()["store"]["device"]
    (robot.folder / "trust").mkdir()
    robot.shell('actod keys export --trust > "trust/$DEVICE.json"', DEVICE=device)
    mine = [each for each in rig.envelopes() if each["payload"]["meta"]["actod"]["key"]["ed25519"] == signer(rig)]
    (robot.folder / "delivered.jsonl").write_text("".join(json.dumps(each) + "\n" for each in mine))
    (robot.folder / "trust" / "others.json").write_text('{"actod_trust": 1, "devices": [], "operators": []}')
    rig.collector.take_keys("acto_" + secrets.token_urlsafe(32))
    publish(rig, 600, 610)
    wait_for(lambda: robot.status()["uplink"] == "blocked:auth", what="a thief who is refused")
    desk, reach = runbook("A stolen robot")
    robot.shell(desk, DEVICE=device)
    refused = rig.tool(
        "verify", "--trust", str(robot.folder / "trust" / "others.json"), str(robot.folder / "delivered.jsonl")
    )
    assert refused.returncode == 1
    assert "not enrolled" in refused.stdout
    robot.shell(reach)
    assert not rig.state.exists()
    assert json.loads((robot.folder / "last.json").read_text())["device"] == device
    assert not numbers(rig) & set(range(600, 610))


def signer(rig: Rig) -> str:
    """Return the key that signed the newest bundle."""
    newest = max(
        rig.envelopes(),
        key=lambda each: (each["payload"]["meta"]["actod"]["epoch"], each["payload"]["meta"]["actod"]["device_seq"]),
    )
    return str(newest["payload"]["meta"]["actod"]["key"]["ed25519"])
