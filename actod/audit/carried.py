"""Which heads of the log left in bundles, and which of them the collector confirmed. In memory; no I/O."""

from __future__ import annotations

from dataclasses import dataclass

_MOST = 1024  # heads without a receipt; beyond it every second one is forgotten, since its neighbour vouches for as much


@dataclass(frozen=True, slots=True)
class Carried:
    """Line `n`, written at this time, left in a bundle that the collector confirmed on `date`, by its own clock."""

    n: int
    head: str
    at: str
    proof_id: str
    date: str | None


class HeadsOut:
    """Remembers the heads that were handed out, until a receipt covers them. Guarded by the log's lock."""

    def __init__(self) -> None:
        self._out: dict[str, tuple[int, str]] = {}
        self.newest: Carried | None = None

    def give(self, head: str, n: int, at: str) -> None:
        """Hand out the head of line `n`."""
        if n:
            self._out[head] = (n, at)
            if len(self._out) > _MOST:
                self._out = dict(list(self._out.items())[1::2])

    def confirm(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Take the receipt of a bundle. A head of an earlier process is passed over: a newer one vouches for more."""
        n, at = self._out.get(head, (0, ""))
        if n > (self.newest.n if self.newest else 0):
            self.newest = Carried(n, head, at, proof_id, date)
            self._out = {given: place for given, place in self._out.items() if place[0] > n}
