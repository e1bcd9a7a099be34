"""The watchdog: the sign of life is given for progress, and kept back by any part that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from actod.errors import TransientError
from actod.service.notify import Notifier
from actod.service.watchdog import Pulse, Watchdog
from actod.store.worker import Worker
from hil.parts.manager import Manager


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with contextlib.closing(Manager(tmp_path, watchdog_seconds=0.08)) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        yield made


async def alive(manager: Manager) -> None:
    """Return when systemd hears that we live."""
    await asyncio.to_thread(manager.hears, lambda said: said == {"WATCHDOG": "1"}, seconds=10)


async def looks(watchdog: Watchdog, then: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.create_task(watchdog.run())
    try:
        async with asyncio.timeout(20):
            await then()
    finally:
        task.cancel()


def test_a_blocked_worker_keeps_the_sign_of_life_back_until_it_answers_again(
    manager: Manager,
) -> None:
    worker, blocked = Worker("store"), threading.Event()
    begun: list[int] = []
    looked: list[int] = []

    async def trip() -> None:
        begun.append(1)
        await worker.call(lambda: None)

    def look() -> bool:
        looked.append(1)
        return False

    async def more_looks() -> None:
        wanted = len(looked) + 3
        while len(looked) < wanted:
            await asyncio.sleep(0.001)

    async def story() -> None:
        await alive(manager)
        held = asyncio.ensure_future(worker.call(blocked.wait))
        await more_looks()
        manager.forget()
        trips = len(begun)
        await more_looks()
        assert manager.heard() == {}, "systemd was told that we live while the store's thread hangs"
        assert len(begun) == trips, "a trip that hangs is not begun a second time"
        blocked.set()
        await held
        await alive(manager)

    asyncio.run(looks(Watchdog(notifier=Notifier(), rounds={"store": trip}, stuck={"nobody": look}), story))
    worker.close()


def test_a_worker_that_answers_with_a_refusal_is_alive_and_one_stuck_task_is_enough(
    manager: Manager,
) -> None:
    stuck = [False]

    async def full() -> None:
        raise TransientError("disk_full")

    looked: list[bool] = []

    def ask() -> bool:
        looked.append(stuck[0])
        return stuck[0]

    async def story() -> None:
        await alive(manager)
        stuck[0] = True
        while looked.count(True) < 3:
            await asyncio.sleep(0.001)
        manager.forget()
        while looked.count(True) < 6:
            await asyncio.sleep(0.001)
        assert manager.heard() == {}
        stuck[0] = False
        await alive(manager)

    asyncio.run(looks(Watchdog(notifier=Notifier(), rounds={"store": full}, stuck={"submit": ask}), story))


@pytest.mark.parametrize("missing", ["WATCHDOG_USEC", "NOTIFY_SOCKET", "WATCHDOG_PID"])
def test_where_nobody_waits_for_a_sign_of_life_the_watchdog_ends(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv(missing, "1" if missing == "WATCHDOG_PID" else "")
    asyncio.run(Watchdog(notifier=Notifier()).run())
    assert manager.heard() == {}


def test_a_pulse_that_rests_is_never_stuck_and_one_that_stopped_beating_is() -> None:
    pulse = Pulse(limit_seconds=0.0)
    assert not pulse.stuck()
    pulse.beat()
    while not pulse.stuck():
        pass
    pulse.rest()
    assert not pulse.stuck()
