"""actod with its CPU time booked to stages: `python -m bench.stages FILE run --config ...`, for measuring alone.

Each callback of the loop is booked to the task or the connection that it belongs to, and each call on the store's thread to
what it does; masking is taken out of collecting. Books are written to FILE at each SIGUSR2 and at the end. The two clock
readings around each callback cost a few per cent: shares are taken from here, never totals.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from actod.cli.main import main
from actod.mask.engine import PolicyMasker
from actod.store.storefile import StoreFile

STAGES = ("collect", "mask", "journal", "seal", "sign", "submit", "upkeep", "loop")
_OF_THE_STORE = {"commit": "journal", "next_bundle": "seal", "put": "seal", "take": "submit", "receipt": "submit"}
_OF_TASKS = {"collect": "collect", "mqtt": "collect", "mqtt keep-alive": "collect", "seal": "seal", "submit": "submit"}

spent: Counter[str] = Counter()  # ns by stage, of both threads


def book() -> None:
    """Wrap what runs work on the loop, in the masker and on the store's thread."""
    run, mask, store = asyncio.Handle._run, PolicyMasker.mask, StoreFile.run  # noqa: SLF001 - nothing else sees each callback
    clock = time.thread_time_ns

    def booked_run(self: asyncio.Handle) -> None:
        stage, before, masked = _stage(self._callback), clock(), spent["mask"]  # type: ignore[attr-defined]
        run(self)  # type: ignore[operator]
        spent[stage] += clock() - before - (spent["mask"] - masked)

    def booked_mask(self: PolicyMasker, reading: Any) -> Any:
        before = clock()
        try:
            return mask(self, reading)
        finally:
            spent["mask"] += clock() - before

    def booked_store(self: StoreFile, work: Any) -> Any:
        stage, before = _OF_THE_STORE.get(work.func.__name__ if isinstance(work, partial) else "", "upkeep"), clock()
        try:
            return store(self, work)
        finally:
            spent[stage] += clock() - before

    asyncio.Handle._run = booked_run  # type: ignore[attr-defined,method-assign]  # noqa: SLF001
    PolicyMasker.mask = booked_mask  # type: ignore[method-assign]
    StoreFile.run = booked_store  # type: ignore[method-assign,assignment]


def _stage(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        name = owner.get_name()
        return "submit" if name.startswith("submit-") else _OF_TASKS.get(name, "upkeep")
    module = type(owner).__module__
    if module.startswith("actod.collect"):
        return "collect"
    protocol = getattr(owner, "_protocol", owner)  # of a connection
    name = type(protocol).__name__
    if "SSL" in name:
        return "submit"
    return "sign" if name.startswith("Stream") else "loop"


def write(file: Path) -> None:
    """Write the books; what is in none of them is the loop's own."""
    books = dict(spent)
    books["loop"] = books.get("loop", 0) + max(0, time.process_time_ns() - sum(books.values()))
    file.with_suffix(".new").write_text(json.dumps(books))
    file.with_suffix(".new").replace(file)


if __name__ == "__main__":
    books_file = Path(sys.argv.pop(1))
    book()
    signal.signal(signal.SIGUSR2, lambda *_: write(books_file))
    try:
        sys.exit(main())
    finally:
        write(books_file)
