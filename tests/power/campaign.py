"""Cuts the power at every operation of a trace, in many orders of what was not synced, and judges what is left."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.power.daemon import quiet
from tests.power.disk import Disk, State, lay_out
from tests.power.facts import Facts
from tests.power.oracle import judge
from tests.power.trace import Op

LIVES = (("0", "12", "close"), ("1", "25", "kill"), ("2", "25", "close"), ("3", "25", "kill"))
REPAIRS = tuple(
    (
        ("0", "12", "close"),
        ("1", "20", ("kill", "close")[seed // 3 % 2]),
        (str(10 + seed), "4", "close", str((1, 3, 8)[seed % 3])),
    )
    for seed in range(18)
)
WORKERS = 2
_GENESIS = 4  # operations before and after
_SPAN = 40  # operations that a worker takes at a time

Plan = Iterable[tuple[int, int]]  # (operation after which the power goes, order of what was not synced), ascending


@dataclass(frozen=True, slots=True)
class Violation:
    """What was wrong, and the cut that shows it: the same two numbers give the same state again."""

    index: int
    order: int
    wrong: str


@dataclass(slots=True)
class Result:
    """`states` were made; of those that are alike, with nothing said between them, one was opened."""

    states: int = 0
    opened: int = 0
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Result) -> None:
        self.states += other.states
        self.opened += other.opened
        self.violations += other.violations


def scratch_folder() -> Path:
    """Return a new folder in memory if the machine has such: the cut is simulated, the real disk only slows it down."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    return Path(tempfile.mkdtemp(prefix="power-", dir=memory if memory.is_dir() else None))


def every(ops: Sequence[Op], orders: int) -> list[tuple[int, int]]:
    """Plan every cut, each in `orders` orders."""
    return [(index, order) for index in range(len(ops)) for order in range(orders)]


def repair_only(ops: Sequence[Op], orders: int) -> list[tuple[int, int]]:
    """Plan every cut from the moment on at which the store's file is damaged."""
    damaged = next(index for index, op in enumerate(ops) if op.kind == "m" and b'"damage"' in op.data)
    return [pair for pair in every(ops, orders) if pair[0] >= damaged]


def sample(ops: Sequence[Op], states: int, *, seed: int = 1, orders: int = 20) -> list[tuple[int, int]]:
    """Plan so many states: genesis around the store's first name in full, as it comes but once, and some of all others."""
    plan = every(ops, orders)
    name = next((index for index, op in enumerate(ops) if op.kind == "r"), 0)
    first = [pair for pair in plan if abs(pair[0] - name) < _GENESIS]
    rest = random.Random(seed).sample(plan, len(plan))  # noqa: S311 - no secret
    return sorted(list(dict.fromkeys(first + rest))[:states])


def state_at(ops: Sequence[Op], index: int, order: int, *, start: State | None = None) -> State:
    """Make one state again."""
    disk = Disk(start)
    for op in ops[: index + 1]:
        disk.step(op)
    return disk.cut(_chance(index, order), order)


def cuts(
    ops: Sequence[Op], plan: Plan, *, start: State | None = None, facts: Facts | None = None
) -> Iterator[tuple[int, int, State, Facts]]:
    """Yield each planned state with what was known by then. `start` and `facts` are those before the trace."""
    disk, known, at = Disk(start), facts or Facts(), -1
    for index, order in plan:
        while at < index:
            at += 1
            disk.step(ops[at])
            known.step(ops[at])
        yield index, order, disk.cut(_chance(index, order), order), known


def examine(ops: Sequence[Op], plan: Plan, *, start: State | None = None, facts: Facts | None = None) -> Iterator[Result]:
    """Judge each planned state, and yield a result for each."""
    quiet()
    folder, seen = scratch_folder(), set()
    try:
        with asyncio.Runner() as runner:
            for index, order, state, known in cuts(ops, plan, start=start, facts=facts):
                key = _key(state, known)
                if key in seen:
                    yield Result(states=1)
                    continue
                seen.add(key)
                lay_out(state, folder / "disk")
                wrong = runner.run(judge(folder / "disk" / "state", known))
                shutil.rmtree(folder / "disk")
                yield Result(1, 1, [Violation(index, order, text) for text in wrong])
    finally:
        shutil.rmtree(folder)


def run(ops: Sequence[Op], plan: Sequence[tuple[int, int]]) -> Iterator[Result]:
    """Judge each planned state on both processors, and yield results as they come."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for index, order in plan:
        spans.setdefault(index // _SPAN, []).append((index, order))
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(partial(_summed, list(ops)), span) for span in spans.values()]):
            yield done.result()


def _summed(ops: Sequence[Op], plan: Plan) -> Result:
    result = Result()
    for one in examine(ops, plan):
        result.add(one)
    return result


def _chance(index: int, order: int) -> random.Random:
    return random.Random(f"{index}:{order}")  # noqa: S311 - no secret


def _key(state: State, facts: Facts) -> bytes:
    hasher = hashlib.sha256(repr(facts.said).encode())
    for path, content in sorted(state.items()):
        hasher.update(f"\n{path} {'folder' if content is None else len(content)}\n".encode())
        hasher.update(content or b"")
    return hasher.digest()
