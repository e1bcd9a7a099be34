"""One scenario on a robot under traffic: strike, have it named, end it, and wait until nothing is owed any more."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hil import report
from hil.acceptance import UNITS
from hil.faults import Scenario
from hil.result import Result
from hil.rig import wait_for
from hil.robot.publisher import RobotProcess
from hil.soak import source
from hil.verdict import Account, summary
from hil.world import World

RECOVERED_WITHIN_SECONDS = 400.0
_NAMED_WITHIN_SECONDS = 240.0
_WRITTEN_WITHIN_SECONDS = 45.0
_FRESH = 10


class Ordeal:
    """A robot under traffic, and what it went through. Use `begun`."""

    def __init__(self, world: World, traffic: RobotProcess, *, seed: int) -> None:
        self.world, self.traffic, self._seed = world, traffic, seed
        self.recovers_within_seconds = RECOVERED_WITHIN_SECONDS
        self.results: list[Result] = []
        self._machine = world.robot.describe()
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)

    @classmethod
    @contextlib.contextmanager
    def begun(cls, world: World, *, seed: int, rate: float, seconds: float) -> Iterator[Ordeal]:
        """Start the traffic, and end it. Raises RuntimeError where a result would name a source that does not run."""
        if world.installed_source() != source():
            raise RuntimeError(
                "the robot's package is of another source than this clone: build it anew, deploy/debian/build"
            )
        folder = world.folder / "traffic"
        traffic = RobotProcess(port=world.broker.port, folder=folder, seed=seed, seconds=seconds, rate=rate)
        ordeal = cls(world, traffic, seed=seed)
        traffic.start()
        world.tally.begin()
        ordeal._sampler.start()
        try:
            yield ordeal
        finally:
            ordeal.close()

    def close(self) -> None:
        """End the traffic: what was sent is still confirmed, and what is owed arrives. May be called again."""
        if self._over.is_set():
            return
        if self.traffic.running():
            self.traffic.stop(timeout=120)
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not self.world.tally.waiting(), seconds=RECOVERED_WITHIN_SECONDS, what="that nothing is owed")
        self._over.set()
        self._sampler.join(60)

    def _sample(self) -> None:
        while not self._over.wait(1.0):
            self.world.tally.sample()

    def write_report(self, folder: Path, drawn: Account) -> Path:
        """Write the page of this run."""
        robot = self.world.robot
        facts = {"seed": self._seed, "boots": [round(seconds, 1) for seconds in robot.boots], "source": source()}
        facts |= {"hung": robot.hung()} if robot.vm is not None else {}
        return report.write(
            folder,
            "hil" if robot.vm is not None else "hil-board",
            title="actod: a robot through its faults",
            machine=self._machine,
            kind=report.SIMULATED if robot.vm is not None else report.BOARD,
            samples=self.world.tally.samples,
            results=self.results,
            account=summary(drawn),
            facts=facts,
        )

    def go_through(self, scenario: Scenario) -> Result:
        """Have the robot live through one scenario; the result says what did not hold."""
        world, chance = self.world, random.Random(f"{self._seed}/{scenario.name}")
        result = Result(scenario.name, began=round(world.tally.seconds(), 1), problem="it was broken off")
        self.results.append(result)
        before = len(world.tally.acknowledged)
        try:
            since = self._robots_time()
            world.notes.clear()
            self._live_through(scenario, result, chance, since)
            result.ended = round(world.tally.seconds(), 1)
            if scenario.named and not scenario.reachable:
                result.named = self._named_afterwards(scenario, since)
            result.recovered_seconds = round(self._recovered(), 1)
            self._is_well(result, since)
            result.problem = f"it was not named: {world.notes}" if scenario.named and not result.named else ""
        except Exception as exc:  # noqa: BLE001 - whatever broke it off, the next scenario has its turn
            result.ended = result.ended or round(world.tally.seconds(), 1)
            result.problem = f"{type(exc).__name__}: {exc}"[:500]
        result.acknowledged = len(world.tally.acknowledged) - before
        result.deepest = max((one.waiting for one in world.tally.samples if one.at >= result.began), default=0)
        return result

    def _live_through(self, scenario: Scenario, result: Result, chance: random.Random, since: str) -> None:
        """Strike, have it named while it lasts, and end it: also where something broke off, or the next one has it too."""
        try:
            scenario.strike(self.world, chance)
            result.named = self._named(scenario, since) if scenario.named and scenario.reachable else ""
            self._lasts(scenario)
        except BaseException:  # a test's time that is over, too
            with contextlib.suppress(Exception):  # what broke off is told, not what could not be put right after it
                scenario.end(self.world, chance)
            raise
        scenario.end(self.world, chance)

    def _robots_time(self) -> str:
        return (
            self.world.robot.run("journalctl", "-n", "0", "--show-cursor", "--no-pager").stdout.split("cursor: ")[1].strip()
        )

    def _journal(self, since: str) -> str:
        of = [word for unit in UNITS for word in ("-u", unit)]
        command = ("journalctl", f"--after-cursor={since}", *of, "-o", "cat", "--no-pager")
        return self.world.robot.run(*command, check=False).stdout

    def _named(self, scenario: Scenario, since: str) -> str:
        """Ask until actod names the fault; return who did, `actod why` first, and the words."""
        robot = self.world.robot

        def why() -> str:
            asked = robot.run("runuser", "-u", "actod", "--", "actod", "why", check=False)
            return asked.stdout + asked.stderr

        asked = {"why": why, "status": lambda: robot.shows("actod", "StatusText"), "journal": lambda: self._journal(since)}

        def said() -> str:
            return next((f"{who}: {found}" for who, ask in asked.items() if (found := _match(scenario.named, ask()))), "")

        try:
            return str(wait_for(said, seconds=_NAMED_WITHIN_SECONDS, what="the fault's name"))
        except TimeoutError:
            self.world.note(f"why says: {why()}")
            return ""

    def _named_afterwards(self, scenario: Scenario, since: str) -> str:
        """Read what was said while nobody could ask; a journald that was held up itself needs a while to write it."""

        def said() -> str:
            return _match(scenario.named, "\n".join([*self.world.notes, self._journal(since)]))

        with contextlib.suppress(TimeoutError):
            return str(wait_for(said, seconds=_WRITTEN_WITHIN_SECONDS, what="the fault's name in the journal"))
        return ""

    def takes(self, messages: int, *, owed: int) -> None:
        """Wait until the robot has acknowledged so many more, and `owed` of them have not arrived yet."""
        tally = self.world.tally
        before = set(tally.acknowledged)

        def enough() -> bool:
            time.sleep(0.5)
            waiting = tally.waiting()
            return len(tally.acknowledged - before) >= messages and len(waiting - before) >= owed

        wait_for(enough, seconds=300, what=f"{messages} messages acknowledged, {owed} of them on the robot alone")

    def _lasts(self, scenario: Scenario) -> None:
        """Let the fault last; a broker that is away confirms no message, so the sent ones count."""
        wanted, until = len(self.traffic.sent()) + scenario.messages, time.monotonic() + scenario.seconds
        said = f"{scenario.messages} messages on their way"
        wait_for(lambda: len(self.traffic.sent()) >= wanted, seconds=300, what=said)
        time.sleep(max(0.0, until - time.monotonic()))  # how long it lasts is the experiment

    def _recovered(self) -> float:
        """Wait until what was acknowledged has arrived, and some of what is published now as well; return the seconds."""
        began = time.monotonic()
        before = self.traffic.published()
        owed = self.world.tally.waiting()

        def nothing_owed() -> bool:
            time.sleep(0.5)
            waiting = self.world.tally.waiting()
            fresh = self.world.tally.arrived & (self.traffic.published() - before)
            return not owed & waiting and len(fresh) >= _FRESH

        wait_for(nothing_owed, seconds=self.recovers_within_seconds, what="that nothing is owed any more")
        return time.monotonic() - began

    def _is_well(self, result: Result, since: str) -> None:
        """Both units are active, and the kernel had to kill nobody for its memory: a unit that began anew counts from 0."""
        robot = self.world.robot
        killed = [line for line in self._journal(since).splitlines() if "oom-kill" in line]
        assert not killed, killed
        for unit in UNITS:
            wait_for(lambda unit=unit: robot.shows(unit, "ActiveState") == "active", seconds=60, what=f"{unit} active")
            group = f"/sys/fs/cgroup{robot.shows(unit, 'ControlGroup')}"
            events = robot.run("cat", f"{group}/memory.events").stdout
            assert "oom_kill 0" in events, events
        peak = robot.run("cat", f"/sys/fs/cgroup{robot.shows('actod', 'ControlGroup')}/memory.current").stdout
        result.memory_mib = round(int(peak) / 2**20, 1)


def _match(pattern: str, text: str) -> str:
    """Return the words around the first match, "" if there is none."""
    found = re.search(rf"[^;\n]*(?:{pattern})[^;\n]*", text)
    return found[0].strip()[:240] if found else ""
