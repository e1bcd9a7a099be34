"""What a count supports: the most that a share can be, at 95 % confidence, after so many trials."""

from __future__ import annotations

from math import comb

_CONFIDENCE = 0.95
_STEPS = 60


def upper(failures: int, trials: int) -> float:
    """Return the upper end of the one-sided 95 % interval of Clopper and Pearson: 0 of 300 gives 0.00994."""
    if trials <= 0 or failures >= trials:
        return 1.0
    low, high = failures / trials, 1.0
    for _ in range(_STEPS):
        share = (low + high) / 2
        as_few = sum(comb(trials, count) * share**count * (1 - share) ** (trials - count) for count in range(failures + 1))
        low, high = (share, high) if as_few > 1 - _CONFIDENCE else (low, share)
    return high
