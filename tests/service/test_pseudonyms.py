"""The pseudonym key ends with its epoch, by an honest clock alone, and nothing of it is left in its file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actod.model import Instant
from actod.service.pseudonyms import PseudonymEpochs

DAY_NS = 86_400 * 10**9
NOW_NS = 1_900_000_000 * 10**9


class SetClock:
    def __init__(self, *, synchronised: bool | None = True, wall_ns: int = NOW_NS) -> None:
        self.wall_ns, self.sync = wall_ns, synchronised

    def now(self) -> Instant:
        return Instant(self.wall_ns, 1)

    def boot_id(self) -> str:
        return "boot"

    def synchronised(self) -> bool | None:
        return self.sync


def epochs(folder: Path, clock: SetClock) -> PseudonymEpochs:
    made = PseudonymEpochs(folder / "pseudonym.key", clock=clock, days=90)
    os.utime(folder / "pseudonym.key", ns=(NOW_NS, NOW_NS))
    return made


def test_the_key_is_overwritten_when_its_days_are_over_and_the_next_epoch_begins(tmp_path: Path) -> None:
    clock = SetClock()
    held = epochs(tmp_path, clock)
    old = held.key
    clock.wall_ns += 90 * DAY_NS - 1
    assert held.end_if_due() is None
    clock.wall_ns += 2 * DAY_NS
    inode = (tmp_path / "pseudonym.key").stat().st_ino
    assert held.end_if_due() == 91
    content = (tmp_path / "pseudonym.key").read_bytes()
    assert content == held.key != old
    assert (tmp_path / "pseudonym.key").stat().st_ino == inode  # the very blocks, as far as the disk keeps to them
    assert held.end_if_due() is None
    assert PseudonymEpochs(tmp_path / "pseudonym.key", clock=clock, days=90).key == held.key


@pytest.mark.parametrize("synchronised", [False, None])
def test_a_clock_that_nobody_vouches_for_ends_no_epoch(tmp_path: Path, synchronised: bool | None) -> None:
    clock = SetClock()
    held = epochs(tmp_path, clock)
    old = held.key
    clock.wall_ns += 1000 * DAY_NS
    clock.sync = synchronised
    assert held.end_if_due() is None
    assert held.key == old == (tmp_path / "pseudonym.key").read_bytes()


@pytest.mark.parametrize("made_at_ns", [0, NOW_NS + 50 * 365 * DAY_NS])
def test_a_key_made_under_a_clock_that_lied_counts_its_days_from_now(tmp_path: Path, made_at_ns: int) -> None:
    clock = SetClock()
    held = epochs(tmp_path, clock)
    old = held.key
    os.utime(tmp_path / "pseudonym.key", ns=(made_at_ns, made_at_ns))
    assert held.end_if_due() is None
    assert held.key == old
    clock.wall_ns += 90 * DAY_NS
    assert held.end_if_due() == 90
