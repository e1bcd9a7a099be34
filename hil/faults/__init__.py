"""The scenarios, one file for each thing that fails."""

from hil.faults import broker, disk, image, inside, network, power, server, service, token
from hil.faults.scenario import Scenario

__all__ = ["SCENARIOS", "Scenario", "chosen"]

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


def chosen(names: str) -> list[Scenario]:
    """Return the scenarios of a list "a,b,c", in its order. Raises ValueError where one is not known."""
    known = {one.name: one for one in SCENARIOS}
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"no scenario is called {', '.join(map(repr, unknown))}; there are {', '.join(sorted(known))}")
    return [known[name] for name in wanted]
