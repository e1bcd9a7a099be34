"""What the broker says that it dropped: `$SYS/broker/publish/messages/dropped`, the whole broker's total.

An upper bound for us: it counts for every client. A counter that fell is a restart, and begins anew. The last value is
known over our own restarts: what was dropped while nobody was here is counted at the return.
"""

from __future__ import annotations

from collections import Counter

TOPIC = "$SYS/broker/publish/messages/dropped"


class BrokerDrops:
    """Turns the counter's changes into ledger entries (the LossCounter port)."""

    def __init__(self) -> None:
        self.last: int | None = None
        self._new = 0

    def see(self, text: str) -> None:
        """Take one value as the broker publishes it; anything but a number is ignored."""
        if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - 63 bits
            return
        value = int(text)
        if self.last is not None:
            self._new += value - self.last if value >= self.last else value
        self.last = value

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over the drops since the last call."""
        new, self._new = self._new, 0
        return Counter({("broker_dropped", "normal", "_broker"): new} if new else {})
