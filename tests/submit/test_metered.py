"""Bulk waits for the night or for a link that costs nothing; the clock is believed only where someone vouches for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actod.submit.metered import BulkGate, Hours, TrustedTime, default_interface
from tests.submit.parts import FakeClock

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
LTE = "wwan0\t00000000\t0100000A\t0003\t0\t0\t700\t00000000\t0\t0\t0\n"
WIRED = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
LOCAL = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
DOWN = "eth1\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("routes", "interface"),
    [
        (HEAD + LTE + LOCAL, "wwan0"),
        (HEAD + LTE + WIRED + LOCAL, "eth0"),
        (HEAD + DOWN + LTE, "wwan0"),
        (HEAD + LOCAL, ""),
        (HEAD, ""),
        ("", ""),
        (HEAD + "short line\n", ""),
    ],
)
def test_the_default_route_with_the_lowest_metric_names_the_link(routes: str, interface: str) -> None:
    assert default_interface(routes) == interface


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "12:00", "21:59"]),
        ("01:30-02:00", ["01:30", "01:59"], ["01:29", "02:00", "13:45"]),
    ],
)
def test_a_span_of_the_day_may_go_over_midnight(span: str, inside: list[str], outside: list[str]) -> None:
    hours = Hours.parse(span)
    for text in inside + outside:
        when = datetime(2026, 11, 24, int(text[:2]), int(text[3:]), tzinfo=UTC)
        assert hours.hold(when) == (text in inside), text


@pytest.mark.parametrize(
    "text", ["", "22:00", "24:00-01:00", "1:00-2:00", "ab:cd-ef:gh", "22:60-23:00", "\N{ARABIC-INDIC DIGIT ZERO}1:00-02:00"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time of day"):
        Hours.parse(text)


def test_a_clock_that_nobody_vouches_for_opens_no_window_until_a_date_was_seen_under_the_pin(tmp_path: Path) -> None:
    clock = FakeClock(synchronised=None)
    clock.wall_ns = int(datetime(1970, 1, 1, 23, 0, tzinfo=UTC).timestamp() * 1e9)
    time = TrustedTime(clock)
    gate = BulkGate(hours="22:00-06:00", interfaces=[], time=time, routes_file=tmp_path / "none")
    assert not gate.is_open()
    time.saw("Tue, 24 Nov 2026 21:00:00 GMT")
    assert not gate.is_open()
    clock.advance(3601)
    assert time.now() == datetime(2026, 11, 24, 22, 0, 1, tzinfo=UTC)
    assert gate.is_open()
    clock.advance(timedelta(hours=8).total_seconds())
    assert not gate.is_open()


def test_a_free_link_opens_the_gate_at_any_hour(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    routes.write_text(HEAD + LTE, encoding="ascii")
    clock = FakeClock()
    gate = BulkGate(hours="", interfaces=["eth*", "wlan0"], time=TrustedTime(clock), routes_file=routes)
    assert not gate.is_open()
    routes.write_text(HEAD + LTE + WIRED, encoding="ascii")
    assert gate.is_open()
    routes.unlink()
    assert not gate.is_open()
    assert BulkGate(hours="", interfaces=[], time=TrustedTime(clock)).is_open(), "nothing is configured"
