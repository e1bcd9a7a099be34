"""The broker's own count of what it dropped, as entries of the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actod.collect.broker_drops import BrokerDrops

ENTRY = ("broker_dropped", "normal", "_broker")


def test_only_what_comes_after_the_first_count_is_ours_to_report() -> None:
    drops = BrokerDrops()
    drops.see("1000")
    assert drops.take() == {}
    drops.see("1003")
    drops.see("1010")
    assert drops.take() == {ENTRY: 10}
    assert drops.take() == {}


def test_a_count_that_fell_is_a_restart_and_counts_from_zero() -> None:
    drops = BrokerDrops()
    for text in ("1000", "4", "6"):
        drops.see(text)
    assert drops.take() == {ENTRY: 6}


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1e3", " 7", "\u0667", "\u00b2", "9" * 19, "seven"])
def test_what_is_no_count_is_ignored(text: str) -> None:
    drops = BrokerDrops()
    for seen in ("10", text, "12"):
        drops.see(seen)
    assert drops.take() == {ENTRY: 2}


@given(st.lists(st.integers(0, 10**6)))
def test_a_broker_that_only_counts_up_is_believed_to_the_last_message(steps: list[int]) -> None:
    drops, total = BrokerDrops(), 0
    drops.see("0")
    for step in steps:
        total += step
        drops.see(str(total))
    assert sum(drops.take().values()) == total
