"""The store's queue: what put, take and receipt cost with 1,000, 100,000 and 1,000,000 bundles in it, and how it opens."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

from bench.content import measure, opened, stuff
from bench.figure import Figure
from bench.machine import say

LENGTHS = (1_000, 100_000, 1_000_000)
FLOOR_NAME = "with 1,000"
_OPENINGS = 5


def queue(folder: Path, *, lengths: tuple[int, ...] = LENGTHS, rounds: int = 11, bundles: int = 50) -> list[Figure]:
    """Measure all lengths in turns, so that a slow minute of the machine meets each of them."""
    for length in lengths:
        say(f"queue of {length:,}: stuffing it")
        with opened(folder / f"queue-{length}") as (store, _clock):
            stuff(store, length)
    os.sync()
    opening = _opening(folder, lengths)
    costs: dict[int, list[dict[str, float]]] = {length: [] for length in lengths}
    say("queues: put, take, receipt in turns")
    with ExitStack() as stack:
        stores = {length: stack.enter_context(opened(folder / f"queue-{length}")) for length in lengths}
        for store, clock in stores.values():
            measure(store, clock, bundles // 2)
            os.sync()
        for _ in range(rounds):
            for length, (store, clock) in stores.items():
                costs[length].append(measure(store, clock, bundles))
    for length in lengths:
        shutil.rmtree(folder / f"queue-{length}")
    return [_figure(length, kind, costs, lengths[0]) for kind in ("cpu", "wall") for length in lengths] + [
        Figure(
            name=f"open a queue of {length:,}",
            unit="ms",
            values=opening[length],
            floors=() if length == lengths[0] else opening[lengths[0]],
            floor_name=FLOOR_NAME,
            kind="wall",
        )
        for length in lengths
    ]


def _opening(folder: Path, lengths: tuple[int, ...]) -> dict[int, list[float]]:
    """Open each store a few times in turns, as a daemon's start does; return ms. What is read lies in the page cache."""
    opening: dict[int, list[float]] = {length: [] for length in lengths}
    for _ in range(_OPENINGS):
        for length in lengths:
            began = time.perf_counter()
            with opened(folder / f"queue-{length}"):
                opening[length].append((time.perf_counter() - began) * 1e3)
    return opening


def _figure(length: int, kind: str, costs: dict[int, list[dict[str, float]]], shortest: int) -> Figure:
    name = f"put, take and receipt with {length:,} queued, {'CPU' if kind == 'cpu' else 'wall clock'}"
    values = [cost[kind] for cost in costs[length]]
    floors = () if length == shortest else [cost[kind] for cost in costs[shortest]]
    return Figure(name=name, unit="us", values=values, floors=floors, floor_name=FLOOR_NAME, kind=kind)
