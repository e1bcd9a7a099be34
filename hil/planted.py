"""Faults planted in actod itself, each of which a scenario has to catch: `python -m hil.planted`.

On one robot, one after the other: the sound program goes through the scenario; the installed program or its unit is made
worse, and goes through it again; what was made worse is put right, and what can still arrive arrives. The results file
keeps the newest result of each. Exit code 0 only if each was caught, and the sound program came through each time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from labgrid import Environment

from hil.faults import SCENARIOS
from hil.ordeal import RECOVERED_WITHIN_SECONDS, Ordeal
from hil.plants import PLANTS, Plant
from hil.rig import ROOT, wait_for
from hil.soak import source
from hil.target import Robot, environment_file, robot_of
from hil.world import CODE, World

_DROP_IN = "/etc/systemd/system/actod-signer.service.d/rig.conf"
_RESULTS = ROOT / "hil" / "results" / "planted.json"
_RATE = 4.0
_LONGEST_SECONDS = 7200.0
_WAITED_SECONDS = 90.0  # for what the worse program owes: the sound one has it there in a fifth of this
_LATE_SECONDS = 45.0  # and then, once it is put right, for what was only late
_TAKES_ROOT = 60  # messages that the worse program has acknowledged before the scenario begins
_AT_STAKE = 20  # of them, messages that only the robot has: a bundle that has just left would leave nothing to lose


def plant(robot: Robot, what: Plant) -> None:
    """Make it worse, and start it so."""
    for file, script in what.edits:
        _edit(robot, f"{CODE}/{file}", script)
    if what.drop_in:
        robot.write(_DROP_IN, what.drop_in)
    _start(robot)


def _edit(robot: Robot, file: str, script: str) -> None:
    """Edit with sed; a script that finds nothing to change would plant nothing, and is an error."""
    edit = f"cp $f $f.sound && sed -i {shlex.quote(script)} $f && ! cmp -s $f $f.sound || exit 1"
    robot.run("sh", "-c", f"for f in {file}; do {edit}; done")


def uproot(robot: Robot) -> None:
    """Put everything right again. A new time of change: a file as long and as old as the worse one has its bytecode."""
    back = "mv $f ${f%.sound}; touch ${f%.sound}"
    robot.run("sh", "-c", f"for f in $(find {CODE} -name '*.sound'); do {back}; done; rm -f {_DROP_IN}")
    _start(robot)


def _start(robot: Robot) -> None:
    robot.run("sh", "-c", "py3compile -p actod /usr/lib/actod; sync; systemctl daemon-reload")
    robot.run("systemctl", "restart", "actod", "actod-signer", check=False)


def tried(ordeal: Ordeal, what: Plant) -> dict[str, Any]:
    """Have the sound program and the worse one live through the scenario; return what became of both."""
    world, robot = ordeal.world, ordeal.world.robot
    scenario = next(one for one in SCENARIOS if one.name == what.scenario)
    ordeal.recovers_within_seconds = RECOVERED_WITHIN_SECONDS
    sound = ordeal.go_through(scenario)
    plant(robot, what)
    ordeal.takes(_TAKES_ROOT, owed=_AT_STAKE)
    ordeal.recovers_within_seconds = _WAITED_SECONDS
    worse = ordeal.go_through(scenario)
    status = robot.shows("actod", "StatusText")
    uproot(robot)
    owed = world.tally.waiting()
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not world.tally.waiting() & owed, seconds=_LATE_SECONDS, what="what was only late")
    gone = len(world.tally.write_off(owed))
    return {
        "plant": what.name,
        "scenario": what.scenario,
        "caught": what.caught(worse.problem, gone=gone) and not sound.problem,
        "problem": worse.problem,
        "status": status,
        "messages_gone": gone,
        "sound": sound.problem or f"came through, recovered in {sound.recovered_seconds} s",
    }


def keep(results: Path, line: dict[str, Any]) -> None:
    """Put a plant's newest result in the place of the one before."""
    kept = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
    lines = {one["plant"]: one for one in [*kept, line]}
    results.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([lines[what.name] for what in PLANTS if what.name in lines], indent=1, ensure_ascii=False)
    results.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    """Plant each, and print which scenario caught it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=environment_file, default="hil/virtual.yaml")
    parser.add_argument("--rate", type=float, default=_RATE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenarios", default="", help="only what these are to catch: a,b,c")
    parser.add_argument("--results", type=Path, default=_RESULTS)
    options = parser.parse_args()
    catching = [what.scenario for what in PLANTS]
    chosen = options.scenarios.split(",") if options.scenarios else catching
    if unknown := set(chosen) - set(catching):
        parser.error(f"--scenarios: {', '.join(sorted(unknown))} is to catch nothing; there are {', '.join(catching)}")
    environment = Environment(options.target)
    robot = robot_of(environment)
    if robot.vm is None:
        robot.power_on()  # a virtual one is switched on as the one that was kept
    missed = 0
    with tempfile.TemporaryDirectory(prefix="actod-planted-") as name, World.around(robot, Path(name)) as world:
        world.equip()
        about = {"source": source(), "machine": robot.describe(), "simulated": robot.vm is not None}
        about |= {"seed": options.seed, "rate": options.rate}
        with Ordeal.begun(world, seed=options.seed, rate=options.rate, seconds=_LONGEST_SECONDS) as ordeal:
            for what in (one for one in PLANTS if one.scenario in chosen):
                line = tried(ordeal, what) | about
                keep(options.results, line)
                missed += not line["caught"]
                print(f"{'caught' if line['caught'] else 'NOT CAUGHT'}: {what.name}, by {what.scenario}", flush=True)
                print(f"  it said: {line['problem'] or 'nothing'}; {line['messages_gone']} messages gone")
                print(f"  the sound program: {line['sound']}", flush=True)
    environment.cleanup()
    return missed


if __name__ == "__main__":
    sys.exit(main())
