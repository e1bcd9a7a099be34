"""The path of a message: route, mask, gather, bundle, sign, verify.

What may come out is an event or a refusal with a reason that the router is known to give. The masker refuses nothing: its
one reason hides a defect of ours, and that is what is looked for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from nacl.signing import SigningKey

from actod.collect.router import PayloadRouter
from actod.errors import RejectedError
from actod.mask.engine import PolicyMasker
from actod.model import Bundle, MaskedReading, Reading
from actod.proof.canonical import canonical, check
from actod.proof.chain import verify_set
from actod.proof.decode import REASONS
from actod.proof.envelope import assemble
from actod.proof.verify import Verdict
from actod.store.chunk import Chunk, gather, pack, parse_stream, stream_key, unpack
from actod.store.recent import Recent
from tests.fuzz.deliveries import Input, cold_masker, inputs, router
from tests.fuzz.limits import within_limit
from tests.proof.conftest import context_of, keys_of

SIGNING_KEY = SigningKey(bytes(range(32)))
BOOT = "6b7f3c1e-0000-4000-8000-000000000001"
REFUSALS = {
    *REASONS,
    "no_route",
    "too_large",
    "bad_topic",
    "bad_robot_id",
    "bad_task_id",
    "bad_run_id",
}
_MOST_EVENTS, _MOST_BYTES = 3, 4096


def one_input(data: bytes) -> None:
    one_router, maskers = router(), {ruled: cold_masker(ruled=ruled) for ruled in (False, True)}
    masked = []
    for one in inputs(data):
        admitted = within_limit(
            partial(_admit, one, one_router, maskers[one.ruled]),
            lambda one=one: _admit(one, router(), cold_masker(ruled=one.ruled)),  # type: ignore[misc]
            size_bytes=one.size_bytes,
        )
        if admitted is not None:
            _check_reading(admitted[0], one)
            _check_event(admitted[1])
            masked.append(admitted[1])
    if masked:
        _check_bundles(masked)


def _admit(one: Input, one_router: PayloadRouter, masker: PolicyMasker) -> tuple[Reading, MaskedReading] | None:
    try:
        reading = one_router.route(one.delivery)
    except RejectedError as refusal:
        if refusal.reason not in REFUSALS:
            raise
        return None
    return reading, masker.mask(reading)


def _check_reading(reading: Reading, one: Input) -> None:
    """Hold what was decoded against the domain, and against what another parser reads."""
    check(reading.data)
    assert (reading.robot_id, reading.task_id) != (None, "actod")
    if one.delivery.payload.lstrip(b" \t\r\n")[:1] in {b"{", b"["}:
        theirs = json.loads(one.delivery.payload.decode(), object_pairs_hook=_pairs_that_differ)
        assert reading.data == (theirs if isinstance(theirs, dict) else {"value": theirs})


def _pairs_that_differ(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs), "a doubled key went through"
    return dict(pairs)


def _check_event(masked: MaskedReading) -> None:
    event = orjson.loads(masked.event)
    assert canonical(event) == masked.event
    assert event.keys() == {"data", "topic", "ts"}
    assert all(count > 0 for count in masked.masked.values())


@dataclass(slots=True)
class _Chains:
    """Heads by robot: how many bundles, and the hash of the last."""

    heads: dict[str | None, tuple[int, str | None]] = field(default_factory=dict)
    envelopes: list[Any] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        seq, previous = self.heads.get(chunk.stream.robot_id, (0, None))
        bundle = Bundle(
            device="device-1",
            epoch=1,
            seq=seq + 1,
            device_seq=len(self.envelopes) + 1,
            previous=previous,
            stream=chunk.stream,
            events=chunk.body,
            count=len(chunk.events),
            first_received_wall_ns=chunk.first_wall_ns,
            last_received_wall_ns=chunk.last_wall_ns,
            boot_id=BOOT,
            marks={word: tuple(indexes) for word, indexes in chunk.marks.items()},
            masked=chunk.masked,
        )
        unsigned = assemble(bundle, keys=keys_of(SIGNING_KEY), context=context_of()).finish(None)
        envelope = unsigned.sign(SIGNING_KEY.sign(unsigned.payload_hash.encode()).signature)
        parsed = orjson.loads(envelope.body)
        assert canonical(parsed) == envelope.body
        assert parsed["payload"]["telemetry_normalized"]["events"] == [orjson.loads(event) for event in chunk.events]
        self.heads[chunk.stream.robot_id] = (seq + 1, envelope.payload_hash)
        self.envelopes.append(parsed)


def _check_bundles(masked: list[MaskedReading]) -> None:
    """Journal and seal: what is stored comes back as it was, and what is sealed verifies."""
    chains = _Chains()
    chunks = gather(masked, number=1, boot_id=BOOT, max_events=_MOST_EVENTS, max_bytes=_MOST_BYTES, recent=Recent())
    assert sum(len(chunk.events) for chunk in chunks) == len(masked)
    for chunk in chunks:
        assert chunk.size == len(chunk.body)
        assert unpack(pack(chunk.body, compress=True)) == chunk.body
        assert parse_stream(stream_key(chunk.stream)) == chunk.stream
        chains.add(chunk)
    report = verify_set(chains.envelopes)
    assert report.verdict is Verdict.VALID, report
    assert not report.notes
