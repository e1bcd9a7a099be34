"""Retention: which of the log's files may go, and their removal.

Invariants, held by `tests/audit/test_retention.py` with a kill at each step:
1. Only the oldest file goes, one at a time, and only when it has ended and its last line, or one behind it, left in a bundle
   that the collector confirmed. `audit.carried` {carried_n, carried_hash, proof_id, date} says so, on disk.
2. Before a file goes, the device's chain says so (the caller's record, durable in the journal), then the log itself:
   `audit.removed` with the members of `Removal`, on disk.
3. It goes for its bytes, or for its days: those since the collector's `Date` on that receipt, by the collector's clock now.
   Where nobody vouches for the clock (`now` is None) days remove nothing.
A kill between record and removal brings the record once more; what one after `audit.removed` left, the next look ends.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from actod.audit.files import CARRIED, REMOVED, first_n, lines_with, log_files, parts_of, size_of, whole_lines
from actod.audit.log import AuditLog
from actod.audit.packing import pack, unpacked
from actod.config import AuditConfig
from actod.durable import sync_folder
from actod.errors import TransientError
from actod.proof.serverdate import is_older

_OF_FILES = b'"event":"audit.'  # lines about files and receipts begin their event so
_PAUSE = 12  # calls: a minute at the daemon's pace
_KEPT = 2  # files, whatever the limits say: the store's last full checkpoint is in one of them


@dataclass(frozen=True, slots=True)
class Removal:
    """A file that may go. `last_hash` is the head of the removed range; line `carried_n` left in bundle `proof_id`."""

    first_n: int
    last_n: int
    lines: int
    bytes: int
    last_hash: str
    why: str
    carried_n: int
    carried_hash: str
    proof_id: str
    date: str | None


class Retention:
    """Used by one thread at a time. Every method may raise TransientError("audit_full")."""

    def __init__(self, log: AuditLog, *, config: AuditConfig) -> None:
        self._log, self._config = log, config
        self._told: list[dict[str, Any]] = []  # the audit.carried lines, oldest first
        self._read = False
        self._left_plain: set[str] = set()  # what does not get smaller, or has another form that differs
        self._pause = 0  # calls of `pack` that do nothing
        self._removed = 0  # the last line that the log says is removed

    def pack(self) -> None:
        """Compress what has ended. What a full disk refuses is tried again at a later call."""
        self._pause -= 1
        if self._pause >= 0:
            return
        try:
            for file in unpacked(self._log.folder):
                if file.name not in self._left_plain:
                    self._pack(file)
        except OSError:
            self._pause = _PAUSE

    def _pack(self, file: Path) -> None:
        freed = pack(file, most_bytes=self._log.room_bytes())
        self._log.freed(freed)
        if not freed:
            self._left_plain.add(file.name)

    def due(self, now: datetime | None) -> Removal | None:
        """Return the oldest file's removal if it is due. `now` is the collector's time, None where it is not known."""
        try:
            files = log_files(self._log.folder)
            if not self._read:
                self._recall(files)
            while len(files) > 1 and first_n(files[1]) - 1 <= self._removed:  # a kill came before it was gone
                self._unlink(files.pop(0))
            self._tell_carried(files)
            return self._judge(files, now) if len(files) > _KEPT else None
        except OSError as exc:
            raise TransientError("audit_full", exc.strerror or "") from exc

    def remove(self, removal: Removal) -> None:
        """Say in the log that a file goes, and remove it."""
        self._log.witness(REMOVED, asdict(removal))
        try:
            self._unlink(log_files(self._log.folder)[0])
        except OSError as exc:
            raise TransientError("audit_full", exc.strerror or "") from exc
        finally:
            self._removed = removal.last_n

    def _recall(self, files: list[Path]) -> None:
        """Read what earlier processes said of receipts and removals."""
        lines = [line for file in files for line in lines_with(file, _OF_FILES)]
        self._removed = max((_number(line, "last_n") for line in lines if line["event"] == REMOVED), default=0)
        members = ("carried_n", "carried_hash", "proof_id", "date")
        self._told = [{name: line.get(name) for name in members} for line in lines if line["event"] == CARRIED]
        self._read = True

    def _tell_carried(self, files: list[Path]) -> None:
        """Say in the log that a receipt covers a file that ended, the first time that one does."""
        newest = self._log.newest_carried
        if newest is None:
            return
        ended = max((first_n(file) - 1 for file in files[1:] if first_n(file) <= newest.n + 1), default=0)
        if ended > max((_number(line, "carried_n") for line in self._told), default=0):
            said = {"carried_n": newest.n, "carried_hash": newest.head, "proof_id": newest.proof_id, "date": newest.date}
            self._log.witness(CARRIED, said)
            self._told.append(said)

    def _judge(self, files: list[Path], now: datetime | None) -> Removal | None:
        last_n = first_n(files[1]) - 1
        receipt = next((line for line in self._told if _number(line, "carried_n") >= last_n), None)
        if receipt is None:
            return None
        date = receipt["date"] if isinstance(receipt["date"], str) else None
        if sum(size_of(file) for file in files) > self._config.max_bytes:
            why = "bytes"
        elif now is not None and is_older(date, now, days=self._config.max_age_days):
            why = "days"
        else:
            return None
        following = next(whole_lines(files[1]), {})
        return Removal(
            first_n=first_n(files[0]),
            last_n=last_n,
            lines=last_n - first_n(files[0]) + 1,
            bytes=size_of(files[0]),
            last_hash=str(following.get("prev")),
            why=why,
            carried_n=_number(receipt, "carried_n"),
            carried_hash=str(receipt["carried_hash"]),
            proof_id=str(receipt["proof_id"]),
            date=date,
        )

    def _unlink(self, file: Path) -> None:
        size = size_of(file)
        for part in parts_of(file):
            part.unlink(missing_ok=True)
        sync_folder(file.parent)  # one by one: a power cut leaves no hole between two that were to go
        self._log.freed(size)


def _number(line: dict[str, Any], name: str) -> int:
    return line[name] if type(line.get(name)) is int else 0
