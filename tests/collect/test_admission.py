"""What is admitted to the journal fits into a bundle of its own, however much larger its canonical form is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from actod import pipeline
from actod.config import CollectorConfig, MaskingConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.model import Bundle, Delivery, Group, Loss, PublicKeys
from actod.proof import thumbprint
from actod.proof.envelope import SealContext, assemble
from actod.service.watchdog import Pulse
from tests.collect.routing import deliver, make_admission, make_router

CONFIG = CollectorConfig(url="", pins=[], api_key_file=Path("key"))
PAYLOAD = 256 * 1024


class Line:
    """Source, spool, audit log and refusal log of one group."""

    def __init__(self, *deliveries: Delivery) -> None:
        self.deliveries, self.committed, self.acknowledged = deliveries, Group(), 0

    async def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        yield self.deliveries

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += len(deliveries)

    async def commit(self, group: Group) -> None:
        self.committed = group

    def record(self, event: str, **fields: Any) -> None:
        raise AssertionError(event, fields)

    def require_room(self) -> None:
        """There is always room."""

    def count(self, refusals: Mapping[Any, int]) -> None:
        assert refusals == self.committed.refusals or not self.committed.readings


def admit(*payloads: bytes) -> Group:
    line: Any = Line(*(deliver("t/x", payload) for payload in payloads))
    asyncio.run(
        pipeline.collect(
            source=line,
            router=(router := make_router()),
            admission=make_admission(router=router),
            masker=PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=b"p" * 32),
            spool=line,
            audit=line,
            losses=(),
            refusals=line,
            vault=None,
            largest_event_bytes=CONFIG.largest_event_bytes,
            pulse=Pulse(limit_seconds=60),
            admitting=asyncio.Lock(),
        )
    )
    assert line.acknowledged == len(payloads)
    return line.committed


@pytest.mark.parametrize(
    "payload",
    [b"[" + b",".join([b"1e15"] * (PAYLOAD // 5 - 1)) + b"]", b"\n" * PAYLOAD, b'"' * PAYLOAD],
    ids=["floats", "lines", "quotes"],
)
def test_a_payload_whose_canonical_form_fits_no_bundle_is_refused_and_counted(payload: bytes) -> None:
    assert len(payload) <= PAYLOAD
    group = admit(payload, b"{}")
    assert len(group.readings) == 1
    assert group.refusals == Counter({("event_too_large", "normal", "any"): 1})


def test_the_largest_event_makes_an_envelope_that_the_collector_takes() -> None:
    filler = CONFIG.largest_event_bytes - 200
    payload = b"\n" * (filler // 2)
    (reading,) = admit(payload).readings
    assert len(reading.event) > filler
    bundle = Bundle(
        device="d" * 128,
        epoch=1,
        seq=2,
        device_seq=2,
        previous="0" * 64,
        stream=reading.stream,
        events=reading.event,
        count=1,
        first_received_wall_ns=1,
        last_received_wall_ns=1,
        boot_id="b",
        loss=tuple(Loss("r" * 64, "intervention", "x" * 32, number + 1, 1, 2) for number in range(64)),
    )
    key = bytes(32)
    keys = PublicKeys(ed25519=key, ed25519_thumbprint=thumbprint.ed25519(key), p256_thumbprint=None, kind="software")
    context = SealContext(
        boot_id="b", clock={}, policy="0" * 64, config="0" * 64, audit="0" * 64, hash_alg="sha256", created_at="t" * 32
    )
    assert (
        len(assemble(bundle, keys=keys, context=context).finish(None).payload) + 300
        <= CONFIG.max_envelope_bytes
        == 512 * 1024
    )
