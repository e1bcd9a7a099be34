"""`python -m tests.power [--orders N] [--again N]`: the whole campaign. Ends with 1 if anything was lost.

Every operation of a trace, `--orders` states each; then `--again` of these states are gone on from, and the power fails
once more at every operation of the start and the work that follow.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from tests.power import campaign
from tests.power.again import second_cuts
from tests.power.trace import build_recorder, record

_PACE_SECONDS = 10.0


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.power")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--again", type=int, default=20)
    arguments = parser.parse_args()
    folder = campaign.scratch_folder()
    try:
        return _run(folder, arguments.orders, arguments.again)
    finally:
        shutil.rmtree(folder)


def _run(folder: Path, orders: int, again: int) -> int:
    began = said = time.monotonic()
    recorder = build_recorder(folder)
    ops = record(folder / "disk", campaign.LIVES, recorder=recorder)
    total = campaign.Result()
    for result in campaign.run(ops, campaign.every(ops, orders)):
        total.add(result)
        for violation in result.violations:
            _say(f"operation {violation.index}, order {violation.order}: {violation.wrong}")
        if time.monotonic() - said > _PACE_SECONDS:
            said = time.monotonic()
            _say(f"{total.states} of {len(ops) * orders} states, {len(total.violations)} violations")
    twice = campaign.Result()
    for index, order, result in second_cuts(ops, folder, recorder=recorder, starts=again):
        twice.add(result)
        for violation in result.violations:
            _say(f"operation {index}, order {order}, then {violation.index}, {violation.order}: {violation.wrong}")
    violations = total.violations + twice.violations
    _say(
        f"power: {len(ops)} operations, {total.states} states ({total.opened} differ), {twice.states} after a second cut, "
        f"{len(violations)} violations, {time.monotonic() - began:.0f} s"
    )
    return 1 if violations else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
