"""The AuditLog port in memory, for tests of the parts that write to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Audit:
    """Keeps each line as (event, fields)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def record(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def witness(self, event: str, fields: Mapping[str, Any]) -> None:
        self.lines.append((event, dict(fields)))

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Nobody asks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """There is always room."""

    def head(self) -> str:
        return "c" * 64
