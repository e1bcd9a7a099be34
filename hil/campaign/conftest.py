"""The robot of the environment file (`--lg-env`), and around it what is not on it: broker, witness, collector."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial

import pytest
from labgrid import Environment, Target

from hil.acceptance import Site
from hil.faults import chosen
from hil.ordeal import Ordeal
from hil.progress import Progress
from hil.target import OPTIONS, Robot
from hil.world import World

_LONGEST_SECONDS = 7200.0
_SAID = "said"  # a test's property: what its line says of it


class Lines:
    """Writes the lines of a run to what was standard output before pytest took it."""

    def __init__(self, config: pytest.Config) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._bar = self._out.isatty() and config.getoption("capture") != "no"  # what tests print would tear it
        self._began = time.monotonic()
        self._progress: Progress | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._progress = Progress([item.path.name for item in session.items], out=self._out, bar=self._bar)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        assert self._progress is not None
        self._progress.begins(_name(nodeid), at=time.monotonic() - self._began)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a call's end, or that of a setup that did not hold, for the step's."""
        if report.when != "call" and (report.when == "teardown" or report.passed):
            return
        assert self._progress is not None
        said = dict(report.user_properties).get(_SAID, "holds")
        said = "left out" if report.skipped else f"FAILED: {said}" if report.failed else said
        again = report.duration if report.when == "call" and not report.skipped else None
        self._progress.ends(_name(report.nodeid), str(said), at=time.monotonic() - self._began, again=again)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Leave out pytest's own letter for each."""
        return (report.outcome, "", report.outcome.upper()) if report.when == "call" else None

    def pytest_unconfigure(self) -> None:
        self._out.close()


def _name(nodeid: str) -> str:
    """Name a scenario as the option does, and a step by its sentence."""
    name = nodeid.rpartition("::")[2]
    return name.partition("[")[2].removesuffix("]") or name.removeprefix("test_").replace("_", " ")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse scenarios that there are not: without one a run would pass. Then say how far the run is."""
    if names := config.getoption("scenarios"):
        try:
            chosen(names)
        except ValueError as exc:
            raise pytest.UsageError(f"--scenarios: {exc}") from None
    config.pluginmanager.register(Lines(config), "lines")


@pytest.fixture
def say_of_it(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Have a test say in its line what came of it."""
    return partial(record_property, _SAID)


@pytest.fixture(scope="session")
def robot(env: Environment, target: Target) -> Iterator[Robot]:
    """Switch the robot on."""
    robot = Robot(target, {key: env.config.get_option(key) for key in OPTIONS})
    robot.power_on()
    yield robot
    robot.hang_up()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the robot's journal where a test failed."""
    report = yield
    parts = getattr(item, "funcargs", {})  # a step's, a scenario's
    machine = parts["site"].machine if "site" in parts else parts["ordeal"].world.robot if "ordeal" in parts else None
    if report.failed and call.when == "call" and machine is not None:
        with contextlib.suppress(Exception):
            said = machine.run("journalctl", "-n", "60", "--no-pager", check=False, timeout=30).stdout
            report.sections.append(("the robot's journal", said))
    return report


@pytest.fixture(scope="session")
def world(robot: Robot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start what surrounds the robot."""
    with World.around(robot, tmp_path_factory.mktemp("world")) as world:
        world.listen()
        yield world


@pytest.fixture(autouse=True)
def _sifted(world: World) -> Iterator[None]:
    """Sift what crossed the network after each test: unsifted it has the packages that were installed, too."""
    yield
    world.sift()


@pytest.fixture(scope="session")
def site(world: World) -> Site:
    """Return what the steps of acceptance work on."""
    return world.site


@pytest.fixture(scope="session")
def installed(world: World, site: Site) -> World:
    """Install actod if no test did so before, and enrol the robot. What another run left on a board is not taken."""
    if not site.pin:
        world.equip()
    world.enrol()
    return world


@pytest.fixture(scope="session")
def ordeal(installed: World, pytestconfig: pytest.Config) -> Iterator[Ordeal]:
    """Put the robot under traffic."""
    seed, rate = pytestconfig.getoption("seed"), pytestconfig.getoption("rate")
    with Ordeal.begun(installed, seed=seed, rate=rate, seconds=_LONGEST_SECONDS) as ordeal:
        yield ordeal


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say what a run may be told."""
    parser.addoption("--seed", type=int, default=1, help="draws the order of the faults, and their chances")
    parser.addoption("--rate", type=float, default=10.0, help="messages a second, on average")
    parser.addoption("--minutes", type=float, default=120.0, help="no fault begins after so many minutes of traffic")
    parser.addoption("--scenarios", default="", help="these and no others, in this order: a,b,c")
