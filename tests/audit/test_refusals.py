"""Refusals: the first of its kind at once, then one line a minute, never one a message, none uncounted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actod.audit.refusals import RefusalSummary
from tests.audit.conftest import SetClock

NAN, DEEP = ("nan", "normal", "lidar"), ("too_deep", "bulk", "map")


class Lines:
    """Implements the AuditLog port in memory."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def record(self, event: str, **fields: Any) -> None:
        assert event == "refused"
        self.written.append(fields)

    def witness(self, event: str, fields: Any) -> None:
        self.record(event, **fields)

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Nobody asks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """There is always room."""

    def head(self) -> str:
        return "0" * 64


def test_the_first_of_a_kind_is_said_at_once_and_the_rest_once_a_minute() -> None:
    lines, clock = Lines(), SetClock()
    summary = RefusalSummary(audit=lines, clock=clock)
    summary.count({NAN: 1})
    assert lines.written == [{"reason": "nan", "class": "normal", "route": "lidar", "count": 1}]
    for _ in range(590):
        clock.pass_seconds(0.1)
        summary.count({NAN: 2})
    assert len(lines.written) == 1
    summary.count({DEEP: 1})
    assert lines.written[1]["reason"] == "too_deep"
    clock.pass_seconds(1)
    summary.tick()
    assert lines.written[2] == {"reason": "nan", "class": "normal", "route": "lidar", "count": 1180}
    clock.pass_seconds(600)
    summary.tick()
    assert len(lines.written) == 3


def test_the_end_says_what_was_still_waiting() -> None:
    lines, clock = Lines(), SetClock()
    summary = RefusalSummary(audit=lines, clock=clock)
    summary.count({NAN: 1, DEEP: 2})
    summary.count({NAN: 5})
    summary.flush()
    summary.flush()
    assert [line["count"] for line in lines.written] == [1, 2, 5]


kinds = st.tuples(st.sampled_from(["nan", "too_deep"]), st.sampled_from(["normal", "bulk"]), st.sampled_from(["a", "b"]))
steps = st.lists(st.tuples(st.dictionaries(kinds, st.integers(1, 9), max_size=3), st.floats(0, 50)), max_size=60)


@given(steps)
def test_every_refusal_is_counted_once_and_no_kind_speaks_twice_a_minute(work: list[tuple[dict[Any, int], float]]) -> None:
    lines, clock = Lines(), SetClock()
    summary, expected = RefusalSummary(audit=lines, clock=clock), Counter[Any]()
    spoken: dict[Any, int] = {}
    for refusals, seconds in work:
        before = len(lines.written)
        summary.count(refusals)
        expected.update(refusals)
        for line in lines.written[before:]:
            kind = (line["reason"], line["class"], line["route"])
            assert kind not in spoken or clock.monotonic_ns - spoken[kind] >= 60_000_000_000
            spoken[kind] = clock.monotonic_ns
        clock.pass_seconds(seconds)
    summary.flush()
    counted = Counter[Any]()
    for line in lines.written:
        counted[line["reason"], line["class"], line["route"]] += line["count"]
    assert counted == expected


def test_a_flood_of_kinds_is_bounded_and_still_counted() -> None:
    lines, clock = Lines(), SetClock()
    summary = RefusalSummary(audit=lines, clock=clock)
    for number in range(5000):
        summary.count({(f"reason{number}", "normal", "route"): 1})
    summary.flush()
    assert len(lines.written) < 600
    assert sum(line["count"] for line in lines.written) == 5000
