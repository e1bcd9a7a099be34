"""The disk fills up under a running daemon: no stop, no loss, and work resumes by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.oracle import events, judge
from hil.rig import Rig, build, wait_for
from hil.soak import SETTINGS, Publisher, number


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    state = tmp_path / "rig" / "state"
    state.mkdir(mode=0o700, parents=True)
    options = ["-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(state)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        if "CI" in os.environ:
            pytest.fail("mounting a tmpfs needs root")
        pytest.skip("mounting a tmpfs needs root")
    try:
        with build(tmp_path / "rig", settings=SETTINGS) as built:
            yield built
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def fill(state: Path) -> Path:
    """Take all that is left on the disk."""
    ballast = state / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT, 0o600)
    size = 1 << 20
    try:
        while size:
            try:
                os.write(descriptor, bytes(size))
            except OSError:
                size //= 2
    finally:
        os.close(descriptor)
    return ballast


def publish(rig: Rig, first: int, end: int) -> None:
    publisher = Publisher(port=rig.broker.port, messages=end - first, per_second=500, first=first)
    publisher.start()
    publisher.join(60)


def log_says(rig: Rig, words: str) -> bool:
    return words in rig.actod.log_file.read_text(encoding="utf-8")


def held(rig: Rig) -> set[int | None]:
    return {number("", event["data"]) for event, _ in events(rig.envelopes())}


def test_a_disk_that_fills_up_stops_nothing_and_loses_nothing(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 200)
    wait_for(lambda: held(rig) >= set(range(200)), what="the first messages at the collector")

    ballast = fill(rig.state)
    publish(rig, 200, 1000)  # more than what the pages that SQLite already has can take
    wait_for(lambda: log_says(rig, "The disk refuses"), what="the daemon to say that the disk is full")
    assert rig.actod.running()
    why = rig.tool("why", "--config", str(rig.config_file), check=True).stdout
    assert "the disk refuses what comes in (disk_full)" in why
    ballast.unlink()
    wait_for(lambda: held(rig) >= set(range(1000)), seconds=60, what="the messages of the full disk at the collector")
    assert "refuses" not in rig.tool("why", "--config", str(rig.config_file), check=True).stdout
    assert log_says(rig, "The disk takes data again")
    assert rig.actod.stop() == 0
    assert judge(rig, number=number, published=range(1000)).problems() == []


def test_a_start_on_a_full_disk_waits_for_room_and_is_stopped_like_any_other(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 100)
    wait_for(lambda: set(range(100)) <= held(rig), what="what came before")
    assert rig.actod.stop() == 0
    ballast = fill(rig.state)
    rig.actod.start()
    wait_for(lambda: log_says(rig, "cannot be opened"), what="the word of the full disk")
    publish(rig, 100, 200)
    assert rig.actod.stop() == 0
    rig.actod.start()
    wait_for(lambda: rig.actod.log_file.read_text().count("cannot be opened") == 2, what="the second start")
    ballast.unlink()
    wait_for(lambda: set(range(200)) <= held(rig), what="what the broker kept")
    assert rig.actod.stop() == 0
    assert judge(rig, number=number, published=range(200)).problems() == []
