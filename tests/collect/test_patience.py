"""When the broker is tried again, and when it is left to another client."""

from __future__ import annotations

from random import Random

from actod.collect.patience import Patience


class Last(Random):
    """Takes the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        assert b / 2 <= a <= b
        return b


def test_failures_are_retried_soon_and_then_every_half_minute() -> None:
    patience = Patience(Last())
    assert [patience.next_delay_seconds() for _ in range(9)] == [0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 30.0, 30.0]
    assert not patience.ended(11, on_purpose=False)
    assert patience.next_delay_seconds() == 0.1


def test_each_takeover_is_left_alone_for_longer_until_a_connection_held() -> None:
    patience, waited = Patience(Last()), []
    for _ in range(6):
        patience.ended(30, on_purpose=False)
        patience.taken_over()
        waited.append(patience.next_delay_seconds())
    assert waited == [60, 120, 300, 600, 600, 600]
    patience.ended(601, on_purpose=False)
    patience.taken_over()
    assert patience.next_delay_seconds() == 60


def test_sessions_that_end_as_soon_as_they_began_are_a_takeover_unless_the_broker_was_away_between_them() -> None:
    patience = Patience(Last())
    assert [patience.ended(1, on_purpose=False) for _ in range(5)] == [False, False, False, True, True]
    patience.refused()
    assert [patience.ended(1, on_purpose=False) for _ in range(4)] == [False, False, False, True]
    patience.ended(11, on_purpose=False)
    assert [patience.ended(1, on_purpose=True) for _ in range(9)] == [False] * 9
