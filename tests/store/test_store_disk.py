"""A disk that is full, read-only or capped: nothing acknowledged, nothing changed, and work goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from actod.config import StoreConfig
from actod.errors import TransientError
from actod.store.spool import SqliteSpool
from actod.store.sqlite import SqliteStore
from tests.store.parts import SEAL, HandClock, RememberedLog, group, open_store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        if "CI" in os.environ:
            pytest.fail("mounting a tmpfs needs root")
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["mount", "-o", "remount,rw", folder], check=False, capture_output=True)
    subprocess.run(["umount", "-l", folder], check=True)


def fill(store: SqliteStore, clock: HandClock, *, size: int = 1500) -> tuple[int, str]:
    """Commit until the store refuses; return how many messages it took and why it stopped."""
    taken = 0
    while True:
        try:
            store.run(partial(store.commit, group([taken], clock=clock, size=size)))
        except TransientError as exc:
            return taken, exc.reason
        taken += 1


def test_a_full_disk_refuses_changes_nothing_and_is_forgotten_when_there_is_room(small_disk: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 600_000)
    store = open_store(small_disk / "state", clock=clock, log=log, compress=False)
    taken, reason = fill(store, clock)
    assert (taken > 50, reason) == (True, "disk_full")
    assert store.run(store.status).journal_messages == taken
    refused = group([taken], clock=clock, size=1500)
    with pytest.raises(TransientError):
        store.run(partial(store.commit, refused))
    ballast.unlink()
    store.run(partial(store.commit, refused))
    store.close()
    store = open_store(small_disk / "state", clock=clock, log=log)
    assert store.repaired is None
    assert store.run(store.status).journal_messages == taken + 1
    store.close()


def test_a_disk_without_inodes_is_named_and_nothing_is_changed(small_disk: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    subprocess.run(["mount", "-o", "remount,nr_inodes=20", small_disk], check=True)
    store = open_store(small_disk / "state", clock=clock, log=log)
    store.run(partial(store.commit, group([0], clock=clock)))
    store.close()
    taken = 0
    with contextlib.suppress(OSError):
        for taken in range(100):
            (small_disk / f"small-{taken}").touch()
    with pytest.raises(TransientError) as refused:
        open_store(small_disk / "state", clock=clock, log=log)
    assert refused.value.reason == "no_inodes"
    for number in range(taken):
        (small_disk / f"small-{number}").unlink()
    store = open_store(small_disk / "state", clock=clock, log=log)
    assert store.run(store.status).journal_messages == 1
    store.close()


def test_a_disk_that_turned_read_only_refuses_and_work_resumes(small_disk: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(small_disk / "state", clock=clock, log=log)
    store.run(partial(store.commit, group([0], clock=clock)))
    busy = subprocess.run(["mount", "-o", "remount,ro", small_disk], check=False, capture_output=True)
    if busy.returncode:  # files are open for writing: the kernel's emergency remount is not ours to trigger
        store.close()
        lock = small_disk / "state" / "spool.lock"
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        assert lock.exists()
        with pytest.raises(TransientError) as refused:
            open_store(small_disk / "state", clock=clock, log=log)
        assert refused.value.reason == "read_only"
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        store = open_store(small_disk / "state", clock=clock, log=log)
    assert store.run(store.status).journal_messages == 1
    store.close()


def test_a_disk_that_turned_read_only_under_open_files_refuses_though_they_can_still_be_written(small_disk: Path) -> None:
    clock, log, state = HandClock(), RememberedLog(), small_disk / "state"
    store = open_store(state, clock=clock, log=log)
    store.run(partial(store.commit, group([0], clock=clock)))
    subprocess.run(["mount", "--bind", state, state], check=True)  # whoever has files open keeps those below
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
        with pytest.raises(TransientError) as refused:
            store.run(partial(store.commit, group([1], clock=clock)))
        assert refused.value.reason == "read_only"
    finally:
        subprocess.run(["umount", state], check=True)
    store.run(partial(store.commit, group([1], clock=clock)))
    assert store.run(store.status).journal_messages == 2
    store.close()


def test_files_and_folder_are_the_owners_alone_from_the_first_byte(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        clock = HandClock()
        store = open_store(tmp_path / "state", clock=clock, log=RememberedLog())
        store.run(partial(store.commit, group([1], clock=clock)))
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
        files = list((tmp_path / "state").iterdir())
        assert {file.name for file in files} >= {"spool.db", "spool.db-wal", "spool.lock"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        store.close()
    finally:
        os.umask(before)


def test_a_cancelled_caller_waits_for_what_it_began(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, log = HandClock(), RememberedLog()
        spool = await SqliteSpool.open(folder=tmp_path, seal=SEAL, store=StoreConfig(), clock=clock, witness=log)
        commit = asyncio.ensure_future(spool.commit(group(range(5), clock=clock)))
        await asyncio.sleep(0)
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
        assert log.lines[-1][0] == "checkpoint.commit", "it returned before its commit was durable"
        assert (await spool.status()).journal_messages == 5
        await spool.close()

    asyncio.run(scenario())
