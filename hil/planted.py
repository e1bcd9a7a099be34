"""Faults planted in actod itself, each of which a scenario has to catch: `python -m hil.planted`.

On one robot, one after the other: the installed program or its unit is made worse, the scenario runs, and what was made
worse is put right again. Exit code 0 only if each was caught, and the sound program comes through the same scenarios.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from labgrid import Environment

from hil.faults import SCENARIOS
from hil.ordeal import Ordeal
from hil.target import OPTIONS, Robot
from hil.world import World

_CODE = "/usr/lib/actod/lib/python3.*/site-packages/actod"
_DROP_IN = "/etc/systemd/system/actod-signer.service.d/rig.conf"
_RECOVERS_WITHIN_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class Plant:
    """Something wrong: how a shell puts it in (the file stays beside it), and which scenario must not let it pass."""

    name: str
    scenario: str
    file: str = ""
    script: str = ""  # for sed
    drop_in: str = ""


PLANTS = (
    Plant("fsync off", "power_cut", f"{_CODE}/__init__.py", r"$a import os; os.fsync = os.fdatasync = lambda _: None"),
    Plant(
        "acknowledged before the commit",
        "disk_errors",
        f"{_CODE}/pipeline.py",
        r"/await _until_possible(partial(_commit, group/i \        source.acknowledge(deliveries)",
    ),
    # Not DeviceAllow=: systemd lets a unit with encrypted credentials have the TPM, whatever that says.
    Plant("a sandbox too tight for the TPM", "signer_killed", drop_in="[Service]\nPrivateDevices=yes\n"),
    Plant(
        "a watchdog petted by a timer",
        "disk_stalls",
        f"{_CODE}/service/watchdog.py",
        r"s/late = await self._late(seconds)/late: list[str] = []/",
    ),
)


def plant(robot: Robot, what: Plant) -> None:
    """Make it worse, and start it so. SQLite's own syncs are switched off beside Python's."""
    if what.file:
        _edit(robot, what.file, what.script)
    if what.name == "fsync off":
        _edit(robot, f"{_CODE}/store/schema.py", "s/synchronous=FULL/synchronous=OFF/")
    if what.drop_in:
        robot.write(_DROP_IN, what.drop_in)
    _start(robot)


def _edit(robot: Robot, file: str, script: str) -> None:
    """Edit with sed; a script that finds nothing to change would plant nothing, and is an error."""
    edit = f"cp $f $f.sound && sed -i {shlex.quote(script)} $f && ! cmp -s $f $f.sound || exit 1"
    robot.run("sh", "-c", f"for f in {file}; do {edit}; done")


def uproot(robot: Robot) -> None:
    """Put everything right again."""
    robot.run("sh", "-c", f"for f in $(find {_CODE} -name '*.sound'); do mv $f ${{f%.sound}}; done; rm -f {_DROP_IN}")
    _start(robot)


def _start(robot: Robot) -> None:
    robot.run("sh", "-c", "py3compile -p actod /usr/lib/actod; sync; systemctl daemon-reload")
    robot.run("systemctl", "restart", "actod", "actod-signer", check=False)


def main() -> int:
    """Plant each, and print which scenario caught it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="hil/virtual.yaml")
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--scenarios", default="", help="only what these are to catch: a,b,c")
    options = parser.parse_args()
    environment = Environment(options.target)
    robot = Robot(environment.get_target("main"), {key: environment.config.get_option(key) for key in OPTIONS})
    robot.power_on()
    scenarios = {scenario.name: scenario for scenario in SCENARIOS}
    chosen = options.scenarios.split(",") if options.scenarios else [what.scenario for what in PLANTS]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="actod-planted-") as name, World.around(robot, Path(name)) as world:
        world.equip()
        with Ordeal.begun(world, seed=1, rate=options.rate, seconds=7200) as ordeal:
            for what in (one for one in PLANTS if one.scenario in chosen):
                sound = ordeal.go_through(scenarios[what.scenario])
                ordeal.recovers_within_seconds = _RECOVERS_WITHIN_SECONDS
                plant(robot, what)
                worse = ordeal.go_through(scenarios[what.scenario])
                uproot(robot)
                gone = world.tally.write_off()
                verdict = "caught" if worse.problem and not sound.problem else "NOT CAUGHT"
                missed += verdict != "caught"
                print(f"{verdict}: {what.name}, by {what.scenario}: {worse.problem} ({gone} messages gone)", flush=True)
                print(f"  the sound program: {sound.problem or 'came through'}", flush=True)
    environment.cleanup()
    return missed


if __name__ == "__main__":
    sys.exit(main())
