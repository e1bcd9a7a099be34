"""Hold two results against each other: `python -m bench.compare A.json B.json`; exits with 1 if a CPU ratio differs.

Ratios of CPU to their floor must agree within 15 %. Wall clock, bytes and counts are shown, and not judged: the disk and the
neighbours have their say in them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

MOST_PERCENT = 15.0


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, str, float, float, float]]:
    """Return (kind, name, one, other, difference in percent of the smaller) of each figure that both have."""
    rows = []
    for name, figure in one["figures"].items():
        again = other["figures"].get(name)
        if again is None:
            continue
        key = "ratio" if figure["ratio"] is not None and again["ratio"] is not None else "value"
        left, right = float(figure[key]), float(again[key])
        smaller = min(abs(left), abs(right))
        percent = abs(left - right) / smaller * 100 if smaller else 0.0
        rows.append((figure["kind"] if key == "ratio" else "no ratio", name, left, right, percent))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    rows = differences(json.loads(options.one.read_text()), json.loads(options.other.read_text()))
    apart = 0
    for kind, name, left, right, percent in rows:
        judged = kind == "cpu"
        apart += judged and percent > MOST_PERCENT
        word = ("DIFFERS" if percent > MOST_PERCENT else "agrees") if judged else "not judged"
        print(f"{word:<10} {name:<76} {left:9.3f} {right:9.3f} {percent:6.1f} %")
    count = sum(kind == "cpu" for kind, *_ in rows)
    print(f"{count - apart} of {count} CPU ratios agree within {MOST_PERCENT:g} %")
    return int(apart > 0)


if __name__ == "__main__":
    sys.exit(main())
