"""The installed robot under traffic, through one fault after the other in the order that the seed draws."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hil.faults import SCENARIOS, Scenario, chosen
from hil.ordeal import Ordeal


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draw the order; a board leaves out what only a virtual robot can be done to."""
    if "scenario" in metafunc.fixturenames:
        names = metafunc.config.getoption("scenarios")
        scenarios = chosen(names) if names else list(SCENARIOS)
        if not names:
            random.Random(metafunc.config.getoption("seed")).shuffle(scenarios)
        metafunc.parametrize("scenario", scenarios, ids=[one.name for one in scenarios])


def test_the_robot_comes_through(
    ordeal: Ordeal, scenario: Scenario, request: pytest.FixtureRequest, say_of_it: Callable[[str], None]
) -> None:
    if scenario.virtual and ordeal.world.robot.vm is None:
        pytest.skip("a board cannot be done this to")
    if ordeal.world.tally.seconds() > 60 * request.config.getoption("minutes"):
        pytest.skip("the time that was given is over")
    result = ordeal.go_through(scenario)
    named = f", named as: {result.named}" if result.named else ""
    say_of_it(result.problem or f"recovered in {result.recovered_seconds} s{named}")
    assert not result.problem
