"""`python -m tests.power [--orders N] [--again N] [--repairs N]`: the whole campaign. Ends with 1 if anything was lost.

Every operation of a trace, `--orders` states each; then `--again` of these states are gone on from, and the power fails
once more at every operation of the start and the work that follow; then `--repairs` stores are damaged, and the power
fails at every operation of their repair, in a quarter of the orders.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.power import campaign
from tests.power.again import second_cuts
from tests.power.trace import Op, build_recorder, record

_PACE_SECONDS = 10.0


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.power")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--again", type=int, default=20)
    parser.add_argument("--repairs", type=int, default=len(campaign.REPAIRS))
    arguments = parser.parse_args()
    folder = campaign.scratch_folder()
    try:
        return _run(folder, arguments.orders, arguments.again, arguments.repairs)
    finally:
        shutil.rmtree(folder)


def _run(folder: Path, orders: int, again: int, repairs: int) -> int:
    began = time.monotonic()
    recorder = build_recorder(folder)
    ops = record(folder / "disk", campaign.LIVES, recorder=recorder)
    _say(f"power: {len(ops)} operations in {len(campaign.LIVES)} lives, {len(ops) * orders} states to be judged")
    once = _each_cut(ops, orders)
    mended = _repairs(folder, recorder, orders, repairs)
    twice = _second_cuts(ops, folder, recorder, again)
    violations = len(once.violations) + len(mended.violations) + len(twice.violations)
    _say(
        f"power: {len(ops)} operations, {once.states} states ({once.opened} differ), {mended.states} states in {repairs} "
        f"repairs, {twice.states} after a second cut, {violations} violations, {time.monotonic() - began:.0f} s"
    )
    return 1 if violations else 0


def _each_cut(ops: Sequence[Op], orders: int) -> campaign.Result:
    total, said = campaign.Result(), time.monotonic()
    for result in campaign.run(ops, campaign.every(ops, orders)):
        total.add(result)
        _tell("", result)
        if time.monotonic() - said > _PACE_SECONDS:
            said = time.monotonic()
            _say(f"{total.states} of {len(ops) * orders} states, {len(total.violations)} violations")
    return total


def _repairs(folder: Path, recorder: Path, orders: int, repairs: int) -> campaign.Result:
    total = campaign.Result()
    for seed, lives in enumerate(campaign.REPAIRS[:repairs]):
        ops = record(folder / f"damaged-{seed}", lives, recorder=recorder)
        for result in campaign.run(ops, campaign.repair_only(ops, max(1, orders // 4))):
            total.add(result)
            _tell(f"repair {seed}, ", result)
        _say(f"{seed + 1} of {repairs} repairs, {len(total.violations)} violations")
    return total


def _second_cuts(ops: Sequence[Op], folder: Path, recorder: Path, again: int) -> campaign.Result:
    total = campaign.Result()
    for index, order, result in second_cuts(ops, folder, recorder=recorder, starts=again):
        total.add(result)
        _tell(f"operation {index}, order {order}, then ", result)
    return total


def _tell(where: str, result: campaign.Result) -> None:
    for violation in result.violations:
        _say(f"{where}operation {violation.index}, order {violation.order}: {violation.wrong}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
