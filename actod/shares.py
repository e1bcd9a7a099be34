"""How the hard cap on the state folder is divided, so that its parts together never pass it. Arithmetic only.

    max_bytes = 2 x database + wal + audit + contents + vault + rest

The database counts twice because a repair builds a new file before it gives up the damaged one; between repairs the
second half holds what was set aside as damaged. `contents` are those of which the chain holds a commitment; `rest` is for
keys, locks, sockets, the WAL's index and folders.
"""

from __future__ import annotations

from dataclasses import dataclass

TRANSACTION_BYTES = 64 * 1024  # what a commit writes beside its readings: rows, counters, the redelivery window
_MIB = 1024 * 1024
_LONG_LINE_BYTES = 16 * 1024  # a file ends behind the line that fills it


@dataclass(frozen=True, slots=True)
class Shares:
    """Bytes for each part of the state folder. `archive` and `quarantine` lie inside `database`.

    `transaction` is the most that one transaction may bring to the WAL; a larger commit group is written in parts.
    """

    database: int
    archive: int
    quarantine: int
    wal: int
    transaction: int
    audit: int
    contents: int
    vault: int

    @property
    def largest_event(self) -> int:
        """Return how long an event may be that one transaction takes in any case."""
        return self.transaction - TRANSACTION_BYTES

    @classmethod
    def of(cls, max_bytes: int) -> Shares:
        """Divide the cap."""
        audit, contents, vault, rest = max_bytes // 8, max_bytes // 16, max_bytes // 32, max_bytes // 32
        wal = min(max(max_bytes // 32, 2 * _MIB), max_bytes // 4)
        database = (max_bytes - wal - audit - contents - vault - rest) // 2
        return cls(
            database=database,
            archive=database // 4,
            quarantine=database // 8,
            wal=wal,
            transaction=wal * 3 // 10,
            audit=audit,
            contents=contents,
            vault=vault,
        )

    @property
    def audit_limits(self) -> tuple[int, int]:
        """Return the most bytes of one file of the audit log, and of all that a receipt covers.

        What is left of the share is for what no receipt covers yet: a file goes only once one does.
        """
        return self.audit // 8 - _LONG_LINE_BYTES, self.audit * 5 // 8
