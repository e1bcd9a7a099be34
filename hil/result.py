"""What became of one scenario."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Result:
    """What became of one scenario; times are seconds since the traffic began, `recovered_seconds` since its end."""

    name: str
    began: float
    ended: float = 0.0
    recovered_seconds: float | None = None
    named: str = ""
    acknowledged: int = 0
    deepest: int = 0
    memory_mib: float = 0.0
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)
