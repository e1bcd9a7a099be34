"""Power cuts at random moments under traffic: `python -m hil.powercuts --cuts 100`, resumed from a results file.

Between two cuts the robot collects for a random while; one cut in five comes while it still boots. After each batch
everything that is owed has to arrive, and every bundle has to verify; what did not hold ends the run, and its bundles
are kept in hil/out. Where the chip has locked itself and come back, it is forgiven its count of failures after each
batch from then on, as hours without a cut would do: else few further cuts would find it at work. A batch of another
source does not count, nor does one that a person has set aside, with the reason in its line. Exit code 0 only if
nothing was lost and no start needed a person.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from labgrid import Environment

from hil import acceptance, account, chip
from hil.cutresults import conclude
from hil.ordeal import Ordeal
from hil.rig import ROOT, wait_for
from hil.soak import source
from hil.target import environment_file, robot_of
from hil.world import World

_RESULTS = ROOT / "hil" / "results" / "power-cuts.jsonl"
_BATCH = 20  # cuts between two accounts
_RATE = 4.0
_LONGEST_SECONDS = 4 * 3600.0
_WHILE_BOOTING = 0.2
_COLLECTS_SECONDS = (1.0, 12.0)
_BOOTS_SECONDS = (0.0, 22.0)  # after its kernel began to read the disk
_COMES_BACK_WITHIN_SECONDS = 400.0
_OWED_WITHIN_SECONDS = 1200.0  # a chip that has locked itself is waited for


class Cuts:
    """A robot whose power is cut again and again."""

    def __init__(self, world: World, ordeal: Ordeal, *, seed: int) -> None:
        self._world, self._ordeal, self._chance, self._seed = world, ordeal, random.Random(seed), seed
        self._source, self._machine, self._lockouts = source(), world.robot.describe(), 0

    def batch(self, cuts: int) -> dict[str, Any]:
        """Cut so often, let everything arrive, and return the batch's account: also of a robot that does not come back."""
        world = self._world
        before, hung, began = len(world.tally.acknowledged), world.robot.hung(), time.monotonic()
        collecting: list[float] = []
        moments: Counter[str] = Counter()
        problems: list[str] = []
        for _ in range(cuts):
            moments[self._cut()] += 1
            try:
                collecting.append(round(self._comes_back(), 1))
            except TimeoutError as exc:
                problems.append(f"a start needed a person: {exc}")
                break
        try:
            found = self._accounted(problems)
        except Exception as exc:  # noqa: BLE001 - a robot that does not answer has to stand in the results file
            problems.append(f"no account could be drawn up: {type(exc).__name__}: {exc}"[:500])
            found = {"lost": len(world.tally.waiting()), "tpm_failures_at_end": 0, "tpm_lockouts": 0}
        return {
            "source": self._source,
            "machine": self._machine,
            "simulated": world.robot.vm is not None,
            "seed": self._seed,
            "cuts": moments.total(),
            "moments": dict(moments),
            "acknowledged": len(world.tally.acknowledged) - before,
            "collecting_seconds": collecting,
            **found,
            "emulation_hung": world.robot.hung() - hung,
            "seconds": round(time.monotonic() - began),
            "problems": problems,
        }

    def _accounted(self, problems: list[str]) -> dict[str, Any]:
        """Let everything arrive, and draw up the account; what does not hold is added to `problems`."""
        world = self._world
        world.robot.wait_up()
        failures = chip.failures(world.robot) if world.site.token != acceptance.SOFTHSM else 0
        world.tally.refresh()
        acknowledged = set(world.tally.acknowledged)  # the traffic goes on: what comes now is the next batch's
        try:
            wait_for(lambda: not acknowledged & self._owed(), seconds=_OWED_WITHIN_SECONDS, what="that nothing is owed")
        except TimeoutError as exc:
            problems.append(str(exc))
        drawn = account.draw_up(world, twice_published=self._ordeal.traffic.repeated(), acknowledged=acknowledged)
        drawn.control_found = True  # the scan belongs to the shorter campaign
        problems += drawn.problems()
        return {
            "lost": len(drawn.lost),
            "repeated": drawn.repeated,
            "bundles": drawn.bundles,
            "tpm_failures_at_end": failures,
            "tpm_lockouts": self._new_lockouts(),
        }

    def _cut(self) -> str:
        robot = self._world.robot
        if self._chance.random() < _WHILE_BOOTING:
            robot.power_off()
            robot.switch_on()
            time.sleep(self._chance.uniform(*_BOOTS_SECONDS))  # the moment of the cut is the experiment
            moment = "boot"
        else:
            time.sleep(self._chance.uniform(*_COLLECTS_SECONDS))  # likewise
            moment = "traffic"
        robot.power_off()
        return moment

    def _comes_back(self) -> float:
        """Give the power back; return the seconds until the robot acknowledges messages again, on a new connection."""
        witness = self._world.witness
        before, known = witness.connections, len(witness.seen)

        def collects() -> bool:
            return any(one.kind == "puback" and one.connection > before for one in witness.seen[known:])

        began = self._world.robot.switch_on()
        wait_for(collects, seconds=_COMES_BACK_WITHIN_SECONDS, what="that it collects")
        return time.monotonic() - began

    def _owed(self) -> set[str]:
        time.sleep(1)
        return self._world.tally.waiting()

    def _new_lockouts(self) -> int:
        """Return how often the journal names a chip that had locked itself, since the batch before."""
        said = self._world.robot.run("journalctl", "--no-pager", "-o", "cat", "-g", "lockout mode", check=False).stdout
        before, self._lockouts = self._lockouts, len(said.splitlines())
        return max(0, self._lockouts - before)


def main() -> int:
    """Run the campaign, and print and draw the account of everything in the results file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=environment_file, default="hil/virtual.yaml")
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    if options.cuts < 1:
        parser.error("--cuts: 1 or more")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    (ROOT / "hil" / "out").mkdir(exist_ok=True)
    environment = Environment(options.target)
    robot = robot_of(environment)
    robot.power_on()
    with tempfile.TemporaryDirectory(prefix="actod-cuts-") as name, World.around(robot, Path(name)) as world:
        world.equip()
        with Ordeal.begun(world, seed=seed, rate=_RATE, seconds=_LONGEST_SECONDS) as ordeal:
            cutting, locked_once = Cuts(world, ordeal, seed=seed), False
            for done in range(0, options.cuts, _BATCH):
                line = cutting.batch(min(_BATCH, options.cuts - done))
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                said = f"{done + line['cuts']} of {options.cuts} cuts, {line['lost']} lost, {line['seconds']} s"
                print(f"  {said}", flush=True)
                if line["problems"]:
                    print(f"  what it went by lies in {_kept(world)}", flush=True)
                    break
                locked_once |= line["tpm_lockouts"] > 0
                if locked_once:
                    chip.unlock(robot)
    environment.cleanup()
    return conclude(options.results)


def _kept(world: World) -> Path:
    """Keep the bundles, and what was said of them, where a person finds them."""
    folder = Path(tempfile.mkdtemp(prefix="power-cuts-", dir=ROOT / "hil" / "out"))
    for file in (world.site.collector.folder / "record.jsonl", *world.folder.glob("verified-*.json")):
        shutil.copy(file, folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
