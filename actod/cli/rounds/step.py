"""One step of a round, and how it is taken: with a time limit, and none that fails keeps the others from being taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actod.audit.files import log_files, whole_lines
from actod.config import Config
from actod.errors import ActodError

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"


@dataclass(frozen=True, slots=True)
class Result:
    """What a step found: level is ok, warn, fail or skip; a remedy stands beside a warning and a failure."""

    id: str
    level: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """Where a round is made. `kind` is weekly, monthly or quarterly."""

    config: Config
    file: Path
    kind: str

    @property
    def state(self) -> Path:
        """Return the state folder."""
        return self.config.state_directory

    def audited(self, *events: str) -> list[dict[str, Any]]:
        """Return the audit log's lines of some events since the last round of this kind; all if there was none."""
        found: list[dict[str, Any]] = []
        for line in (line for file in log_files(self.state / "audit") for line in whole_lines(file)):
            if line["event"] == "maintenance.done" and line.get("kind") == self.kind:
                found.clear()
            elif line["event"] in events:
                found.append(line)
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `mend` is what mends what it finds, where the step has nothing better."""

    id: str
    take: Callable[[Round], Iterator[Result]]
    mend: str
    limit_seconds: float = 120.0


def taken(step: Step, round_: Round) -> list[Result]:
    """Take a step on a thread of its own: one that hangs is left behind, and has failed."""
    came: list[list[Result]] = []
    thread = threading.Thread(target=lambda: came.append(_guarded(step, round_)), name=f"step {step.id}", daemon=True)
    thread.start()
    thread.join(step.limit_seconds)
    return came[0] if came else [Result(step.id, FAIL, f"no end within {step.limit_seconds:g} s", step.mend)]


def _guarded(step: Step, round_: Round) -> list[Result]:
    try:
        return list(step.take(round_))
    except ActodError as exc:
        return [Result(step.id, FAIL, str(exc), step.mend)]
    except OSError as exc:
        return [Result(step.id, FAIL, f"{exc.filename or step.id}: {exc.strerror or type(exc).__name__}", step.mend)]
    except Exception as exc:  # noqa: BLE001 - a defect of one step must not end the round
        return [Result(step.id, FAIL, f"a defect of this step: {type(exc).__name__}", "tell the makers of actod")]
