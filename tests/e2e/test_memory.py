"""The daemon's memory where a broker brings more than it can hold; the long form is `make soak`."""

from __future__ import annotations

from hil import memory
from hil.rig import Rig


def test_neither_a_backlog_nor_a_large_message_nor_a_flood_takes_the_memory_beyond_its_limit(rig: Rig) -> None:
    grown = memory.run(rig, backlog=5000, flood_seconds=0.5)
    assert {what: size for what, size in grown.items() if size > memory.MOST_GROWTH_BYTES} == {}
