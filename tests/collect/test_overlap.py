"""Filters that cross: a message that two of them match is taken once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actod.collect.overlap import Copies
from actod.collect.subscriptions import Subscriptions, crosses, identifier, matches
from actod.collect.transport import encode_length, identifiers

SECOND = 1_000_000_000
LEVELS = st.sampled_from(["a", "b", "+", "$s"])
FILTERS = st.lists(LEVELS, min_size=1, max_size=3).flatmap(lambda levels: st.sampled_from([levels, [*levels, "#"]]))
TOPICS = [[*first, *rest] for first in (["a"], ["b"], ["$s"]) for rest in ([], ["a"], ["b"], ["a", "b"], ["b", "b"])]


@given(FILTERS, FILTERS)
def test_filters_cross_where_some_topic_is_matched_by_both(one: list[str], other: list[str]) -> None:
    both = [topic for topic in TOPICS if matches(one, topic) and matches(other, topic)]
    if both:
        assert crosses(one, other)
        assert crosses(other, one)


@pytest.mark.parametrize(
    ("one", "other", "cross"),
    [("a/+", "+/b", True), ("a/#", "+/b", True), ("a/b", "a/c", False), ("+/x", "$SYS/x", False), ("a/+/c", "a/b", False)],
)
def test_what_cannot_meet_does_not_cross(one: str, other: str, cross: bool) -> None:
    assert crosses(one.split("/"), other.split("/")) is crosses(other.split("/"), one.split("/")) is cross


def test_only_filters_that_cross_are_named_and_share_the_highest_quality() -> None:
    plain = Subscriptions([("a/+", 1), ("c/d", 0)])
    assert not plain.cross
    assert [number for _, number in plain.packets()] == [0]
    crossed = Subscriptions([("a/+", 0), ("+/b", 1), ("c/d", 0)])
    packets = {pairs[0][0]: (pairs[0][1], number) for pairs, number in crossed.packets()}
    assert packets["a/+"] == (1, identifier("a/+"))
    assert packets["+/b"] == (1, identifier("+/b"))
    assert packets["c/d"] == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.permutations([1, 2, 3])), max_size=60))
def test_of_the_copies_of_each_message_the_first_is_taken_in_whatever_order_they_come(
    messages: list[tuple[int, list[int]]],
) -> None:
    copies, taken = Copies(), 0
    for content, brought_by in messages:
        taken += [copies.is_copy("t", b"%d" % content, [number], 0) for number in brought_by].count(False)
    assert taken == len(messages)


@given(st.lists(st.sets(st.integers(1, 3)), max_size=60))
def test_a_broker_that_drops_some_copies_costs_nothing_while_one_comes(messages: list[set[int]]) -> None:
    copies = Copies()
    for content, brought_by in enumerate(messages):
        taken = [copies.is_copy("t", b"%d" % content, [number], 0) for number in brought_by].count(False)
        assert taken == bool(brought_by)


def test_one_packet_that_names_all_filters_is_one_message() -> None:
    copies = Copies()
    assert [copies.is_copy("t", b"x", [1, 2], 0) for _ in range(3)] == [False] * 3


def test_what_no_filter_is_named_for_and_what_comes_later_or_on_a_new_connection_is_a_message() -> None:
    copies = Copies()
    assert not copies.is_copy("t", b"x", [1], 0)
    assert not copies.is_copy("t", b"x", [], 0)
    assert not copies.is_copy("t", b"x", [2], 11 * SECOND)
    assert not copies.is_copy("u", b"x", [1], 11 * SECOND)
    assert copies.is_copy("t", b"x", [1], 11 * SECOND)
    copies.forget()
    assert not copies.is_copy("t", b"x", [1], 11 * SECOND)
    for number in range(5000):
        copies.is_copy("t", b"%d" % number, [1], 11 * SECOND)
    assert len(copies._seen) == 4096


def test_subscription_identifiers_are_found_among_all_properties_of_a_publish() -> None:
    text = b"\x00\x03abc"
    others = b"\x01\x01\x02\x00\x00\x00\x05\x03" + text + b"\x08" + text + b"\x09" + text + b"\x23\x00\x01\x26" + text + text
    named = b"".join(b"\x0b" + encode_length(number) for number in (1, 300, 268_435_455))
    assert identifiers(named + others) == identifiers(others + named) == [1, 300, 268_435_455]
    assert identifiers(b"\x7f\x01" + named) == []
    assert identifiers(b"\x26\xff") == []
    assert identifiers(b"\x0b") == [0]
