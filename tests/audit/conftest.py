"""A clock that the test moves, and logs with small files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actod.audit.log import AuditLog
from actod.config import AuditConfig
from actod.model import Instant
from tests.power.campaign import scratch_folder


class SetClock:
    """Implements the Clock port with times that a test sets."""

    def __init__(self) -> None:
        self.wall_ns, self.monotonic_ns = 1_767_323_045_000_000_000, 1_000_000_000

    def now(self) -> Instant:
        return Instant(wall_ns=self.wall_ns, monotonic_ns=self.monotonic_ns)

    def boot_id(self) -> str:
        return "6b7f3c1e-0000-4000-8000-000000000001"

    def synchronised(self) -> bool | None:
        return None

    def pass_seconds(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.monotonic_ns += int(seconds * 1e9)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Make a folder in memory: who is killed leaves the same there, and nobody waits for a disk."""
    folder = scratch_folder()
    yield folder
    shutil.rmtree(folder)


OpenLog = Callable[..., AuditLog]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def open_log(folder: Path, clock: SetClock) -> Iterator[OpenLog]:
    opened: list[AuditLog] = []

    def make(**limits: int) -> AuditLog:
        log = AuditLog(folder, clock=clock, config=AuditConfig(**limits))
        opened.append(log)
        return log

    yield make
    for log in opened:
        log.close()
