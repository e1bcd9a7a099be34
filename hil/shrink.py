"""The smallest schedule that still fails: `python -m hil.shrink --target hil/virtual.yaml power_cut,tpm_away,...`.

Each try is a new robot, installed anew. The order is kept; what is not needed for the failure is left out (ddmin).
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest

from hil.rig import ROOT

_TESTS = ("hil/campaign/test_2_faults.py", "hil/campaign/test_3_account.py")


def smallest(schedule: Sequence[str], fails: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return a part of the schedule, in its order, that fails, and of which no piece can be left out.

    After Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input" (2002), complements only.
    """
    left, pieces = list(schedule), 2
    while len(left) > 1:
        size = -(-len(left) // pieces)
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            if rest and fails(rest):
                left, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), 2 * pieces)
    return left


def main() -> int:
    """Shrink; print each try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("schedule", help="names of scenarios: a,b,c")
    parser.add_argument("--target", default="hil/virtual.yaml")
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    schedule = options.schedule.split(",")

    def fails(schedule: Sequence[str]) -> bool:
        named = ["--seed", options.seed, "--scenarios", ",".join(schedule)]
        command = [sys.executable, "-m", "pytest", "-q", "-c", "hil/pytest.ini", "--lg-env", options.target, *named, *_TESTS]
        code = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode
        if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            raise SystemExit(f"pytest ended with {code}, which says nothing of the schedule: {shlex.join(command)}")
        print(f"{'fails' if code else 'passes'}: {','.join(schedule)}", flush=True)
        return bool(code)

    if not fails(schedule):
        raise SystemExit("the whole schedule passes: there is nothing to shrink")
    print("smallest: " + ",".join(smallest(schedule, fails)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
