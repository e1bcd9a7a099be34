"""413: the largest bundle shrinks, the content is sealed again in smaller ones that name it, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod import pipeline
from actod.config import SealConfig, StoreConfig
from actod.model import Group, Stream, TrafficClass
from actod.proof.chain import verify_set
from actod.proof.envelope import assemble
from actod.service.clock import SystemClock
from actod.store.spool import SqliteSpool
from actod.submit.backoff import Backoff
from actod.submit.https import HttpsClient
from actod.submit.memory import FILE
from actod.submit.state import Failure, Fate, SubmitState
from actod.submit.uplink import SMALLEST_LIMIT_BYTES, PacedUplink
from hil.collector.client import Collector
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.proof.conftest import context_of, keys_of
from tests.store.parts import RememberedLog, reading
from tests.submit.parts import API_KEY, FakeAudit, collector_config

KEY = SigningKey(bytes(range(32)))
STREAM = Stream("r-1", "task", "run", TrafficClass.NORMAL)


def large(state: SubmitState, proof_id: str) -> Fate:
    return state.failed(state.begin(), Failure(proof_id, "too_large", can_be_split=True)).fate


def fresh() -> SubmitState:
    return SubmitState(backoff=Backoff(min_seconds=1, max_seconds=300, uniform=lambda _low, high: high))


def test_a_large_bundle_is_split_once_another_has_passed_and_is_never_set_aside() -> None:
    state = fresh()
    assert large(state, "a") is Fate.DEFER
    state.accepted("b", state.begin())
    assert large(state, "a") is Fate.SPLIT


def test_three_in_a_row_are_split_without_a_witness_since_nothing_is_lost_by_it() -> None:
    state = fresh()
    assert [large(state, proof_id) for proof_id in "aba"] == [Fate.DEFER, Fate.DEFER, Fate.SPLIT]
    assert large(state, "b") is Fate.SPLIT
    assert state.failed(state.begin(), Failure("small", "too_large")).fate is Fate.DEFER, (
        "what cannot be cut needs a witness"
    )


@pytest.fixture
def collector(tmp_path: Path, certificate: Certificate) -> Iterator[Collector]:
    with contextlib.closing(Collector(folder=tmp_path / "collector", certificate=certificate, api_keys=[API_KEY])) as part:
        part.start()
        yield part


class Line:
    """Store, sealing with a key in memory, and submission to the rig's collector, as the daemon runs them."""

    def __init__(self, folder: Path, authority: CertificateAuthority, collector: Collector) -> None:
        self.folder, self.clock, self.audit = folder, SystemClock(), FakeAudit()
        self.config = collector_config(
            folder, authority, collector.port, requests_per_second=1000, backoff_min_seconds=0.01, backoff_max_seconds=0.1
        )

    async def seal(self, bundle: Any) -> Any:
        unsigned = assemble(bundle, keys=keys_of(KEY), context=context_of()).finish(None)
        return unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature)

    async def run(self, work: Callable[[SqliteSpool, PacedUplink], Awaitable[None]]) -> None:
        spool = await SqliteSpool.open(
            folder=self.folder / "state",
            seal=SealConfig(max_age_seconds=0.05),
            store=StoreConfig(),
            clock=self.clock,
            witness=RememberedLog(),
        )
        client = HttpsClient(collector=self.config, environment="dev", clock=self.clock, audit=self.audit)
        uplink = PacedUplink(
            client=client, collector=self.config, clock=self.clock, audit=self.audit, file=self.folder / FILE
        )
        if uplink.lowered_bytes is not None:
            await spool.limit(uplink.lowered_bytes)
        roles: Any = {"spool": spool, "audit": self.audit}
        tasks = [
            asyncio.create_task(pipeline.submit(uplink=uplink, parallel=4, **roles)),
            asyncio.create_task(pipeline.seal(sealer=self, **roles)),
        ]
        try:
            async with asyncio.timeout(60):
                await work(spool, uplink)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            uplink.close()
            await client.close()
            await spool.close()

    def group(self, numbers: range, *, size: int) -> Group:
        return Group(readings=[reading(number, STREAM, clock=self.clock, size=size) for number in numbers])  # type: ignore[arg-type]


async def until(spool: SqliteSpool, settled: Callable[[Any], bool]) -> None:
    while not settled(await spool.status()):
        await asyncio.sleep(0.05)


