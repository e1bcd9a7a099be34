"""kill -9 of a real process in the middle of its work: what it said was durable is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from actod.errors import LockedError
from tests.store.parts import HandClock, RememberedLog, numbers, open_store, sealed

ROUNDS = 8

# Commits, seals and settles as fast as it can, and says each number once its commit has returned.
WORKER = """
import sys
from pathlib import Path
from functools import partial
from tests.store.parts import HandClock, RememberedLog, group, open_store, receipt, sealed
clock = HandClock()
store = open_store(Path(sys.argv[1]), clock=clock, log=RememberedLog())
number = int(sys.argv[2])
while True:
    made = group(range(number, number + 7), clock=clock, size=50)
    store.run(partial(store.commit, made))
    print("c", number, number + 7, flush=True)
    number += 7
    if number % 3 == 0:
        bundle = store.run(store.next_bundle)
        if bundle:
            store.run(partial(store.put, bundle, sealed(bundle)))
    if number % 5 == 0:
        envelope = store.run(store.next_envelope)
        if envelope:
            print("d", envelope.proof_id, flush=True)
            store.run(partial(store.receipt, envelope, receipt(envelope)))
"""


def test_what_a_killed_process_said_was_durable_is_there_once(tmp_path: Path) -> None:
    chosen = random.Random(7)  # noqa: S311 - no secret
    folder, acknowledged, sent = tmp_path / "state", 0, set()
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(acknowledged)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        said = [process.stdout.readline()]
        time.sleep(chosen.uniform(0.01, 0.25))  # the moment of the kill, not a synchronisation
        process.send_signal(signal.SIGKILL)
        said += [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        commits = [line.split() for line in said if line.startswith("c")]
        sent |= {line.split()[1] for line in said if line.startswith("d")}
        assert commits
        before, acknowledged = acknowledged, int(commits[-1][2])
        assert acknowledged > before
        held = content(folder)
        assert sorted(set(held)) == sorted(held), "a message is in two places"
        assert set(range(acknowledged)) <= set(held)
        acknowledged = max(held) + 1  # one commit may have become durable without being said
    assert sent


def content(folder: Path) -> list[int]:
    """Open the store, seal and read everything that it ever took (the archive keeps it)."""
    clock = HandClock()
    store = open_store(folder, clock=clock, log=RememberedLog())
    store.run(store.make_due)
    while bundle := store.run(store.next_bundle):
        store.run(partial(store.put, bundle, sealed(bundle)))
    held = []
    for place in range(3):
        for row in store._outbox.first(place, limit=1_000_000):
            envelope = store._outbox.envelope(row)
            assert envelope
            held += numbers(envelope.body)
    assert store.repaired is None
    store.close()
    return held


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    try:
        with pytest.raises(LockedError):
            open_store(tmp_path, clock=HandClock(), log=RememberedLog())
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    open_store(tmp_path, clock=HandClock(), log=RememberedLog()).close()  # the lock died with its holder
