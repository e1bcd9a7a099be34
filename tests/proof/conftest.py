"""Bundles and keys for the tests of the proof core: a software Ed25519 key, so that nothing here needs a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.model import Bundle, Envelope, Loss, PublicKeys, Stream, TrafficClass
from actod.proof import thumbprint
from actod.proof.canonical import canonical
from actod.proof.envelope import SealContext, assemble

Forge = Callable[..., Envelope]


def keys_of(signing_key: SigningKey, *, p256: str | None = None, kind: str = "software") -> PublicKeys:
    raw = bytes(signing_key.verify_key)
    return PublicKeys(ed25519=raw, ed25519_thumbprint=thumbprint.ed25519(raw), p256_thumbprint=p256, kind=kind)


def context_of(**changes: Any) -> SealContext:
    values: dict[str, Any] = {
        "boot_id": "6b7f3c1e-0000-4000-8000-000000000001",
        "clock": {"wall": "2026-01-02T03:04:05.678901+00:00", "monotonic_ms": 12345, "synchronised": None},
        "policy": "a" * 64,
        "config": "b" * 64,
        "audit": "c" * 64,
        "hash_alg": "sha256",
        "created_at": "2026-01-02T03:04:05.678901+00:00",
    }
    return SealContext(**(values | changes))


def bundle_of(events: list[Any], **changes: Any) -> Bundle:
    values: dict[str, Any] = {
        "device": "device-1",
        "epoch": 1,
        "seq": 1,
        "device_seq": 1,
        "previous": None,
        "stream": Stream("robot-1", "task-1", "run-1", TrafficClass.NORMAL),
        "events": b",".join(canonical(event) for event in events),
        "count": len(events),
        "first_received_wall_ns": 1_767_323_045_678_901_234,
        "last_received_wall_ns": 1_767_323_046_000_000_000,
        "boot_id": "6b7f3c1e-0000-4000-8000-000000000001",
        "marks": {"redelivered": (0,), "retained": ()},
        "masked": {"email": 2},
        "loss": (Loss("duplicate_key", "normal", "lidar", 3, 1_767_323_000_000_000_000, 1_767_323_001_000_000_000),),
    }
    return Bundle(**(values | changes))


@pytest.fixture
def signing_key() -> SigningKey:
    return SigningKey(bytes(range(32)))


@pytest.fixture
def forge(signing_key: SigningKey) -> Forge:
    """Make a signed envelope of a bundle with the given changes."""

    def make(*, events: list[Any] | None = None, key: SigningKey = signing_key, **changes: Any) -> Envelope:
        context = context_of(hash_alg=changes.pop("hash_alg", "sha256"))
        default = [{"data": {"speed": 1.5}, "topic": "a/b", "ts": "2026-01-02T03:04:05Z"}]
        unsigned = assemble(bundle_of(events or default, **changes), keys=keys_of(key), context=context).finish(None)
        return unsigned.sign(key.sign(unsigned.payload_hash.encode()).signature)

    return make


@pytest.fixture
def chains(forge: Forge) -> Callable[..., list[dict[str, Any]]]:
    """Make the parsed envelopes of a device: `robots` names the chain of each bundle in device order."""

    def make(robots: list[str | None], **changes: Any) -> list[dict[str, Any]]:
        heads: dict[str | None, tuple[int, str | None]] = {}
        result = []
        for device_seq, robot in enumerate(robots, 1):
            seq, previous = heads.get(robot, (0, None))
            envelope = forge(
                seq=seq + 1,
                previous=previous,
                device_seq=device_seq,
                stream=Stream(robot, "task", None, TrafficClass.NORMAL),
                **changes,
            )
            heads[robot] = (seq + 1, envelope.payload_hash)
            result.append(orjson.loads(envelope.body))
        return result

    return make
