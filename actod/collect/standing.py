"""How the session with the broker fares: one word for the status, an event for the audit log, a line for the operator."""

from __future__ import annotations

from collections.abc import Callable

import structlog

_TAKEN_OVER = "mqtt:taken_over"

_log = structlog.get_logger(__name__)


class Standing:
    """`state` is connecting, connected, away:<reason>, mqtt:taken_over, intake:full or subscription_refused."""

    def __init__(self, *, client_id: str, on_event: Callable[..., None]) -> None:
        self._client_id, self._on_event = client_id, on_event
        self.state = "connecting"

    @property
    def is_taken_over(self) -> bool:
        """Whether another client has our session."""
        return self.state == _TAKEN_OVER

    def connected(self, *, session_kept: bool, session_lost: bool) -> None:
        """Note that the broker accepted; a session is lost where there was one and the broker knows of none."""
        self.state = "connected"
        self._on_event("broker.connected", session_present=session_kept)
        _log.info("The broker is connected.", session_present=session_kept)
        if session_lost:
            _log.warning("The broker has forgotten our session: how much it kept for us, nobody can tell any more.")

    def away(self, reason: str, detail: str) -> None:
        """Note that no connection came about. It is told once for each reason."""
        state = f"away:{reason}"
        if self.state != state:
            self.state = state
            self._on_event("broker.away", reason=reason)
            _log.warning("The broker is away; it is tried again.", reason=reason, detail=detail)

    def lost(self, code: int) -> None:
        """Note that a connection ended."""
        self.state = "away:lost"
        self._on_event("broker.lost", code=code)

    def taken_over(self, *, told: bool) -> None:
        """Note that another client uses our id: by the broker's word, or since each session ends as soon as it began."""
        self.state = _TAKEN_OVER
        self._on_event("broker.taken_over", client_id=self._client_id, told=told)
        _log.error(
            "Another client uses our client id and has our session; it is left to it for a while. Give each its own id.",
            client_id=self._client_id,
            told_by_the_broker=told,
        )

    def full(self) -> None:
        """Note that we left on purpose, since there is no room."""
        self.state = "intake:full"
        self._on_event("intake.full")

    def subscription_refused(self) -> None:
        """Note that the broker does not let us see what a route needs; the subscriber has told of it."""
        self.state = "subscription_refused"

    def stopped(self) -> None:
        """Note the orderly end."""
        self._on_event("broker.disconnected", why="stopped")
