"""A bundle that is too large for the collector, taken apart again: what stood in the journal before it was sealed. Pure.

Its readings keep their numbers. Its marks and its lines of the loss ledger are read back from its own envelope, and the
stream names it, so that the smaller bundles do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from actod.model import Envelope, Loss, Stream, TrafficClass
from actod.store.chunk import Chunk

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def returned(
    envelope: Envelope,
    *,
    chunks: Sequence[tuple[int, int]],
    bodies: Sequence[bytes],
    max_events: int,
    max_bytes: int,
) -> tuple[list[Chunk], list[Loss]] | None:
    """Return the chunks to journal, none above the limits but for a single event, and the ledger lines to give back.

    `chunks` are (number, count) of the bundle's, `bodies` their events. None if the bundle cannot be cut: it holds one
    reading, or does not say of itself what it must.
    """
    try:
        payload = orjson.loads(envelope.body)["payload"]
        made = _Return(payload, envelope.payload_hash, max_events=max_events, max_bytes=max_bytes)
        losses = [_loss(line) for line in payload["meta"]["actod"]["loss"]]
        for (number, count), body in zip(chunks, bodies, strict=True):
            events = [orjson.dumps(event, option=orjson.OPT_SORT_KEYS) for event in orjson.loads(b"[" + body + b"]")]
            if len(events) != count or b",".join(events) != body:
                return None
            made.add(number, events)
    except (KeyError, TypeError, ValueError):
        return None
    return (made.chunks, losses) if made.position > 1 else None


class _Return:
    """Cuts events into chunks, in their order; `position` is how many were added."""

    def __init__(self, payload: Any, payload_hash: str, *, max_events: int, max_bytes: int) -> None:
        meta, subject = payload["meta"]["actod"], payload["subject"]
        names = [payload_hash, *(meta["replaces"] or "").split()]
        stream = (subject["robot_id"], subject["task_id"], subject["run_id"])
        self.stream = Stream(*stream, TrafficClass(meta["class"]), " ".join(names))
        self.boot_id = str(meta["received"]["boot_id"])
        self.first, self.last = (_wall_ns(meta["received"][end]) for end in ("first", "last"))
        self.marks = {str(word): frozenset(indexes) for word, indexes in meta["marks"].items()}
        self.masked = {str(kind): int(count) for kind, count in meta["masked"].items()}
        self.max_events, self.max_bytes = max_events, max_bytes
        self.chunks: list[Chunk] = []
        self.position = 0

    def add(self, number: int, events: Sequence[bytes]) -> None:
        """Add the events of one chunk, the first of which has `number`; they share no chunk with those of another."""
        chunk: Chunk | None = None
        for index, event in enumerate(events):
            full = chunk is not None and (
                len(chunk.events) >= self.max_events or chunk.size + 1 + len(event) > self.max_bytes
            )
            if chunk is None or full:
                chunk = Chunk(number + index, self.stream, self.boot_id, self.first, 0, self.last)
                chunk.masked, self.masked = self.masked, {}  # which events they were in, the envelope does not say
                self.chunks.append(chunk)
            for word, indexes in self.marks.items():
                if self.position in indexes:
                    chunk.marks.setdefault(word, []).append(len(chunk.events))
            chunk.events.append(event)
            chunk.size += 1 + len(event)
            self.position += 1


def _loss(line: Any) -> Loss:
    walls = (_wall_ns(line["first"]), _wall_ns(line["last"]))
    return Loss(str(line["reason"]), str(line["class"]), str(line["route"]), int(line["count"]), *walls)


def _wall_ns(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) * 1000
