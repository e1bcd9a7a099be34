"""When to commit: the group is full, its oldest message has waited, or the broker waits for us. Pure.

A broker stops sending at its in-flight limit (mosquitto: 20) and goes on when it gets acknowledgements: then every
further millisecond of waiting is idle. Silence alone does not tell: at 100 messages a second there are 10 ms of it behind
each. So the limit is learnt: where messages arrive at once after an acknowledgement that followed a silence, the broker
had been waiting, and the number of messages then unacknowledged is its limit. More than that, once seen, raises it again.
"""

from __future__ import annotations

from actod.config import IntakeConfig

_AT_ONCE_NS = 5_000_000


class CommitWindow:
    """Told of each arrival and each acknowledgement (monotonic nanoseconds), answers when the next commit is due."""

    def __init__(self, intake: IntakeConfig, *, receive_maximum: int) -> None:
        self._interval_ns = intake.commit_interval_ms * 1_000_000
        self._quiet_ns = intake.quiet_ms * 1_000_000
        self._limit = receive_maximum
        self._outstanding = 0
        self._oldest_ns = 0
        self._newest_ns = 0
        self._suspect = 0
        self._acknowledged_ns = 0

    def arrived(self, now_ns: int, *, acknowledgeable: bool) -> None:
        """Note a message. `acknowledgeable` is true for QoS 1."""
        if self._suspect:
            if now_ns - self._acknowledged_ns <= _AT_ONCE_NS:
                self._limit = self._suspect
            self._suspect = 0
        if acknowledgeable:
            self._outstanding += 1
            self._limit = max(self._limit, self._outstanding)
        if not self._oldest_ns:
            self._oldest_ns = now_ns
        self._newest_ns = now_ns

    def taken(self) -> None:
        """Note that all that arrived was taken for a commit; what comes now waits anew."""
        self._oldest_ns = 0

    def acknowledged(self, now_ns: int, count: int) -> None:
        """Note that `count` PUBACKs are sent."""
        if count and self._outstanding < self._limit and now_ns - self._newest_ns >= self._quiet_ns and not self._oldest_ns:
            self._suspect, self._acknowledged_ns = self._outstanding, now_ns
        self._outstanding = max(0, self._outstanding - count)

    def reset(self) -> None:
        """Note a new connection: nothing is outstanding on it."""
        self._outstanding, self._suspect = 0, 0

    def due_ns(self) -> int | None:
        """Return the moment at which a commit is due; None while nothing waits."""
        if not self._oldest_ns:
            return None
        due = self._oldest_ns + self._interval_ns
        if self._outstanding >= self._limit:
            due = min(due, self._newest_ns + self._quiet_ns)
        return due
