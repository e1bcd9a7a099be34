"""No unmasked payload, PIN or API key anywhere that actod writes, also after SIGKILL and hostile input."""

from __future__ import annotations

import json
from pathlib import Path

from hil.oracle import events
from hil.parts.scan import plant, proves, scan
from hil.rig import Rig, wait_for
from hil.robot.publisher import RobotProcess, number_of
from tests.e2e.test_hostile_messages import publish


def test_no_canary_stands_in_state_logs_temporary_files_or_what_reached_the_collector(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    robot = RobotProcess(port=rig.broker.port, folder=rig.folder / "robot", seed=7, seconds=4)
    robot.start()
    wait_for(lambda: rig.witness.count_pubacks() >= 60, what="some acknowledgements")
    rig.actod.kill()
    rig.actod.start()
    wait_for(lambda: not robot.running(), what="the robot's end")
    canaries = robot.canaries()
    # What is refused must not show its content either, in no log and no exception.
    refused = [f'{{"email": "{canary}", "v": NaN}}'.encode() for canary in canaries[:5]]
    broken = [f'{{"note": "{canary}", '.encode() for canary in canaries[5:10]]
    topics_of_people = [json.dumps({"n": 1}).encode()]
    publish(rig, [*refused, *broken, *topics_of_people])
    published = robot.published()

    def arrived() -> bool:
        return published <= {number_of(event["topic"], event["data"]) for event, _ in events(rig.envelopes())}

    wait_for(arrived, seconds=60, what="every message at the collector")
    assert rig.actod.stop() == 0

    places = [rig.state, rig.folder / "tmp", rig.folder / "actod.log", rig.collector.received_file]
    control = plant(rig.folder / "tmp")
    hits = scan(places, [*canaries, rig.api_key, rig.token.pin, control])
    assert proves(hits, control)
    assert [(hit.file.name, hit.inside, hit.form, hit.canary[:6]) for hit in hits if hit.canary != control] == []


def test_files_are_ours_alone_from_the_first_byte(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, [b'{"n": 1}'])
    wait_for(lambda: rig.witness.count_pubacks() >= 1, what="the acknowledgement")
    modes = {path.relative_to(rig.state): path.stat().st_mode & 0o777 for path in [rig.state, *rig.state.rglob("*")]}
    open_ones = {str(path): oct(mode) for path, mode in modes.items() if mode & 0o077}
    assert open_ones in ({}, {"run/control.sock": "0o660"})  # in a folder of 0700, and each caller's user is checked
    environment = Path(f"/proc/{rig.actod.pid()}/environ").read_bytes()
    arguments = Path(f"/proc/{rig.actod.pid()}/cmdline").read_bytes()
    for secret in (rig.api_key, rig.token.pin):
        assert secret.encode() not in environment + arguments
    assert rig.actod.stop() == 0
