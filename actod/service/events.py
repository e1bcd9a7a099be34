"""Counts a few events of the audit log on their way to the alerts: what has no counter of its own, and happens seldom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from actod.ports import AlertSink

# event -> the field that says which kind of it; "" where there is one
_HEARD = {
    "access.denied": "where",
    "clock.set": "",
    "intake.full": "",
    "signer.ended": "",
    "store.blocked": "reason",
}


class EventTally:
    """Implements the AlertSink port in front of another. `counts` is by (event, kind), since the start."""

    def __init__(self, behind: AlertSink) -> None:
        self._behind = behind
        self.counts: Counter[tuple[str, str]] = Counter()

    def see(self, event: str, fields: Mapping[str, Any]) -> None:
        """Count an event, and hand it on."""
        field = _HEARD.get(event)
        if field is not None:
            self.counts[event, str(fields.get(field, ""))] += int(fields.get("count", 1))
        self._behind.see(event, fields)
