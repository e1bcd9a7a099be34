"""What a run says of itself as it goes on: plain lines in a file, a bar on a terminal."""

from __future__ import annotations

import io

import pytest

from hil.progress import Progress


def test_a_line_says_what_begins_and_ends_and_how_much_is_left_by_what_its_kind_took() -> None:
    out = io.StringIO()
    progress = Progress(["steps", "faults", "faults", "faults"], out=out, bar=False)
    progress.begins("install", at=0.0)
    progress.ends("install", "holds", at=10.0, again=10.0)
    progress.begins("power_cut", at=10.0)
    progress.ends("power_cut", "recovered in 14.6 s", at=80.0, again=60.0)  # what came before it comes once
    progress.begins("tpm_away", at=80.0)
    progress.ends("tpm_away", "left out", at=80.0, again=None)
    progress.begins("reset", at=80.0)
    progress.ends("reset", "it was not named", at=3790.0, again=3710.0)
    assert out.getvalue().splitlines() == [
        "[1/4] install begins; 0:00 so far, nothing to estimate the rest by yet",
        "[1/4] install: holds (10 s); 0:10 so far, about 0:30 to go",
        "[2/4] power_cut begins; 0:10 so far, about 0:30 to go",
        "[2/4] power_cut: recovered in 14.6 s (70 s); 1:20 so far, about 2:00 to go",
        "[3/4] tpm_away begins; 1:20 so far, about 2:00 to go",
        "[3/4] tpm_away: left out (0 s); 1:20 so far, about 1:00 to go",
        "[4/4] reset begins; 1:20 so far, about 1:00 to go",
        "[4/4] reset: it was not named (3710 s); 1:03:10 so far",
    ]


def test_on_a_terminal_the_end_is_drawn_over_a_bar_of_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    progress = Progress(["faults", "faults"], out=out, bar=True)
    progress.begins("reset", at=0.0)
    progress.ends("reset", "recovered", at=5.0, again=5.0)
    progress.begins("power_cut", at=5.0)
    first, last = out.getvalue().split("\n")
    bar, end = first.removeprefix("\r\x1b[K").split("\r\x1b[K")
    assert bar == "." * 30 + " [1/2] reset begins; 0:00 so "
    assert end == "[1/2] reset: recovered (5 s); 0:05 so far, about 0:05 to go"
    assert last.startswith("\r\x1b[K" + "#" * 15 + "." * 15 + " [2/2] power_cut begins;")
