"""What was found by the last maintenance of each kind, and whether the next is overdue.

Kept in `maintenance.json` in the state folder. Time between two runs is by the boot's own clock where both are of one boot,
else by wall clocks that were both synchronised; where neither can be said, nothing is overdue and no age is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from actod.durable import alone, write_whole
from actod.errors import RejectedError
from actod.ports import Clock
from actod.proof.envelope import iso

FILE = "maintenance.json"
LIMIT_DAYS: Mapping[str, int] = {"weekly": 9, "monthly": 35, "quarterly": 100}  # the timers' span, and some patience
OK, WARN, FAIL = "ok", "warn", "fail"
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `failed` and `warned` are names of its steps and checks, `asked` of what people are reminded of."""

    at: str
    boot_id: str
    monotonic_seconds: int
    synchronised: bool
    failed: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    @property
    def result(self) -> str:
        """Return the worst level of its steps."""
        return FAIL if self.failed else WARN if self.warned else OK

    @classmethod
    def ended(cls, clock: Clock, *, failed: list[str], warned: list[str], asked: list[str]) -> Run:
        """Make one that ends now."""
        now = clock.now()
        return cls(
            at=iso(now.wall_ns),
            boot_id=clock.boot_id(),
            monotonic_seconds=now.monotonic_ns // 1_000_000_000,
            synchronised=clock.synchronised() is True,
            failed=tuple(failed),
            warned=tuple(warned),
            asked=tuple(asked),
        )

    def age_seconds(self, clock: Clock) -> float | None:
        """Return how long ago it was, None where no clock can say."""
        now = clock.now()
        if self.boot_id == clock.boot_id():
            return now.monotonic_ns / 1e9 - self.monotonic_seconds
        if not self.synchronised or clock.synchronised() is not True:
            return None
        return now.wall_ns / 1e9 - datetime.fromisoformat(self.at).timestamp()


def read_runs(folder: Path) -> dict[str, Run]:
    """Return the last run of each kind. A damaged file is none."""
    try:
        kept = orjson.loads((folder / FILE).read_bytes())
        return {kind: _run(kept[kind]) for kind in LIMIT_DAYS if kind in kept}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def note_run(folder: Path, kind: str, run: Run) -> None:
    """Keep a run, durably. Raises OSError, RejectedError."""
    if kind not in LIMIT_DAYS:
        raise RejectedError("argument_malformed", f"maintenance is one of {', '.join(LIMIT_DAYS)}")
    with alone(folder):  # two timers may end at one moment
        runs = read_runs(folder) | {kind: run}
        write_whole(folder / FILE, orjson.dumps({name: asdict(each) for name, each in runs.items()}))


def standing(folder: Path, clock: Clock) -> dict[str, dict[str, Any]]:
    """Return for each kind its result ("never" before the first), what failed, its age, and whether it is overdue."""
    runs, found = read_runs(folder), {}
    for kind, limit in LIMIT_DAYS.items():
        run = runs.get(kind)
        age = run.age_seconds(clock) if run is not None else None
        found[kind] = {
            "result": run.result if run is not None else "never",
            "at": run.at if run is not None else None,
            "age_days": None if age is None else round(max(0.0, age) / _DAY_SECONDS, 2),
            "overdue": age is not None and age > limit * _DAY_SECONDS,
            "failed": list(run.failed) if run is not None else [],
            "warned": list(run.warned) if run is not None else [],
        }
    return found


def run_of(arguments: Mapping[str, Any]) -> Run:
    """Read a run as the command line sends it. Raises RejectedError."""
    try:
        return _run(arguments["run"])
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise RejectedError("argument_malformed", "a run of maintenance has its members") from exc


def _run(kept: Mapping[str, Any]) -> Run:
    lists = {name: tuple(str(word)[:64] for word in kept[name]) for name in ("failed", "warned", "asked")}
    datetime.fromisoformat(kept["at"])
    return Run(str(kept["at"]), str(kept["boot_id"]), int(kept["monotonic_seconds"]), kept["synchronised"] is True, **lists)
