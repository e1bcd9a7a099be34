"""Refusals in the audit log: the first of its kind at once, then one line a minute with the count. Never one a message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from actod.ports import AuditLog, Clock

_INTERVAL_NS = 60 * 1_000_000_000
_MOST_KINDS = 512
_OVERFLOW = ("_more", "_more", "_more")  # reasons, classes and routes are configured or fixed words; this is the backstop

Kind = tuple[str, str, str]


class RefusalSummary:
    """Counts refusals by (reason, traffic class, route) and audits them at that pace. Used by one thread."""

    def __init__(self, *, audit: AuditLog, clock: Clock) -> None:
        self._audit, self._clock = audit, clock
        self._due_ns: dict[Kind, int] = {}
        self._waiting: Counter[Kind] = Counter()

    def count(self, refusals: Mapping[Kind, int]) -> None:
        """Take the refusals of one commit group before it is committed: its witness makes these lines durable."""
        for kind, number in refusals.items():
            known = kind in self._due_ns or len(self._due_ns) + len(self._waiting) < _MOST_KINDS
            self._waiting[kind if known else _OVERFLOW] += number
        self.tick()

    def tick(self) -> None:
        """Say what is due. For a timer of some seconds: the last count of a burst must not wait for the next burst."""
        if self._waiting:
            now = self._clock.now().monotonic_ns
            for kind in [kind for kind in self._waiting if now >= self._due_ns.get(kind, now)]:
                self._say(kind, now)

    def flush(self) -> None:
        """Say what is still waiting, due or not: at the end."""
        now = self._clock.now().monotonic_ns
        for kind in list(self._waiting):
            self._say(kind, now)

    def _say(self, kind: Kind, now: int) -> None:
        reason, traffic_class, route = kind
        self._audit.record("refused", reason=reason, route=route, count=self._waiting.pop(kind), **{"class": traffic_class})
        self._due_ns[kind] = now + _INTERVAL_NS
