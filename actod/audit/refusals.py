"""Refusals in the audit log: the first of its kind at once, then one line a minute with the count. Never one a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from actod.ports import AuditLog, Clock

_INTERVAL_NS = 60 * 1_000_000_000
_MOST_KINDS = 512

Kind = tuple[str, str, str]


class RefusalSummary:
    """Counts refusals by (reason, traffic class, route) and audits them at that pace."""

    def __init__(self, *, audit: AuditLog, clock: Clock) -> None:
        self._audit, self._clock = audit, clock
        self._due_ns: dict[Kind, int] = {}
        self._waiting: Counter[Kind] = Counter()

    def count(self, refusals: Mapping[Kind, int]) -> None:
        """Take the refusals of one commit group, before it is committed: its witness makes these lines durable."""
        if not refusals and not self._waiting:
            return
        now = self._clock.now().monotonic_ns
        self._waiting.update(refusals)
        for kind in list(self._waiting):
            if now >= self._due_ns.get(kind, 0):
                self._say(kind, now)

    def flush(self) -> None:
        """Say what is still waiting, due or not."""
        now = self._clock.now().monotonic_ns
        for kind in list(self._waiting):
            self._say(kind, now)

    def _say(self, kind: Kind, now: int) -> None:
        reason, traffic_class, route = kind
        count = self._waiting.pop(kind)
        self._audit.record("refused", reason=reason, route=route, count=count, **{"class": traffic_class})
        if len(self._due_ns) >= _MOST_KINDS:
            self._due_ns.clear()
        self._due_ns[kind] = now + _INTERVAL_NS
