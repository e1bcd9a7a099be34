"""What a run finds: figures, each with its floor of the same run, and the median of its rounds with the spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `kind` says what may be compared between runs: only the ratios of "cpu" are held to each other.

    `values` are those of the rounds, `floors` those of the floor in turns with them; a figure without a floor has none.
    """

    name: str
    unit: str
    values: Sequence[float]
    floors: Sequence[float] = ()
    kind: str = "cpu"  # or "wall", "bytes", "count"
    floor_name: str = ""
    split: dict[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """Return the median."""
        return statistics.median(self.values)

    @property
    def floor(self) -> float | None:
        """Return the median of the floor, None if there is none."""
        return statistics.median(self.floors) if self.floors else None

    @property
    def ratio(self) -> float | None:
        """Return the median of the rounds' ratios: each round by the floor that was measured beside it."""
        if not self.floors:
            return None
        if len(self.floors) != len(self.values):
            return self.value / statistics.median(self.floors)
        return statistics.median(value / floor for value, floor in zip(self.values, self.floors, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return all of it, medians and ratio included."""
        return asdict(self) | {"value": self.value, "floor": self.floor, "ratio": self.ratio}

    def line(self) -> str:
        """Say it in one line."""
        text = f"{self.name:<52} {number(self.value):>9} {self.unit}"
        if len(self.values) > 1:
            text += f"  ({number(min(self.values))} to {number(max(self.values))})"
        if self.ratio is not None:
            text += f"  {number(self.ratio)} x {self.floor_name} ({number(self.floor or 0.0)})"
        return text


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
