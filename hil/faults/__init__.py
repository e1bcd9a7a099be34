"""The scenarios, one file for each thing that fails."""

from hil.faults import broker, disk, image, inside, network, power, server, service, token
from hil.faults.scenario import Scenario

__all__ = ["SCENARIOS", "Scenario"]

SCENARIOS: tuple[Scenario, ...] = (
    *power.SCENARIOS,
    *network.SCENARIOS,
    *server.SCENARIOS,
    *disk.SCENARIOS,
    *token.SCENARIOS,
    *broker.SCENARIOS,
    *service.SCENARIOS,
    *image.SCENARIOS,
    *inside.SCENARIOS,
)
