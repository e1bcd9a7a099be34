"""A message that two filters match comes twice: once is enough. Pure: time is passed in.

Filters that only cross (`a/+` and `+/b`) each bring a message that both match; the broker names the subscription of each
copy by its identifier (MQTT 5, 3.8.2.1.2). The n-th message of a content under one filter is the n-th under the other: the
first copy of each is taken, whichever filter brings it. A broker that drops one of the copies thus costs nothing, unless
contents repeat within seconds and it drops now the one filter's copy and then the other's.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

_MOST = 4096  # contents; the oldest is forgotten: its second copy would pass for a message
_PATIENCE_NS = 10_000_000_000  # within which the copies of a message come; equal contents later are new messages


@dataclass(slots=True)
class _Seen:
    counts: Counter[int] = field(default_factory=Counter)
    taken: int = 0
    last_ns: int = 0


class Copies:
    """Tells copies from messages on one connection."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()

    def is_copy(self, topic: str, payload: bytes, identifiers: Sequence[int], now_ns: int) -> bool:
        """Whether another filter brought this message already. `identifiers` are those of the filters that bring it now."""
        if not identifiers:
            return False
        key = hashlib.blake2b(payload, key=hashlib.sha256(topic.encode("utf-8", "replace")).digest()).digest()
        seen = self._seen.get(key)
        if seen is None or now_ns - seen.last_ns > _PATIENCE_NS:
            seen = self._seen[key] = _Seen()
        self._seen.move_to_end(key)
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        seen.last_ns = now_ns
        seen.counts.update(identifiers)
        most = max(seen.counts[identifier] for identifier in identifiers)
        if most <= seen.taken:
            return True
        seen.taken = most
        return False

    def forget(self) -> None:
        """Note a new connection: what was not acknowledged on the old one comes again."""
        self._seen.clear()
