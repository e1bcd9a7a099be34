"""All figures in one run: `python -m bench [part ...] [--out FOLDER]`, or `make bench`; about a quarter of an hour.

Prints a table and the budgets, and writes JSON and pictures to bench/out. `--reference` also writes what
docs/performance.md is held to: the committed result, the pictures and the page's tables.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import page, pictures
from bench.backlog import backlog
from bench.budgets import ELSEWHERE, judged, unmeasured
from bench.durable import durable
from bench.figure import Figure
from bench.hold import hold
from bench.line import line
from bench.machine import named, say
from bench.mask import masking
from bench.queue import queue
from bench.resident import resident
from bench.signing import signing
from bench.units import units
from hil.rig import ROOT

OUT = ROOT / "bench" / "out"
Part = Callable[[Path, dict[str, Any]], list[Figure]]


def _hold(folder: Path, series: dict[str, Any]) -> list[Figure]:
    figures, series["hold"] = hold(folder)
    return figures


PARTS: dict[str, tuple[Part, int]] = {  # with the seconds that each may take on two cores
    "line": (lambda folder, _series: line(folder), 240),
    "hold": (_hold, 150),
    "mask": (lambda _folder, _series: masking(), 20),
    "journal": (lambda folder, _series: durable(folder), 75),
    "signing": (lambda folder, _series: signing(folder), 30),
    "queue": (lambda folder, _series: queue(folder), 120),
    "resident": (lambda folder, _series: resident(folder), 180),
    "units": (lambda folder, _series: units(folder), 110),
    "drain": (lambda folder, _series: backlog(folder), 90),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--reference", action="store_true", help="write what docs/performance.md is held to")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.parts and options.reference:
        parser.error("--reference is for a run of all parts: the page shows each of them")
    result = run(options.parts or list(PARTS))
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    for each in (file, options.out / "latest.json"):
        each.write_text(json.dumps(result, indent=1) + "\n")
    pictures.draw(result, options.out)
    print(f"\n{len(result['figures'])} figures in {result['seconds']:.0f} s: {file}")
    if options.reference:
        page.adopt(result)


def run(parts: list[str]) -> dict[str, Any]:
    """Measure, print, and return all that was found."""
    began, figures, series, seconds = time.monotonic(), [], {}, {}
    folder = Path(tempfile.mkdtemp(prefix="actod-bench-", dir=_cache()))
    machine = named(folder)
    print(*(f"{name:<10} {value}" for name, value in machine.items()), sep="\n", flush=True)
    try:
        for name in parts:
            measure, share = PARTS[name]
            started = time.monotonic()
            (folder / name).mkdir()
            say(f"-- {name}, about {share} s")
            for figure in measure(folder / name, series):
                print(figure.line(), flush=True)
                figures.append(figure)
            seconds[name] = round(time.monotonic() - started, 1)
            shutil.rmtree(folder / name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = {figure.name: figure.as_json() for figure in figures}
    budgets = judged(found)
    print("\nBudgets")
    for each in budgets:
        print(f"{each['verdict']:<22} {each['what']}: {each['text']}")
    for what in unmeasured(budgets):
        print(f"{'not measured here':<22} {what}")
    for what, limit, where in ELSEWHERE:
        print(f"{'see elsewhere':<22} {what}: {limit}, shown by {where}", flush=True)
    return {
        "machine": machine,
        "taken": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": time.monotonic() - began,
        "parts": seconds,
        "figures": found,
        "budgets": budgets,
        "series": series,
    }


def _cache() -> Path:
    """Return where stores lie while they are measured: on the disk of the tree, not in a memory file system."""
    cache = ROOT / "bench" / ".cache"
    cache.mkdir(exist_ok=True)
    return cache


if __name__ == "__main__":
    main()
