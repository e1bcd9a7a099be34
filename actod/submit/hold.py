"""What stands before each request of the daemon to the collector: open, or held by an operator for an incident."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import structlog

from actod.errors import TransientError
from actod.submit.incident import LOCK, Action, Incident, note, read_incident, told

REASON = "incident_locked"
_ENDS_SECONDS = 5.0  # for requests that are broken off: nothing of them is sent any more, whatever their ends take

_log = structlog.get_logger(__name__)


class Hold:
    """Lets requests pass or not; for the loop's thread. `incident` is what is in force, as the file in `folder` says.

    Locking breaks off what is under way: the collector may have it or not, as after a cut cable, and gets it again later.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._under_way: dict[asyncio.Timeout, list[Callable[[], None]]] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._one = asyncio.Lock()
        self.telling = asyncio.Lock()  # whoever tells of an action
        self.told_of: set[Action] = set()  # by the audit log; the chain may not have them yet
        self._unwritten: Action | None = None  # a lock that is not on disk: the disk refuses
        self.incident = Incident()
        self._take(read_incident(folder))

    @property
    def locked(self) -> bool:
        """Whether nothing may be sent."""
        return self.incident.locked

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[list[Callable[[], None]]]:
        """Make a request inside. Raises TransientError(REASON) if it may not begin, or was broken off.

        What is put into the list is called before it is broken off: then there still is a socket.
        """
        if self.locked:
            raise TransientError(REASON)
        scope = asyncio.timeout(None)
        try:
            async with scope:
                at_a_lock = self._under_way[scope] = []
                self._quiet.clear()
                yield at_a_lock
        except TimeoutError:
            if not scope.expired():
                raise
            raise TransientError(REASON, "broken off") from None
        finally:
            self._under_way.pop(scope, None)
            if not self._under_way:
                self._quiet.set()

    async def act(self, action: Action) -> None:
        """Lock or unlock, durably, with nothing under way any more. Raises TransientError("incident_unwritten").

        Then a lock holds all the same, and is written as soon as that can be.
        """
        async with self._one:
            if action.action == LOCK:
                self._take(replace(self.incident, locked=True, reason=action.reason))
            try:
                self._take(await asyncio.to_thread(note, self._folder, action))
                self._unwritten = None
            except OSError as exc:
                self._unwritten = action if action.action == LOCK else self._unwritten
                held = "locked, but not over a restart yet" if action.action == LOCK else "nothing has changed"
                raise TransientError("incident_unwritten", f"{exc.strerror}: {held}; make room on the disk") from exc
        try:
            async with asyncio.timeout(_ENDS_SECONDS):
                await self._quiet.wait()
        except TimeoutError:
            return

    async def told(self, action: Action) -> None:
        """Note that the device's chain has an action. Raises TransientError, and it will be told again."""
        async with self._one:
            try:
                self._take(await asyncio.to_thread(told, self._folder, action))
            except OSError as exc:
                raise TransientError("incident_unwritten", exc.strerror or "") from exc
        self.told_of.discard(action)

    async def refresh(self) -> None:
        """Take what was done to the file beside us: by a command that reached no daemon."""
        async with self._one:
            if self._unwritten is None:
                self._take(await asyncio.to_thread(read_incident, self._folder))
                return
            with suppress(OSError):
                self._take(await asyncio.to_thread(note, self._folder, self._unwritten))
                self._unwritten = None

    def _take(self, incident: Incident) -> None:
        before, self.incident = self.incident, incident
        if incident.locked:
            now = asyncio.get_running_loop().time()
            for scope, at_a_lock in self._under_way.items():
                for each in at_a_lock:
                    each()
                if not scope.expired():
                    scope.reschedule(now)
        if incident.locked and not before.locked:
            _log.warning("Submission is locked for an incident; collecting goes on.", reason=incident.reason)
        elif before.locked and not incident.locked:
            _log.info("Submission is unlocked and goes on.", reason=incident.reason)
