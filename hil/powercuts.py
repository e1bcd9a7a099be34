"""Power cuts at random moments under traffic: `python -m hil.powercuts --cuts 100`, resumed from a results file.

Between two cuts the robot collects for a random while; one cut in five comes while it still boots. After each batch
everything that is owed has to arrive, and every bundle has to verify; what did not hold ends the run, and its bundles
are kept in hil/out. A batch of another source does not count, nor does one that a person has set aside, with the reason
in its line. Exit code 0 only if nothing was lost and no start needed a person.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from labgrid import Environment

from hil import acceptance, account, chip
from hil.bound import upper
from hil.charts import spread
from hil.ordeal import Ordeal
from hil.rig import ROOT, wait_for
from hil.soak import source
from hil.target import OPTIONS, Robot
from hil.world import World

_RESULTS = ROOT / "hil" / "results" / "power-cuts.jsonl"
_BATCH = 20  # cuts between two accounts
_RATE = 4.0
_LONGEST_SECONDS = 4 * 3600.0
_WHILE_BOOTING = 0.2
_COLLECTS_SECONDS = (1.0, 12.0)
_BOOTS_SECONDS = (3.0, 25.0)
_COMES_BACK_WITHIN_SECONDS = 400.0
_OWED_WITHIN_SECONDS = 1200.0  # a chip that has locked itself is waited for


class Cuts:
    """A robot whose power is cut again and again."""

    def __init__(self, world: World, ordeal: Ordeal, *, seed: int) -> None:
        self._world, self._ordeal, self._chance, self._seed = world, ordeal, random.Random(seed), seed

    def batch(self, cuts: int) -> dict[str, Any]:
        """Cut so often, let everything arrive, and return the batch's account."""
        world = self._world
        before, began = len(world.tally.acknowledged), time.monotonic()
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
        return {
            "source": source(),
            "machine": world.robot.describe(),
            "simulated": world.robot.vm is not None,
            "seed": self._seed,
            "cuts": len(collecting),
            "moments": dict(moments),
            "acknowledged": len(world.tally.acknowledged) - before,
            "lost": len(drawn.lost),
            "repeated": drawn.repeated,
            "bundles": drawn.bundles,
            "collecting_seconds": collecting,
            "tpm_failures_at_end": failures,
            "tpm_lockouts": self._lockouts(),
            "seconds": round(time.monotonic() - began),
            "problems": problems + drawn.problems(),
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
        """Give the power back; return the seconds until the robot acknowledges messages again."""
        world, began = self._world, time.monotonic()
        before = world.witness.pubacks
        world.robot.switch_on()
        wait_for(lambda: world.witness.pubacks > before, seconds=_COMES_BACK_WITHIN_SECONDS, what="that it collects")
        return time.monotonic() - began

    def _owed(self) -> set[str]:
        time.sleep(1)
        return self._world.tally.waiting()

    def _lockouts(self) -> int:
        """Return how often the journal names a chip that had locked itself."""
        said = self._world.robot.run("journalctl", "--no-pager", "-o", "cat", "-g", "lockout mode", check=False).stdout
        return len(said.splitlines())


def told(lines: list[dict[str, Any]]) -> list[str]:
    """Return the account of all batches in words: the bound that the count supports, and how long it took to come back."""
    cuts, lost = sum(line["cuts"] for line in lines), sum(bool(line["lost"]) for line in lines)
    messages, gone = sum(line["acknowledged"] for line in lines), sum(line["lost"] for line in lines)
    seconds = [one for line in lines for one in line["collecting_seconds"]]
    persons = sum("person" in problem for line in lines for problem in line["problems"])
    most = max((line["tpm_failures_at_end"] for line in lines), default=0)
    locked = sum(line["tpm_lockouts"] for line in lines)
    kind = "simulated, not a board" if any(line["simulated"] for line in lines) else "boards"
    return [
        f"{cuts} power cuts ({kind}), {messages} acknowledged messages, {gone} lost, {persons} starts that needed a person",
        f"with 95 % confidence a cut loses something in fewer than {100 * upper(lost, cuts):.2f} % of cuts",
        f"collecting again after {statistics.median(seconds):.1f} s (median), {max(seconds):.1f} s (worst)"
        if seconds
        else "no cut yet",
        f"the TPM had counted up to {most} unclean stops; {locked} lines of the journal name a lockout",
    ]


def main() -> int:
    """Run the campaign, and print and draw the account of everything in the results file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="hil/virtual.yaml")
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--results", type=Path, default=_RESULTS)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    (ROOT / "hil" / "out").mkdir(exist_ok=True)
    environment = Environment(options.target)
    target = environment.get_target("main")
    robot = Robot(target, {key: environment.config.get_option(key) for key in OPTIONS})
    robot.power_on()
    with tempfile.TemporaryDirectory(prefix="actod-cuts-") as name, World.around(robot, Path(name)) as world:
        world.equip()
        with Ordeal.begun(world, seed=seed, rate=_RATE, seconds=_LONGEST_SECONDS) as ordeal:
            cutting = Cuts(world, ordeal, seed=seed)
            for done in range(0, options.cuts, _BATCH):
                line = cutting.batch(min(_BATCH, options.cuts - done))
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                said = f"{done + line['cuts']} of {options.cuts} cuts, {line['lost']} lost, {line['seconds']} s"
                print(f"  {said}", flush=True)
                if line["problems"]:
                    print(f"  what it went by lies in {_kept(world)}", flush=True)
                    break
    environment.cleanup()
    return conclude(options.results)


def _kept(world: World) -> Path:
    """Keep the bundles, and what was said of them, where a person finds them."""
    folder = Path(tempfile.mkdtemp(prefix="power-cuts-", dir=ROOT / "hil" / "out"))
    for file in (world.site.collector.folder / "record.jsonl", *world.folder.glob("verified-*.json")):
        shutil.copy(file, folder)
    return folder


def conclude(results: Path) -> int:
    """Print and draw what the results file holds of this source."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    of_this = [line for line in lines if line["source"] == source()]
    if len(lines) > len(of_this):
        print(f"power cuts: {len(lines) - len(of_this)} batches of another source do not count")
    for line in of_this:
        if why := line.get("set_aside"):
            print(f"power cuts: {line['cuts']} cuts do not count: {why}")
    mine = [line for line in of_this if not line.get("set_aside")]
    for sentence in told(mine):
        print(f"power cuts: {sentence}")
    seconds = [one for line in mine for one in line["collecting_seconds"]]
    results.with_suffix(".svg").write_text(spread("seconds from power to the first acknowledged message", seconds))
    problems = [problem for line in mine for problem in line["problems"]]
    for problem in problems:
        print(f"FAIL {problem}")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
