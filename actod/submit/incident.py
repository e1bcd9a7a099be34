"""An operator's stop of submission, as a file in the state folder: it holds over restarts and power cuts.

Invariants:
1. While the file says so, or is there and cannot be read, nothing is submitted: what is in doubt is locked.
2. An action stands in the file, on disk, before it is told of, and until the device's chain has it: it may be told twice,
   never not at all.
3. Daemon and command line change it one after the other, under an flock(2) on the folder.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from actod.durable import alone, sync_folder, write_whole
from actod.errors import RejectedError
from actod.submit.verdict import VERDICTS

FILE = "incident.json"
LOCK, UNLOCK = "lock", "unlock"
_WORD = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator did: `action` is lock or unlock, `reason` a word of his, `at` the wall clock's word, `uid` his."""

    action: str
    reason: str
    at: str
    uid: int

    def __post_init__(self) -> None:
        """Refuse what is none. Raises RejectedError."""
        if self.action not in {LOCK, UNLOCK} or not _WORD.match(self.reason):
            raise RejectedError("reason_malformed", "a reason is one word of up to 64 of a-z, 0-9, '_', '.', ':' and '-'")


@dataclass(frozen=True, slots=True)
class Incident:
    """Where it stands, and the actions that the device's chain does not have yet, oldest first."""

    locked: bool = False
    reason: str = ""
    since: str = ""
    untold: tuple[Action, ...] = ()

    @property
    def told(self) -> str:
        """Say in one line why nothing leaves, and what to do."""
        since = f" since {self.since[:19]}" if self.since else ""
        return f"blocked:incident ({self.reason}{since}): {VERDICTS['incident_locked'].remedy}"


def read_incident(folder: Path) -> Incident:
    """Return what the file says; no file is no incident, one that cannot be read is a locked one."""
    try:
        kept: dict[str, Any] = orjson.loads((folder / FILE).read_bytes())
        untold = tuple(Action(**each) for each in kept["untold"])
        return Incident(kept["locked"] is not False, str(kept["reason"]), str(kept["since"]), untold)
    except FileNotFoundError:
        return Incident()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RejectedError):
        return Incident(locked=True, reason="file_damaged")


def note(folder: Path, action: Action) -> Incident:
    """Take an action, durably; return where it stands then. Raises OSError."""
    with alone(folder):
        before = read_incident(folder)
        locked, reason, since = action.action == LOCK, action.reason, action.at
        if locked and before.locked and before.since:
            since = before.since
        return _write(folder, Incident(locked, reason, since, (*before.untold, action)))


def told(folder: Path, action: Action) -> Incident:
    """Forget an action that the device's chain has. Raises OSError."""
    with alone(folder):
        before = read_incident(folder)
        return _write(folder, replace(before, untold=tuple(each for each in before.untold if each != action)))


def _write(folder: Path, incident: Incident) -> Incident:
    if not incident.locked and not incident.untold:
        (folder / FILE).unlink(missing_ok=True)
        sync_folder(folder)
        return Incident()
    write_whole(folder / FILE, orjson.dumps(asdict(incident)))
    return incident
