"""What stands inside each handshake: the pins in force, the report-only time, and what the server's chain looked like.

Report-only is a weakening, so whatever is doubtful ends it: it holds only while a synchronised clock says that its last
day has not come, and that this day is at most 90 days away. A board that woke up in 1970 enforces.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from actod.ports import AuditLog, Clock
from actod.submit.pins import PinMismatchError, PinsEndedError, check_chain

_LONGEST_REPORT_ONLY = timedelta(days=90)  # one that ends in 2099 would be a switch that turns pins off

_log = structlog.get_logger(__name__)


class PinGuard:
    """Checks chains. `chain` is the newest that was let through (DER, leaf first), for warnings about it."""

    def __init__(
        self, *, pins: frozenset[str], report_only_until: datetime | None, clock: Clock, audit: AuditLog | None
    ) -> None:
        self._clock, self._audit, self._report_only_until = clock, audit, report_only_until
        self._told: tuple[str, ...] = ()
        self.pins = pins
        self.expires: datetime | None = None
        self.chain: tuple[bytes, ...] = ()

    @property
    def report_only(self) -> bool:
        """Whether a chain without a pinned key is let through, and told of, at this moment."""
        now, until = self.trusted_now(), self._report_only_until
        return now is not None and until is not None and until - _LONGEST_REPORT_ONLY <= now < until

    @property
    def ended(self) -> bool:
        """Whether the pins are no pins any more, by a clock that can be trusted."""
        now = self.trusted_now()
        return self.expires is not None and now is not None and now >= self.expires

    def trusted_now(self) -> datetime | None:
        """Return the time in UTC, None where nobody vouches for the clock."""
        return trusted_time(self._clock)

    def hold_to(self, pins: frozenset[str], *, expires: datetime | None) -> None:
        """Take other pins, from the next handshake on. After `expires` they are no pins any more."""
        self.pins, self.expires = pins, expires

    def check(self, chain: Sequence[bytes]) -> None:
        """Let a validated chain through, or raise PinMismatchError. Called inside the handshake."""
        ended = self.ended
        try:
            check_chain(chain, frozenset() if ended else self.pins)
        except PinMismatchError as mismatch:
            if not self.report_only:
                raise PinsEndedError(mismatch.seen) if ended else mismatch from None
            self._tell(mismatch.seen)
        self.chain = tuple(chain)

    def _tell(self, seen: tuple[str, ...]) -> None:
        """Say once for each new sight what would have been refused."""
        if seen != self._told:
            self._told = seen
            if self._audit is not None:
                self._audit.record("pins.would_refuse", seen=list(seen[:8]))
            _log.warning("No certificate of the server's chain is pinned; report-only lets it through.", seen=list(seen))


def trusted_time(clock: Clock) -> datetime | None:
    """Return the time in UTC of a clock that is synchronised, None for any other."""
    return datetime.fromtimestamp(clock.now().wall_ns / 1e9, UTC) if clock.synchronised() is True else None
