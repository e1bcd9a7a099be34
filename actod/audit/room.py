"""The log's share of the state folder: how much it takes of it, and who may use the rest. Guarded by the log's lock."""

from __future__ import annotations

_SIXTEENTHS = 16  # of the share: two are kept for sealing, one for receipts, which free the rest
_LINES_SHARE = 64  # of the share: what stays free for lines while a file is compressed
COLLECTING, SEALING = 2, 1  # sixteenths that stay free


class Room:
    """Counts the bytes of ended files; those of the open one are given with each question. No share is no limit."""

    def __init__(self, share_bytes: int | None) -> None:
        self._share_bytes, self.closed_bytes = share_bytes, 0

    def is_left(self, open_bytes: int, *, keep: int) -> bool:
        """Whether there is room for more, where so many sixteenths stay free."""
        share = self._share_bytes
        return share is None or self.closed_bytes + open_bytes <= share - share * keep // _SIXTEENTHS

    def to_compress(self, open_bytes: int) -> int | None:
        """Return how many bytes a compressed file may take beside the plain one; None without a limit."""
        share = self._share_bytes
        return None if share is None else share - share // _LINES_SHARE - self.closed_bytes - open_bytes
