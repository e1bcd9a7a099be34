"""What the collector confirmed it must still hold: an own proof is fetched and compared now and then."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from actod.submit.https import HttpsClient
from actod.submit.sample import compare_with_collector
from actod.submit.uplink import PacedUplink
from hil.collector.client import Collector
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import API_KEY, FakeAudit, FakeClock, FakePause, Visit, collector_config, envelope, response, serving
from tests.submit.parts import server_context as context_of
from tests.submit.test_collector import sealed

OURS = envelope()
HELD = {"proof_id": OURS.proof_id, "envelope": {"payload": {"x": 1.5}, "signature_b64": "s", "signer_public_key_b64": "k"}}


def compared(config: Any, item: Any) -> tuple[str, FakeAudit]:
    clock, audit = FakeClock(), FakeAudit()

    async def run() -> str:
        client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
        uplink = PacedUplink(client=client, collector=config, clock=clock, audit=audit, pause=FakePause(clock))
        try:
            return await compare_with_collector(item, client=client, uplink=uplink, audit=audit)
        finally:
            await client.close()

    return asyncio.run(run()), audit


def test_the_collectors_copy_of_a_proof_is_the_same_and_one_that_it_never_got_is_missing(
    folder: Path, authority: CertificateAuthority, certificate: Certificate, tmp_path: Path
) -> None:
    collector = Collector(folder=tmp_path / "collector", certificate=certificate, api_keys=[API_KEY])
    collector.start()
    try:
        config = collector_config(folder, authority, collector.port)
        sent, other = sealed(1, events=1500), sealed(2)
        assert len(sent.body) > 64 * 1024, "longer than any receipt"

        async def send() -> None:
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            await client.submit(sent)
            await client.close()

        asyncio.run(send())
        found, audit = compared(config, sent)
        assert (found, audit.lines) == ("same", [])
        found, audit = compared(config, other)
        assert found == "proof_missing"
        expected = {"proof_id": other.proof_id, "payload_hash": other.payload_hash}
        assert audit.of("submit.proof_missing") == [expected]
    finally:
        collector.close()


def changed(**members: Any) -> bytes:
    return orjson.dumps(HELD | {"envelope": HELD["envelope"] | members})  # type: ignore[operator]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (response(200, changed()), "same"),
        (response(200, changed(anchor_ref="elsewhere")), "same"),
        (response(200, changed(payload={"x": 1.6})), "proof_differs"),
        (response(200, changed(signature_b64="t")), "proof_differs"),
        (response(200, b'{"proof_id":"x"}'), "proof_differs"),
        (response(200, b"[]"), "proof_differs"),
        (response(404, b'{"detail":"Proof not found"}'), "proof_missing"),
        (response(404, b"<html>", "content-type: text/html\r\n"), ""),
        (response(200, b"<html>", "content-type: text/html\r\n"), ""),
        (response(302, b"", "location: https://127.0.0.1:1/\r\n"), ""),
        (response(500, b"Internal Server Error", "content-type: text/plain\r\n"), ""),
        (response(401, b"{}"), ""),
        (b"", ""),
    ],
)
def test_only_what_the_collector_says_itself_is_held_against_it(
    answer: bytes, found: str, folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    item = type(OURS)(OURS.proof_id, OURS.payload_hash, orjson.dumps(HELD["envelope"]), OURS.traffic_class)

    async def script(visit: Visit) -> None:
        await visit.secure()
        assert (await visit.request()).startswith(b"GET /v1/proofs/" + OURS.proof_id.encode())
        await visit.send(answer)

    async def run() -> tuple[str, FakeAudit]:
        async with serving(script, context_of(certificate)) as raw:
            config = collector_config(folder, authority, raw.port)
            return await asyncio.to_thread(compared, config, item)

    said, audit = asyncio.run(run())
    assert said == found
    assert [event for event, _fields in audit.lines] == ([f"submit.{found}"] if found.startswith("proof_") else [])
