"""What was counted since the opening and stands nowhere else: the store keeps only losses that no bundle carried yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from actod.store.chunk import Chunk

OWN_ROUTES = frozenset({"_store", "_outbox"})  # what was lost behind the journal; the rest was refused before it
_TOLD_AGAIN = "_ledger"  # what the ledger of a dropped bundle had told: these messages were counted before


class Tally:
    """Counts. Used by the store's thread; `copy` is for the others."""

    def __init__(self) -> None:
        self.losses: Counter[tuple[str, str, str]] = Counter()  # by (reason, traffic class, route), as in the ledger
        self.redactions: Counter[str] = Counter()  # by type of finding
        self.masked_messages = 0
        self._open: Counter[tuple[str, str, str]] = Counter()

    def begin(self) -> None:
        """Forget what a transaction that was rolled back had counted."""
        self._open.clear()

    def lose(self, reason: str, route: str, traffic_class: str, count: int) -> None:
        """Count a loss of the transaction that is open."""
        if route != _TOLD_AGAIN:
            self._open[reason, str(traffic_class), route] += count

    def commit(self) -> None:
        """Take over what the open transaction counted."""
        self.losses.update(self._open)
        self._open.clear()

    def damaged(self, messages: int | None) -> None:
        """Count what a repair entered in the ledger itself; None if it does not know how many."""
        if messages is None:
            self.losses["damaged_unknown", "normal", "_store"] += 1
        elif messages:
            self.losses["damaged", "normal", "_store"] += messages

    def journaled(self, chunks: Iterable[Chunk]) -> None:
        """Count what was masked in chunks that are durable."""
        for chunk in chunks:
            self.masked_messages += chunk.masked_events
            self.redactions.update(chunk.masked)

    def copy(self) -> Tally:
        """Return what stands now."""
        copied = Tally()
        copied.losses, copied.redactions = Counter(self.losses), Counter(self.redactions)
        copied.masked_messages = self.masked_messages
        return copied