def test_a_proxy_that_takes_less_gets_smaller_bundles_and_every_reading_arrives(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    line = Line(folder, authority, collector)
    collector.set_faults([{"kind": "too_large", "bytes": 150_000}])

    async def send(spool: SqliteSpool, _uplink: PacedUplink) -> None:
        await spool.commit(line.group(range(10), size=1000))
        await until(spool, lambda status: status.submitted)
        await spool.commit(line.group(range(10, 310), size=1000))
        await until(spool, lambda status: status.submitted > 1 and not status.outbox_bundles + status.journal_messages)
        await spool.commit(line.group(range(310, 600), size=1000))
        await until(spool, lambda status: not status.outbox_bundles + status.journal_messages)
        assert not (await spool.status()).quarantined_bundles
        assert not (await spool.status()).losses_pending

    asyncio.run(line.run(send))
    envelopes = collector.envelopes()
    arrived = [each["data"]["n"] for one in envelopes for each in one["payload"]["telemetry_normalized"]["events"]]
    assert sorted(arrived) == list(range(600)), "each once"
    report = verify_set(envelopes)
    assert report.verdict.value == "valid", report
    assert "replaced: too large" in str(report.chains[0].notes)
    lowered = line.audit.of("submit.too_large")
    assert [each["largest_bytes"] for each in lowered] == sorted((each["largest_bytes"] for each in lowered), reverse=True)
    assert SMALLEST_LIMIT_BYTES <= lowered[-1]["largest_bytes"] <= 200_000
    refused = collector.stats()["stats"]["status_413"]

    async def again(spool: SqliteSpool, uplink: PacedUplink) -> None:
        assert uplink.lowered_bytes is not None, "it is remembered over a restart"
        await spool.commit(line.group(range(600, 900), size=1000))
        await until(spool, lambda status: not status.outbox_bundles + status.journal_messages)

    asyncio.run(line.run(again))
    assert collector.stats()["stats"]["status_413"] == refused, "no request was wasted"
    assert len(line.audit.of("submit.too_large")) == len(lowered)


def test_a_reading_that_is_too_large_alone_is_withheld_and_its_neighbours_arrive(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    line = Line(folder, authority, collector)
    collector.set_faults([{"kind": "too_large", "bytes": 100_000}])
    untold: dict[str, int] = {}

    async def send(spool: SqliteSpool, _uplink: PacedUplink) -> None:
        for part in (
            line.group(range(50), size=500),
            line.group(range(50, 51), size=120_000),
            line.group(range(51, 90), size=500),
        ):
            await spool.commit(part)
        await spool.seal_now()
        number = 90
        while not (await spool.status()).quarantined_bundles:  # as heartbeats do: whoever passes tells whose fault it is
            await spool.commit(line.group(range(number, number + 1), size=10))
            number += 1
            await asyncio.sleep(0.3)
        await until(spool, lambda status: not status.outbox_bundles + status.journal_messages)
        status = await spool.status()
        assert status.quarantined_bundles == 1
        untold.update(status.losses_pending)
        assert await spool.quarantined("too_large", limit=5)

    asyncio.run(line.run(send))
    events = [each for one in collector.envelopes() for each in one["payload"]["telemetry_normalized"]["events"]]
    told = [
        (each["reason"], each["count"]) for one in collector.envelopes() for each in one["payload"]["meta"]["actod"]["loss"]
    ]
    assert [*told, *untold.items()] == [("withheld", 1)]
    arrived = sorted(each["data"]["n"] for each in events)
    assert arrived == [number for number in range(len(arrived) + 1) if number != 50]


def test_a_proxy_that_calls_everything_too_large_for_a_while_loses_nothing(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    line = Line(folder, authority, collector)
    collector.set_faults([{"kind": "status", "status": 413}])

    async def send(spool: SqliteSpool, uplink: PacedUplink) -> None:
        await spool.commit(line.group(range(300), size=1000))
        await until(spool, lambda _status: uplink.state == "blocked:rejected-all")
        collector.set_faults([])
        await until(spool, lambda status: status.submitted and not status.outbox_bundles + status.journal_messages)
        assert not (await spool.status()).quarantined_bundles

    asyncio.run(line.run(send))
    arrived = [
        each["data"]["n"] for one in collector.envelopes() for each in one["payload"]["telemetry_normalized"]["events"]
    ]
    assert sorted(arrived) == list(range(300))
