"""`actod incident lock` as an operator has it: nothing leaves, nothing is lost, over kills and without a daemon too."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actod.submit.incident import UNLOCK, Action, note, read_incident
from hil.oracle import judge
from hil.rig import ROOT, Rig, wait_for
from hil.soak import number
from tests.config.parts import BASE, write
from tests.e2e.test_away import numbers, publish


def test_while_locked_no_byte_of_a_request_leaves_over_kill_and_restart_and_afterwards_all_is_delivered(rig: Rig) -> None:
    config = ("--config", str(rig.config_file))

    def asked(*arguments: str) -> str:
        return rig.tool(*arguments, *config, check=True).stdout

    def waiting() -> int:
        status: dict[str, Any] = json.loads(asked("status", "--json"))
        return int(status["store"]["outbox_bundles"])

    def received() -> tuple[int, int]:
        stats = rig.collector.stats()["stats"]
        return stats["application_bytes"], stats["requests"]

    rig.state.mkdir(mode=0o700)  # before the first start
    assert "The next start holds to it" in asked("incident", "unlock", "--reason", "never_begun")
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 50)
    wait_for(lambda: numbers(rig) >= set(range(50)), what="the first bundles")
    before = received()
    assert before > (0, 0)
    rig.collector.set_faults([{"kind": "delay", "seconds": 60}])
    publish(rig, 50, 100)
    wait_for(lambda: received()[1] > before[1], what="a request that gets no answer")

    assert "locked: blocked:incident" in asked("incident", "lock", "--reason", "key_lost")
    rig.collector.set_faults([])
    held = received()
    publish(rig, 100, 150)
    wait_for(lambda: waiting() >= 2, what="bundles that are sealed and wait")
    assert "blocked:incident (key_lost since " in asked("status")
    assert "bundles wait, the oldest for " in (why := asked("why"))
    assert "actod incident unlock" in why
    assert stat.S_IMODE((rig.state / "incident.json").stat().st_mode) == 0o600

    rig.actod.kill()
    assert "blocked:incident (key_lost since " in asked("why")
    rig.actod.start()
    publish(rig, 150, 200)
    wait_for(lambda: rig.witness.count_pubacks() >= 200, what="acknowledgements after the kill")
    wait_for(lambda: waiting() >= 3, what="bundles that are sealed after the kill")
    assert rig.actod.stop() == 0
    assert "The next start holds to it" in asked("incident", "unlock")
    assert "The next start holds to it" in asked("incident", "lock", "--reason", "not_over")
    rig.actod.start()
    publish(rig, 200, 210)
    wait_for(lambda: rig.witness.count_pubacks() >= 210, what="acknowledgements of a daemon that starts locked")
    assert "blocked:incident (not_over" in asked("status")
    assert received() == held

    note(rig.state, Action(UNLOCK, "beside", "2026-11-26T03:00:00.000000+00:00", os.getuid()))  # as where nobody answers
    wait_for(lambda: numbers(rig) >= set(range(210)), what="all that had queued")
    by_operator = [("lock", "key_lost"), ("unlock", "operator"), ("lock", "not_over"), ("unlock", "beside")]
    assert wait_for(lambda: told(rig, 5), what="the records of these") == [("unlock", "never_begun"), *by_operator]
    assert own_topics(rig)[0] == "actod/genesis"
    assert not (rig.state / "incident.json").exists()
    assert rig.actod.stop() == 0
    shown = [json.loads(line) for line in asked("audit", "show", "--event", "incident.", "--json").splitlines()]
    assert [line["event"].removeprefix("incident.") for line in shown] == ["unlocked", *["locked", "unlocked"] * 2]
    assert judge(rig, number=number, published=range(210)).problems() == []


def test_on_a_full_disk_a_command_says_that_nothing_has_changed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    file = write(tmp_path / "etc", {**BASE, "state_directory": str(state)})
    said = {}
    for words in (("incident", "lock"), ("maintenance", "weekly")):
        # A limit of no bytes for a file stands for the disk: both fail where the text is written.
        command = ["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$@"', "sh", sys.executable, "-B", "-m", "actod", *words]
        command += ["--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        said[words[0]] = done.stdout + done.stderr
    assert "incident_unwritten" in said["incident"]
    assert "nothing has changed" in said["incident"]
    assert not read_incident(state).locked
    assert "fail  noted: " in said["maintenance"]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Give a folder that any user reaches, as the daemon's user does its own."""
    with tempfile.TemporaryDirectory(prefix="actod-incident-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_root_locks_a_daemon_that_is_down_with_a_file_of_its_own_user(reachable: Path) -> None:
    state = reachable / "state"
    state.mkdir(mode=0o700)
    daemon = 65534 if os.getuid() == 0 else os.getuid()
    os.chown(state, daemon, -1)
    file = write(reachable / "etc", {**BASE, "state_directory": str(state)})
    for action, locked in (("lock", True), ("unlock", False)):
        command = [sys.executable, "-m", "actod", "incident", action, "--config", str(file)]
        assert subprocess.run(command, check=False, timeout=60, cwd=ROOT).returncode == 0
        assert (state / "incident.json").stat().st_uid == daemon
        incident = read_incident(state)
        assert (incident.locked, incident.untold[-1].uid) == (locked, os.getuid())


def told(rig: Rig, most: int) -> list[tuple[str, str]]:
    """Return what the device's own chain says an operator did, in its order, once there is so much."""
    events = [event["data"] for event in own_events(rig) if event["topic"] == "actod/incident"]
    return [(data["action"], data["reason"]) for data in events] if len(events) >= most else []


def own_topics(rig: Rig) -> list[str]:
    return [event["topic"] for event in own_events(rig)]


def own_events(rig: Rig) -> list[dict[str, Any]]:
    """Return the device's own records, in their order."""
    payloads = [envelope["payload"] for envelope in rig.envelopes()]
    own = [payload for payload in payloads if payload["telemetry_normalized"]["robot_id"] is None]
    return [
        event
        for payload in sorted(own, key=lambda payload: payload["meta"]["actod"]["seq"])
        for event in payload["telemetry_normalized"]["events"]
    ]
