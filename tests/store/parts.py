"""What the store's tests share: a clock that is set by hand, an audit log that remembers, envelopes without a token."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from actod.config import SealConfig, StoreConfig
from actod.errors import TransientError
from actod.model import Bundle, Envelope, Group, Instant, MaskedReading, Receipt, Stream, TrafficClass
from actod.proof.envelope import iso
from actod.store.sqlite import SqliteStore

SEAL = SealConfig(max_events=10, max_bytes=2000, max_age_seconds=30)
ROBOT = Stream("r-1", "task", "run", TrafficClass.NORMAL)
DEVICE = Stream(None, "actod", None, TrafficClass.NORMAL)
STOP = Stream("r-1", "task", "run", TrafficClass.INTERVENTION)


class HandClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.wall_ns, self.monotonic_ns, self.boot = 1_700_000_000_000_000_000, 10_000_000_000, 1

    def now(self) -> Instant:
        return Instant(self.wall_ns, self.monotonic_ns)

    def boot_id(self) -> str:
        return f"00000000-0000-0000-0000-{self.boot:012}"

    def synchronised(self) -> bool | None:
        return True

    def advance(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.monotonic_ns += int(seconds * 1e9)

    def reboot(self) -> None:
        self.boot += 1
        self.monotonic_ns = 1_000_000_000


class RememberedLog:
    """Stands for the audit log: merges checkpoint lines as it does; can be told that its disk is full."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.full = False

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        if self.full:
            raise TransientError("audit_full")
        self.lines.append((event, dict(fields)))
        for name, value in fields.items():
            self.known[name] = self.known.get(name, {}) | value if isinstance(value, dict) else value


OPENED: list[SqliteStore] = []  # closed after each test: a test may end where a process would have been killed


def open_store(folder: Path, *, clock: HandClock, log: RememberedLog, **changes: Any) -> SqliteStore:
    arguments = {"seal": SEAL, "store": StoreConfig(), "known": log.known} | changes
    OPENED.append(SqliteStore(folder=folder, clock=clock, witness=log, **arguments))
    return OPENED[-1]


def event(number: int, *, size: int = 0, stamp: str = "2026-01-01T00:00:00Z") -> bytes:
    return b'{"data":{"n":%d,"pad":"%b"},"topic":"robot/state","ts":"%b"}' % (number, b"x" * size, stamp.encode())


def numbers(events: bytes) -> list[int]:
    return [int(part.partition(b",")[0].partition(b"}")[0]) for part in events.split(b'{"data":{"n":')[1:]]


def reading(number: int, stream: Stream = ROBOT, *, clock: HandClock, **changes: Any) -> MaskedReading:
    size = changes.pop("size", 0)
    stamp = changes.pop("stamp", "2026-01-01T00:00:00Z")
    return MaskedReading(stream, event(number, size=size, stamp=stamp), {"email": 1}, clock.now(), **changes)


def group(values: Iterable[int], stream: Stream = ROBOT, *, clock: HandClock, **changes: Any) -> Group:
    return Group(readings=[reading(value, stream, clock=clock, **changes) for value in values])


def sealed(bundle: Bundle) -> Envelope:
    """Make what a sealer would, unsigned: the events stand in it as they are."""
    previous = f'"{bundle.previous}"' if bundle.previous else "null"
    lines = [[loss.reason, loss.count] for loss in bundle.loss]
    head = f'{{"payload":{{"device_seq":{bundle.device_seq},"loss":{str(lines).replace(chr(39), chr(34))},"seq":{bundle.seq}'
    said = f'"meta":{orjson.dumps({"actod": _meta(bundle)}).decode()},"subject":{orjson.dumps(_subject(bundle)).decode()}'
    body = f'{head},"previous":{previous},{said},"events":['.encode() + bundle.events + b']},"signature":"none"}'
    payload_hash = hashlib.sha256(body).hexdigest()
    proof_id = hashlib.sha256(payload_hash.encode()).hexdigest()[:32]
    return Envelope(proof_id, payload_hash, body, bundle.stream.traffic_class)


def sealed_as_sent(bundle: Bundle, *, audit: str = "0" * 64) -> Envelope:
    """Make an envelope with the members that the command line reads, unsigned."""
    meta = f'{{"actod":{{"audit":"{audit}","seq":{bundle.device_seq}}}}}'
    body = f'{{"payload":{{"meta":{meta},"telemetry_normalized":{{"events":['.encode() + bundle.events + b"]}}}"
    payload_hash = hashlib.sha256(body).hexdigest()
    proof_id = hashlib.sha256(payload_hash.encode()).hexdigest()[:32]
    return Envelope(proof_id, payload_hash, body, bundle.stream.traffic_class)


def _subject(bundle: Bundle) -> dict[str, Any]:
    stream = bundle.stream
    return {"task_id": stream.task_id, "robot_id": stream.robot_id, "run_id": stream.run_id}


def _meta(bundle: Bundle) -> dict[str, Any]:
    first, last = iso(bundle.first_received_wall_ns), iso(bundle.last_received_wall_ns)
    return {
        "class": bundle.stream.traffic_class,
        "received": {"first": first, "last": last, "boot_id": bundle.boot_id},
        "marks": {word: list(indexes) for word, indexes in bundle.marks.items()},
        "masked": dict(bundle.masked),
        "replaces": bundle.replaces,
        "loss": [
            {
                "reason": line.reason,
                "class": line.traffic_class,
                "route": line.route,
                "count": line.count,
                "first": iso(line.first_wall_ns),
                "last": iso(line.last_wall_ns),
            }
            for line in bundle.loss
        ],
    }


def receipt(envelope: Envelope) -> Receipt:
    return Receipt(envelope.proof_id, 1_700_000_001_000_000_000, "Tue, 14 Nov 2023 22:13:21 GMT")
