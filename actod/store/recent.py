"""What the broker delivered last, so that a redelivered message is known for one. Pure.

A broker that keeps our session sends an unacknowledged message again, under its packet id and with DUP set: after a
kill between commit and PUBACK the journal has it already. The last messages' (packet id, digest) stand in the store,
one small blob for each commit group; the window is the broker's in-flight window, twice over.
"""

from __future__ import annotations

import hashlib
from collections import deque

WINDOW = 400  # messages: twice the Receive Maximum that is set by default
_DIGEST_BYTES = 8
_ENTRY_BYTES = 2 + _DIGEST_BYTES
_STAMP = b',"ts":"'  # the last member of a canonical event; it may be our own time of arrival, so it is left out


class Recent:
    """The window. `seen` notes a message; `entries`, `commit` and `restore` move it to disk and back."""

    def __init__(self) -> None:
        self._groups: deque[tuple[int, bytes]] = deque()
        self._known: dict[bytes, int] = {}
        self._fresh: list[bytes] = []

    def seen(self, packet_id: int, event: bytes, *, duplicate: bool) -> bool:
        """Note one message of the group in hand; return whether a duplicate was delivered before."""
        end = event.rfind(_STAMP)
        entry = packet_id.to_bytes(2) + hashlib.sha256(event[:end] if end > 0 else event).digest()[:_DIGEST_BYTES]
        known = duplicate and (entry in self._known or entry in self._fresh)
        self._fresh.append(entry)
        return known

    def entries(self) -> bytes:
        """Return the entries of the group in hand as stored."""
        return b"".join(self._fresh)

    def forget(self) -> None:
        """Drop the group in hand: it was not committed."""
        self._fresh = []

    def keep(self, group: int) -> list[int]:
        """Take the group in hand, now durable under number `group`, into the window; return what fell out of it."""
        if self._fresh:
            self.restore(group, self.entries())
            self._fresh = []
        return self.trim()

    def trim(self) -> list[int]:
        """Return the numbers of the groups that the window no longer needs."""
        dropped = []
        while len(self._known) - len(self._groups[0][1]) // _ENTRY_BYTES >= WINDOW if len(self._groups) > 1 else False:
            group, entries = self._groups.popleft()
            dropped.append(group)
            for entry in _split(entries):
                if self._known.get(entry) == group:
                    del self._known[entry]
        return dropped

    def restore(self, group: int, entries: bytes) -> None:
        """Take a stored group into the window. Entries that are not whole are damage, and left out."""
        self._groups.append((group, entries))
        for entry in _split(entries):
            self._known[entry] = group


def _split(entries: bytes) -> list[bytes]:
    whole = len(entries) - len(entries) % _ENTRY_BYTES
    return [entries[start : start + _ENTRY_BYTES] for start in range(0, whole, _ENTRY_BYTES)]
