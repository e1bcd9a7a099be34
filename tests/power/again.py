"""The power fails again, while what the first cut left is being started and worked on."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.power.campaign import Result, cuts, every, examine
from tests.power.disk import lay_out
from tests.power.trace import Op, record

_ORDERS = 6
_STEPS = "3"  # things done after the second start: the start is what matters


def second_cuts(
    ops: Sequence[Op], folder: Path, *, recorder: Path, starts: int, seed: int = 1
) -> Iterator[tuple[int, int, Result]]:
    """Yield (operation, order) of a first cut, and the result of all second cuts after it, for `starts` first cuts."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    plan = sorted((chance.randrange(len(ops)), chance.randrange(4, 100)) for _ in range(starts))
    root = folder / "again"
    for index, order, state, facts in cuts(ops, plan):
        lay_out(state, root)
        more = record(root, [("7", _STEPS, chance.choice(("close", "kill")))], recorder=recorder)
        result = Result()
        for one in examine(more, every(more, _ORDERS), start=state, facts=copy.deepcopy(facts)):
            result.add(one)
        shutil.rmtree(root)
        yield index, order, result
