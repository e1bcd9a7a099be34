"""Hold two results against each other: `python -m bench.compare A.json B.json`; exits with 1 if a CPU ratio differs.

Ratios of CPU to their floor must agree within 15 %. Wall clock, bytes and counts are shown, and not judged: the disk and the
neighbours have their say in them. A CPU figure that one of them lacks is no agreement.
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


def missing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of the CPU ratios that only one of the two has."""
    return sorted(_judged(one) ^ _judged(other))


def _judged(result: dict[str, Any]) -> set[str]:
    return {name for name, figure in result["figures"].items() if figure["kind"] == "cpu" and figure["ratio"] is not None}


def _read(file: Path) -> dict[str, Any]:
    """Read a result of `python -m bench`. Raises ValueError if it is none, OSError if it cannot be read."""
    try:
        result = json.loads(file.read_text())
    except ValueError as exc:
        raise ValueError(f"{file} is no JSON: {exc}") from exc
    if not isinstance(result, dict) or not isinstance(result.get("figures"), dict):
        raise ValueError(f"{file} is no result of `python -m bench`")  # noqa: TRY004 - what is wrong is the file
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    try:
        one, other = _read(options.one), _read(options.other)
    except (OSError, ValueError) as exc:
        parser.error(str(exc))
    rows = differences(one, other)
    apart = 0
    for kind, name, left, right, percent in rows:
        judged = kind == "cpu"
        apart += judged and percent > MOST_PERCENT
        word = ("DIFFERS" if percent > MOST_PERCENT else "agrees") if judged else "not judged"
        print(f"{word:<10} {name:<76} {left:9.3f} {right:9.3f} {percent:6.1f} %")
    alone = missing(one, other)
    for name in alone:
        print(f"{'MISSING':<10} {name}: one of the two has no such figure")
    count = sum(kind == "cpu" for kind, *_ in rows)
    print(f"{count - apart} of {count} CPU ratios agree within {MOST_PERCENT:g} %")
    return int(apart > 0 or bool(alone) or not count)


if __name__ == "__main__":
    sys.exit(main())
