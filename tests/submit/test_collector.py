"""The same rules against the collector of the rig: real envelopes, judged by actobotics' own code, over TLS."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.errors import ActodError, SuspectError, TransientError
from actod.model import Envelope
from actod.proof.envelope import assemble
from actod.service.clock import SystemClock
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink
from hil.collector.client import Collector
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.proof.conftest import bundle_of, context_of, keys_of
from tests.submit.parts import API_KEY, FakeAudit, FakeClock, FakePause, collector_config

EVENT = {"data": {"speed": 1.5}, "topic": "a/b", "ts": "2026-01-02T03:04:05Z"}
KEY = SigningKey(bytes(range(32)))


def sealed(number: int, *, events: int = 1, tampered: bool = False) -> Envelope:
    """Make a real envelope; a tampered one gets 400."""
    unsigned = assemble(
        bundle_of([EVENT | {"data": {"n": number}}] * events, seq=1, device_seq=number + 1),
        keys=keys_of(KEY),
        context=context_of(),
    ).finish(None)
    done = unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature)
    body = done.body.replace(b'"policy":"aaaa', b'"policy":"aaab') if tampered else done.body
    return Envelope(done.proof_id, done.payload_hash, body, done.traffic_class)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Collector]:
    part = Collector(folder=tmp_path_factory.mktemp("collector"), certificate=certificate, api_keys=[API_KEY])
    part.start()
    yield part
    part.close()


@pytest.fixture(autouse=True)
def no_faults(collector: Collector) -> Iterator[None]:
    yield
    collector.set_faults([])


class Robot:
    """The uplink as the daemon builds it, with pauses that take no time."""

    def __init__(self, folder: Path, authority: CertificateAuthority, collector: Collector, **changes: Any) -> None:
        self.clock, self.audit = FakeClock(), FakeAudit()
        self.pause = FakePause(self.clock)
        config = collector_config(folder, authority, collector.port, **({"request_timeout_seconds": 1.0} | changes))
        self.client = HttpsClient(collector=config, environment="dev", clock=self.clock, audit=self.audit)
        self.uplink = PacedUplink(client=self.client, collector=config, clock=self.clock, audit=self.audit, pause=self.pause)

    async def send(self, envelope: Envelope) -> str:
        """Return how one attempt ended."""
        try:
            await self.uplink.submit(envelope)
        except ActodError as failure:
            return f"{type(failure).__name__}:{failure.reason}"
        return "accepted"


def drive(robot: Robot, *envelopes: Envelope) -> list[str]:
    async def main() -> list[str]:
        try:
            return [await robot.send(item) for item in envelopes]
        finally:
            await robot.client.close()

    return asyncio.run(main())


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "status", "status": 503}, "TransientError:server_unavailable", "slow:server"),
    ({"kind": "status", "status": 500}, "SuspectError:server_error", "slow:server"),
    ({"kind": "status", "status": 403}, "TransientError:gate_closed", "blocked:gate"),
    ({"kind": "status", "status": 429, "headers": {"retry-after": "30"}}, "TransientError:rate_limited", "blocked:quota"),
    ({"kind": "status", "status": 400}, "SuspectError:refused_400", "blocked:rejected-all"),
    ({"kind": "portal", "status": 302}, "TransientError:captive_portal", "blocked:network"),
    ({"kind": "portal", "status": 200}, "TransientError:captive_portal", "blocked:network"),
    ({"kind": "cut", "at": "before_tls"}, "TransientError:unreachable", "blocked:network"),
    ({"kind": "cut", "at": "after_tls"}, "TransientError:cut_off", "slow:server"),
    ({"kind": "cut", "at": "request"}, "TransientError:cut_off", "slow:server"),
    ({"kind": "cut", "at": "before_response"}, "TransientError:cut_off", "slow:server"),
    ({"kind": "cut", "at": "within_response"}, "TransientError:cut_off", "slow:server"),
    ({"kind": "lost_response"}, "TransientError:cut_off", "slow:server"),
    ({"kind": "malformed"}, "TransientError:malformed_response", "slow:server"),
    ({"kind": "huge"}, "TransientError:malformed_response", "slow:server"),
    ({"kind": "wrong_receipt"}, "TransientError:receipt_mismatch", "blocked:gate"),
    ({"kind": "delay", "seconds": 3}, "TransientError:response_timeout", "slow:server"),
    ({"kind": "slow_body", "seconds": 0.3}, "TransientError:response_timeout", "slow:server"),
]


@pytest.mark.parametrize(("fault", "ending", "state"), FAULTS, ids=[str(row[0]) for row in FAULTS])
def test_each_fault_of_the_collector_is_named_and_survived(
    fault: dict[str, Any], ending: str, state: str, folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    robot, item = Robot(folder, authority, collector), sealed(100 + FAULTS.index((fault, ending, state)))
    collector.set_faults([fault])
    assert drive(robot, item, item) == [ending, ending]
    assert robot.uplink.state == state
    collector.set_faults([])
    assert drive(robot, item) == ["accepted"]
    assert robot.uplink.state == "ok"
    assert any(held["payload"]["payload_hash"] == item.payload_hash for held in collector.envelopes())


def test_a_tampered_bundle_is_condemned_by_the_package_and_by_the_success_of_others(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    robot, bad = Robot(folder, authority, collector), sealed(1, tampered=True)
    endings = drive(robot, bad, sealed(2), bad, sealed(3))
    assert endings == ["SuspectError:refused_400", "accepted", "RejectedError:refused_400", "accepted"]


def test_poison_that_gets_500_is_condemned_and_its_neighbours_are_not(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    robot, bad = Robot(folder, authority, collector), sealed(11)
    collector.set_faults([{"kind": "status", "status": 500, "proof_ids": [bad.proof_id]}])
    endings = []
    for number in range(20, 40):
        endings += drive(robot, bad, sealed(number))
        if "RejectedError:server_error" in endings:
            break
    tries = [ending for ending in endings if ending != "accepted"]
    assert tries[-1] == "RejectedError:server_error"
    assert 3 <= len(tries) <= 8
    assert set(tries[:-1]) == {"SuspectError:server_error"}
    assert not robot.audit.of("submit.state"), "a lone 500 among good answers is no state of the server"


def test_a_bundle_that_is_too_large_lets_the_others_pass_and_is_then_set_aside(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    robot = Robot(folder, authority, collector)
    collector.set_faults([{"kind": "too_large", "bytes": 50_000}])
    large = sealed(50, events=2000)
    assert len(large.body) > 64 * 1024
    endings = drive(robot, large, sealed(51), large)
    assert endings == ["SuspectError:too_large", "accepted", "RejectedError:too_large"]


def test_a_proxy_that_calls_everything_too_large_for_a_while_has_nothing_set_aside(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    robot = Robot(folder, authority, collector)
    bundles = [sealed(number, events=2000) for number in (60, 61)]
    collector.set_faults([{"kind": "status", "status": 413}])
    assert drive(robot, *bundles, *bundles) == ["SuspectError:too_large"] * 4
    assert robot.uplink.state == "blocked:rejected-all"
    collector.set_faults([])
    assert drive(robot, *bundles) == ["accepted"] * 2


def test_the_documented_rate_limit_is_survived_and_everything_arrives(
    folder: Path, authority: CertificateAuthority, collector: Collector
) -> None:
    """500 in text/plain and a reset connection, at an eighth of the rate that we send at. Pauses are real here."""
    config = collector_config(
        folder, authority, collector.port, requests_per_second=200.0, backoff_min_seconds=0.02, backoff_max_seconds=0.3
    )
    collector.set_faults([{"kind": "rate_limit", "per_second": 25, "burst": 10}])
    before = collector.count()
    waiting = [sealed(number) for number in range(1000, 1060)]
    endings: Counter[str] = Counter()

    async def main() -> None:
        clock, audit = SystemClock(), FakeAudit()
        client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
        uplink = PacedUplink(client=client, collector=config, clock=clock, audit=audit)
        while waiting:
            try:
                await uplink.submit(waiting[0])
            except SuspectError:
                waiting.append(waiting.pop(0))
                endings["suspect"] += 1
            except TransientError:
                endings["transient"] += 1
            else:
                waiting.pop(0)
                endings["accepted"] += 1
        await client.close()

    asyncio.run(main())
    assert endings["accepted"] == collector.count() - before == 60
    assert endings["suspect"] > 0, "the control: the limit was met"
    assert endings.total() <= 96


def test_a_collector_that_was_killed_within_a_line_takes_that_bundle_again_and_knows_the_others(
    tmp_path: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    part = Collector(folder=tmp_path / "killed", certificate=certificate, api_keys=[API_KEY])
    part.start()
    bundles = [sealed(70), sealed(71)]
    assert drive(Robot(tmp_path, authority, part), *bundles) == ["accepted"] * 2
    part.close()
    held = part.envelopes_file.read_bytes()
    part.envelopes_file.write_bytes(held[:-100])
    part.start()
    try:
        assert part.stats()["known"] == 1
        assert drive(Robot(tmp_path, authority, part), *bundles) == ["accepted"] * 2
        assert part.envelopes_file.read_bytes() == held
    finally:
        part.close()
