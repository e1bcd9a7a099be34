"""The warning of a queue that fills: once, and again only after it was well below."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actod import upkeep
from actod.errors import TransientError
from actod.parts import Parts
from tests.submit.parts import FakeAudit


class Spool:
    """Shows one picture after the other, and none at all where a disk refuses; then it has no more."""

    def __init__(self, *percents: int | None) -> None:
        self.left = list(percents)

    async def status(self) -> Any:
        if not self.left:
            raise asyncio.CancelledError
        percent = self.left.pop(0)
        if percent is None:
            raise TransientError("disk_full")
        return SimpleNamespace(journal_bytes=percent * 6, outbox_bytes=percent * 4)


def test_a_queue_that_is_nearly_full_is_told_once_and_again_after_it_was_well_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_QUEUE_LOOK_SECONDS", 0.0)
    audit = FakeAudit()
    store = SimpleNamespace(shares=SimpleNamespace(database=1000))
    spool = Spool(50, 79, 81, 90, None, 75, 82, 69, 80, 80)
    parts = SimpleNamespace(spool=spool, audit=audit, config=SimpleNamespace(store=store))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(upkeep.watch_the_queue(cast("Parts", parts)))
    assert [line["percent"] for line in audit.of("store.nearly_full")] == [81, 80]
