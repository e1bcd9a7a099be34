"""The robot of the environment file (`--lg-env`), and around it what is not on it: broker, witness, collector."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator

import pytest
from labgrid import Environment, Target

from hil.acceptance import Site
from hil.ordeal import Ordeal
from hil.target import OPTIONS, Robot
from hil.world import World

_LONGEST_SECONDS = 7200.0


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
    robot = getattr(item, "funcargs", {}).get("site")
    if report.failed and call.when == "call" and robot is not None:
        with contextlib.suppress(Exception):
            said = robot.machine.run("journalctl", "-n", "60", "--no-pager", check=False, timeout=30).stdout
            report.sections.append(("the robot's journal", said))
    return report


@pytest.fixture(scope="session")
def world(robot: Robot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start what surrounds the robot."""
    with World.around(robot, tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="session")
def site(world: World) -> Site:
    """Return what the steps of acceptance work on."""
    return world.site


@pytest.fixture(scope="session")
def installed(world: World, site: Site) -> World:
    """Install actod if no test did so before, and enrol the robot."""
    if site.machine.run("dpkg-query", "-W", "actod", check=False).returncode:
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
