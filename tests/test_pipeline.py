"""The main path around parts that fail: what is waited for, what is sealed away, and what must not stand in the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from actod import pipeline
from actod.errors import RejectedError, TransientError
from actod.model import Delivery, Instant, MaskedReading, Reading, Stream, TrafficClass

STREAM = Stream("r-1", "idle", None, TrafficClass.NORMAL)


def delivery(payload: bytes) -> Delivery:
    return Delivery(
        topic="site/notes",
        payload=payload,
        qos=1,
        packet_id=1,
        connection=1,
        duplicate=False,
        retained=False,
        received=Instant(1_700_000_000_000_000_000, 1),
    )


class Parts:
    """Everything that `collect` needs, in memory. `refusals` and `losses` count; `disk` says how often it refuses."""

    def __init__(self, *payloads: bytes, disk: int = 0) -> None:
        self.payloads, self.disk = payloads, disk
        self.done: list[Any] = []
        self.threads: dict[int, str] = {}

    async def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        yield [delivery(payload) for payload in self.payloads]

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.done.append(("acknowledged", len(deliveries)))

    def route(self, one: Delivery) -> Any:
        if one.payload == b"bad":
            raise RejectedError("not_json")
        return SimpleNamespace(payload=one.payload, route="notes", traffic_class="normal")

    def describe(self, _topic: str) -> tuple[str, str]:
        return "notes", "normal"

    def new_identities(self) -> dict[str, str]:
        return {}

    def mask(self, reading: Reading) -> MaskedReading:
        payload: bytes = reading.payload  # type: ignore[attr-defined]
        if payload == b"defect":
            raise RejectedError("mask_failed")
        self.threads[len(payload)] = threading.current_thread().name
        return MaskedReading(STREAM, b"{}", {}, Instant(1, 1))

    def keep(self, one: Delivery) -> bool:
        self.done.append(("sealed", one.payload))
        return True

    def admit(self, reading: Reading) -> None:
        pass

    def finish(self, _reading: Reading, masked: MaskedReading) -> MaskedReading:
        return masked

    async def secure(self) -> None:
        pass

    def memory(self) -> dict[str, Any]:
        return {}

    def beat(self) -> None:
        """Be the pulse."""

    rest = beat

    async def commit(self, group: Any) -> None:
        if self.disk:
            self.disk -= 1
            raise TransientError("disk_full")
        self.done.append(("committed", len(group.readings), dict(group.refusals)))

    def count(self, refusals: Any) -> None:
        self.done.append(("counted", sum(refusals.values())))

    def require_room(self, *, sealing: bool = False) -> None:
        assert not sealing

    def record(self, event: str, **fields: Any) -> None:
        self.done.append((event, fields))


def collect(parts: Any) -> list[Any]:
    roles = {
        "source": parts,
        "router": parts,
        "admission": parts,
        "masker": parts,
        "spool": parts,
        "audit": parts,
        "refusals": parts,
    }

    async def run() -> None:
        lock = asyncio.Lock()
        await pipeline.collect(**roles, losses=(), vault=parts, largest_event_bytes=500, pulse=parts, admitting=lock)

    asyncio.run(run())
    return list(parts.done)


def test_a_message_that_cannot_be_masked_is_sealed_before_its_refusal_is_committed_and_others_are_not() -> None:
    assert collect(Parts(b"good", b"defect", b"bad")) == [
        ("sealed", b"defect"),
        ("counted", 2),
        ("committed", 1, {("mask_failed", "normal", "notes"): 1, ("not_json", "normal", "notes"): 1}),
        ("acknowledged", 3),
    ]


def test_a_large_message_is_masked_beside_the_loop_and_a_small_one_on_it() -> None:
    parts = Parts(b"x" * 100, b"x" * 100_000)
    collect(parts)
    assert parts.threads[100] == threading.main_thread().name
    assert parts.threads[100_000] != threading.main_thread().name


def test_nothing_is_acknowledged_while_the_disk_refuses_and_the_audit_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "_RETRY_SECONDS", 0.001)
    assert collect(Parts(b"good", disk=3)) == [
        ("store.blocked", {"reason": "disk_full"}),
        ("committed", 1, {}),
        ("store.resumed", {"reason": "disk_full"}),
        ("acknowledged", 1),
    ]
