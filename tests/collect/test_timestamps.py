"""A payload's own time: strictly one, or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actod.collect.timestamps import utc


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000+00:00"),
        ("2026-01-02T03:04:05.12Z", "2026-01-02T03:04:05.120000+00:00"),
        ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456+00:00"),
        ("2026-01-02T03:04:05.9999999Z", "2026-01-02T03:04:05.999999+00:00"),
        ("2026-01-02T01:04:05-02:00", "2026-01-02T03:04:05.000000+00:00"),
        ("2026-01-02T03:04:05.5+05:30", "2026-01-01T21:34:05.500000+00:00"),
        (1_767_323_045, "2026-01-02T03:04:05.000000+00:00"),
        (1_767_323_045.25, "2026-01-02T03:04:05.250000+00:00"),
        (1_767_323_045_123, "2026-01-02T03:04:05.123000+00:00"),
        (1_767_323_045_123_456, "2026-01-02T03:04:05.123456+00:00"),
        (1_767_323_045_123_456_789, "2026-01-02T03:04:05.123456+00:00"),
    ],
)
def test_a_time_is_read(value: object, expected: str) -> None:
    assert utc(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02T03:04:05",  # no zone
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04Z",
        "2026-02-30T03:04:05Z",
        "2026-01-02T24:00:01Z",
        "2026-01-02T03:04:60Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+25:00",
        "2026-01-02T03:04:05Z\n",
        "0001-01-01T00:00:00+01:00",  # before the first year
        "9999-12-31T23:59:59-01:00",
        "\u0662026-01-02T03:04:05Z",  # a digit, but no ASCII one
        "yesterday",
        "",
        None,
        True,
        [],
        {},
        0,
        12,
        -1_767_323_045,
        1e30,
        float("nan"),
        float("inf"),
    ],
)
def test_what_is_not_strictly_a_time_is_none(value: object) -> None:
    assert utc(value) is None


@given(
    st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 1 < moment.year < 9999),
    st.integers(-1439, 1439),
)
def test_any_zone_gives_the_same_moment(moment: datetime, minutes: int) -> None:
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert utc(there.isoformat(timespec="microseconds")) == moment.isoformat(timespec="microseconds")


@given(st.integers(10**14, 4 * 10**15))
def test_a_number_of_seconds_is_exact_to_the_microsecond(microseconds: int) -> None:
    expected = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")
    assert utc(microseconds / 10**6) == utc(microseconds * 1000) == expected


@given(st.integers() | st.floats() | st.text())
def test_anything_gives_a_canonical_time_or_none(value: object) -> None:
    found = utc(value)
    assert found is None or utc(found) == found
