"""The end of a robot's service: removed, installed again, and purged."""

from __future__ import annotations

from hil import acceptance
from hil.world import World


def test_a_removal_keeps_the_queue_and_a_purge_leaves_nothing(installed: World) -> None:
    if installed.robot.vm is not None and not installed.robot.vm.running():
        installed.robot.power_on()  # it was switched off for the search
    acceptance.remove(installed.site)
