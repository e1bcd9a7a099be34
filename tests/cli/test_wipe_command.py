"""`actod wipe`: it refuses while a daemon runs or something waits, says last what was there, and leaves nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.publish
import pytest

from hil.rig import Rig, build, wait_for

STATE = ("--yes", "--state")


@pytest.fixture
def own_rig(tmp_path: Path) -> Iterator[Rig]:
    with build(tmp_path / "rig", settings="[seal]\nmax_age_seconds = 0.2\n") as rig:
        yield rig


def test_it_refuses_what_would_lose_something_and_then_leaves_nothing_but_its_record(own_rig: Rig, tmp_path: Path) -> None:
    own_rig.actod.start()
    wait_for(own_rig.envelopes, what="the first bundle")
    assert own_rig.tool("wipe", *STATE, str(own_rig.state)).returncode == 75
    own_rig.collector.set_faults([{"kind": "status", "status": 503, "p": 1.0, "seed": 1}])
    paho.mqtt.publish.single("robot/1/x", "{}", qos=1, hostname="127.0.0.1", port=own_rig.broker.port)
    wait_for(lambda: own_rig.collector.stats()["struck"], what="a bundle that does not leave")
    assert own_rig.actod.stop() == 0
    assert own_rig.tool("wipe", "--state", str(own_rig.state)).returncode == 2
    inside = own_rig.tool("wipe", *STATE, str(own_rig.state), "--record", str(own_rig.state / "record"))
    assert inside.returncode == 78
    refused = own_rig.tool("wipe", *STATE, str(own_rig.state))
    assert refused.returncode == 1
    assert "--with-unsent" in refused.stderr
    assert (own_rig.state / "spool.db").exists()
    digest_key = (own_rig.state / "digest.key").open("rb")  # what overwrites it is seen through what is open
    secret = digest_key.read()
    record = tmp_path / "last.json"
    done = own_rig.tool("wipe", *STATE, str(own_rig.state), "--with-unsent", "--record", str(record))
    assert (done.returncode, done.stderr) == (0, "")
    assert not own_rig.state.exists()
    said = json.loads(done.stdout)
    assert said == json.loads(record.read_text())
    assert said["waiting_bundles"] >= 1
    assert len(said["audit_head"]) == 64
    digest_key.seek(0)
    assert digest_key.read() != secret
    digest_key.close()
