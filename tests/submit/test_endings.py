"""Each way in which a request can end, over real TLS: the reason, the state, the pause and the fate of the bundle."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from actod.errors import ActodError, RejectedError, SuspectError, TransientError
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink
from actod.submit.verdict import VERDICTS, Blame, reason_of_status
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import (
    FakeAudit,
    FakeClock,
    FakePause,
    RawServer,
    Visit,
    collector_config,
    confirm,
    envelope,
    proxying,
    receipt_for,
    response,
    server_context,
    serving,
)

GOOD = b'{"proof_id":"' + envelope().proof_id.encode() + b'"}'
HTML = b"<html>Please accept the terms</html>"


def answering(data: bytes) -> Callable[[Visit], Any]:
    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            await visit.send(data)

    return script


def cutting(*, at: str, how: str) -> Callable[[Visit], Any]:
    """Go away at a point of the exchange, with a reset or a plain close."""

    async def script(visit: Visit) -> None:
        if at == "tls":
            await visit.reader.read(10)
        if at not in {"connect", "tls"}:
            await visit.secure()
        if at == "half_request":
            await visit.some()
        if at in {"before_response", "within_head", "within_body", "lost_response"}:
            request = await visit.request()
            whole = receipt_for(request)
            part = {"within_head": whole[:20], "within_body": whole[:-5]}.get(at, b"")
            await visit.send(part)
        if how == "reset":
            visit.reset()

    return script


async def never(visit: Visit) -> None:
    await visit.secure()
    await visit.request()
    await visit.reader.read()


async def silent(visit: Visit) -> None:
    await visit.reader.read()
    await asyncio.sleep(60)


async def dripping(visit: Visit) -> None:
    """Send a byte now and then: no single read times out."""
    await visit.secure()
    whole = receipt_for(await visit.request())
    for index in range(len(whole)):
        await visit.send(whole[index : index + 1])
        await asyncio.sleep(0.05)


async def flooding(visit: Visit) -> None:
    await visit.secure()
    await visit.request()
    await visit.send(b"HTTP/1.1 200 X\r\ncontent-length: 100000000\r\n\r\n")
    while True:
        await visit.send(b" " * 65536)


async def endless_informational(visit: Visit) -> None:
    await visit.secure()
    await visit.request()
    while True:
        await visit.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
        await asyncio.sleep(0.01)


ENDINGS: list[tuple[str, Any, str, str, type[ActodError] | None]] = [
    *[
        (f"{how}_{at}", cutting(at=at, how=how), reason, state, TransientError)
        for how in ("reset", "close")
        for at, reason, state in (
            ("connect", "unreachable", "blocked:network"),
            ("tls", "unreachable", "blocked:network"),
            ("after_tls", "cut_off", "slow:server"),
            ("half_request", "cut_off", "slow:server"),
            ("before_response", "cut_off", "slow:server"),
            ("within_head", "cut_off", "slow:server"),
            ("within_body", "cut_off", "slow:server"),
            ("lost_response", "cut_off", "slow:server"),
        )
    ],
    ("no_answer", never, "response_timeout", "slow:server", TransientError),
    ("silent_handshake", silent, "unreachable", "blocked:network", TransientError),
    ("drip", dripping, "response_timeout", "slow:server", TransientError),
    ("endless_100", endless_informational, "response_timeout", "slow:server", TransientError),
    ("flood", flooding, "malformed_response", "slow:server", TransientError),
    *[
        (name, answering(data), "malformed_response", "slow:server", TransientError)
        for name, data in {
            "no_http": b"220 smtp.example ESMTP\r\n\r\n",
            "binary": b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n",
            "switch": b"HTTP/1.1 101 X\r\n\r\n",
            "status_999": response(999),
            "huge_head": b"HTTP/1.1 200 X\r\nx: " + b"a" * 200_000,
            "bad_length": b"HTTP/1.1 200 X\r\ncontent-length: x\r\n\r\n",
            "empty": response(200),
            "not_json": response(200, b'{"proof_id": '),
            "list": response(200, b"[]"),
            "number": response(200, b'{"proof_id": 5}'),
            "plain_text": response(200, GOOD, "content-type: text/plain\r\n"),
            "no_type": response(200, GOOD, ""),
            "event_stream": response(200, GOOD, "content-type: text/event-stream\r\n"),
            "deep": response(200, b"[" * 60_000),
            "gzip": response(200, b"\x1f\x8b\x08", "content-encoding: gzip\r\n"),
            "created": response(201, GOOD),
            "accepted": response(202, GOOD),
            "no_content": b"HTTP/1.1 204 X\r\n\r\n",
        }.items()
    ],
    *[
        (name, answering(data), "captive_portal", "blocked:network", TransientError)
        for name, data in {
            "html": response(200, HTML, "content-type: text/html\r\n"),
            "html_in_disguise": response(200, b"\n" + HTML),
            "html_receipt": response(200, GOOD, "content-type: text/html\r\n"),
            **{
                f"redirect_{code}": response(code, b"", "location: https://127.0.0.1:1/\r\n")
                for code in (301, 302, 303, 307, 308)
            },
        }.items()
    ],
    *[
        (name, answering(data), "receipt_mismatch", "blocked:gate", TransientError)
        for name, data in {
            "wrong_receipt": response(200, b'{"proof_id":"%b"}' % (b"0" * 32)),
            "odd_receipt": response(200, '{"proof_id":"\N{SNOWMAN}"}'.encode()),
        }.items()
    ],
    ("good", confirm, "accepted", "ok", None),
]


@pytest.mark.parametrize(
    ("script", "reason", "state", "verdict"), [row[1:] for row in ENDINGS], ids=[row[0] for row in ENDINGS]
)
def test_each_ending_has_its_reason_state_pause_and_fate(
    script: Any,
    reason: str,
    state: str,
    verdict: type[ActodError] | None,
    folder: Path,
    authority: CertificateAuthority,
    certificate: Certificate,
) -> None:
    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            late = reason == "response_timeout" or script is silent
            seconds = {"connect_timeout_seconds": 0.8, "request_timeout_seconds": 1.6} if late else {}
            config = collector_config(folder, authority, raw.port, **seconds)
            await _hold_to(config, reason, state, verdict)
            assert len(raw.visits) == (2 if verdict else 1), "a connection is not used again after a failure"

    asyncio.run(run())


async def _hold_to(config: Any, reason: str, state: str, verdict: type[ActodError] | None) -> None:
    clock, audit = FakeClock(), FakeAudit()
    pause = FakePause(clock)
    client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
    uplink = PacedUplink(
        client=client, collector=config, clock=clock, audit=audit, uniform=lambda _low, high: high, pause=pause
    )
    try:
        if verdict is None:
            receipt = await uplink.submit(envelope())
            assert receipt.proof_id == envelope().proof_id
            assert receipt.server_date == uplink.server_date == "Tue, 24 Nov 2026 14:00:00 GMT"
            assert uplink.confirmed == envelope().payload_hash
        else:
            for expected_pause in (1.0, 2.0):
                with pytest.raises(verdict) as caught:
                    await uplink.submit(envelope())
                assert caught.value.reason == reason
                assert not isinstance(caught.value, RejectedError)
                assert pause.waits[-1] == pytest.approx(expected_pause, abs=0.3), "full jitter under a doubling ceiling"
            assert audit.of("submit.state") == [{"state": state, "before": "ok", "reason": reason}]
            assert reason in uplink.why
        assert uplink.state == state
        assert len(audit.of("submit.receipt_mismatch")) == (reason == "receipt_mismatch")
    finally:
        await client.close()


def test_a_server_that_is_not_there_blocks_the_network_or_dns(folder: Path, authority: CertificateAuthority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config = collector_config(folder, authority, port)
    asyncio.run(_hold_to(config, "unreachable", "blocked:network", TransientError))
    config = replace(config, url="https://no-such-host.invalid/")
    asyncio.run(_hold_to(config, "name_not_resolved", "blocked:dns", TransientError))


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 502 X\r\n\r\n", b"nonsense\r\n\r\n", b""]
)
def test_a_proxy_that_opens_no_tunnel_blocks_the_network(
    answer: bytes, folder: Path, authority: CertificateAuthority
) -> None:
    async def run() -> None:
        async with proxying(answer=answer) as proxy:
            config = collector_config(folder, authority, 1, proxy=f"http://127.0.0.1:{proxy.port}")
            reason = "proxy_refused" if answer.startswith(b"HTTP") else "unreachable"
            await _hold_to(config, reason, "blocked:network", TransientError)
            assert proxy.targets == ["127.0.0.1:1", "127.0.0.1:1"]

    asyncio.run(run())


def test_every_status_code_has_its_reason_over_the_wire(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    statuses = [*range(201, 600), 600, 799]
    waiting = iter(statuses)

    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            status = next(waiting)
            bare = status in {204, 304}
            await visit.send(b"HTTP/1.1 %d X\r\n\r\n" % status if bare else response(status, GOOD))

    async def run(raw: RawServer) -> None:
        client = HttpsClient(collector=collector_config(folder, authority, raw.port), environment="dev", clock=FakeClock())
        for status in statuses:
            with pytest.raises(ActodError) as caught:
                await client.submit(envelope())
            assert caught.value.reason == reason_of_status(status), status
            item = VERDICTS[caught.value.reason].blame is Blame.ITEM
            assert item == (status in {400, 422, 413}), status
            assert isinstance(caught.value, RejectedError) == item
        await client.close()
        # one connection for all 4xx and the first 5xx, and a new one after everything else
        assert len(raw.visits) == sum(status // 100 != 4 for status in statuses)

    async def main() -> None:
        async with serving(script, server_context(certificate)) as raw:
            await run(raw)

    asyncio.run(main())


def test_the_statuses_that_are_never_the_bundles_fault_are_those_of_the_design() -> None:
    for status in range(100, 1000):
        if status != 200:
            blame = VERDICTS[reason_of_status(status)].blame
            own = {400: Blame.ITEM, 422: Blame.ITEM, 413: Blame.ITEM, 500: Blame.SUSPECT}
            assert blame is own.get(status, blame), status
            assert status in own or blame in {Blame.PATH, Blame.SERVER}, status


def test_the_bytes_that_were_hashed_are_the_bytes_that_are_sent_on_one_connection(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(confirm, server_context(certificate)) as raw:
            config = collector_config(folder, authority, raw.port, url=f"https://127.0.0.1:{raw.port}/base/")
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock(), user_agent="actod/test")
            for number in range(3):
                await client.submit(envelope(number, size_bytes=300_000 * (number == 1)))
            await client.close()
            assert len(raw.visits) == 1
            head, _, rest = bytes(raw.visits[0].data).partition(b"\r\n\r\n")
            assert rest.startswith(b'{"envelope":' + envelope(0, size_bytes=0).body + b"}")
            assert b'{"envelope":' + envelope(1, size_bytes=300_000).body + b"}" in rest
            lines = head.lower().split(b"\r\n")
            assert lines[0] == b"post /base/v1/proofs http/1.1"
            names = {line.partition(b":")[0] for line in lines[1:]}
            wanted = {
                b"host",
                b"authorization",
                b"x-wallet-address",
                b"content-type",
                b"content-length",
                b"accept",
                b"user-agent",
            }
            assert names == wanted

    asyncio.run(run())


def test_cookies_and_proxies_of_the_environment_are_not_taken_over(
    folder: Path, authority: CertificateAuthority, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert httpx.Client().trust_env, "the control: httpx would take them"

    async def script(visit: Visit) -> None:
        await visit.secure()
        while request := await visit.request():
            whole = receipt_for(request)
            await visit.send(whole.replace(b"\r\n\r\n", b"\r\nset-cookie: id=1; path=/\r\n\r\n", 1))

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            client = HttpsClient(
                collector=collector_config(folder, authority, raw.port), environment="dev", clock=FakeClock()
            )
            await client.submit(envelope(1))
            await client.submit(envelope(2))
            await client.close()
            assert b"cookie" not in bytes(raw.visits[0].data).lower()

    asyncio.run(run())


def test_concurrent_calls_have_connections_of_their_own_and_a_failure_closes_only_its_own(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    released = asyncio.Event()

    async def script(visit: Visit) -> None:
        await visit.secure()
        while request := await visit.request():
            if visit.number == 0:
                await visit.send(response(500))
                return
            await released.wait()
            await visit.send(receipt_for(request))

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            client = HttpsClient(
                collector=collector_config(folder, authority, raw.port), environment="dev", clock=FakeClock()
            )
            first = asyncio.create_task(client.submit(envelope(1)))
            await raw.until(lambda: bool(raw.visits))
            second = asyncio.create_task(client.submit(envelope(2)))
            with pytest.raises(TransientError, match="server_error"):
                await first
            released.set()
            assert (await second).proof_id == envelope(2).proof_id
            assert (await client.submit(envelope(3))).proof_id == envelope(3).proof_id
            await client.close()
            assert len(raw.visits) == 2

    asyncio.run(run())


def test_a_cancelled_request_leaves_no_connection_that_is_used_again(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    """Its answer would be taken for that of the next."""

    async def script(visit: Visit) -> None:
        await visit.secure()
        while request := await visit.request():
            await asyncio.sleep(0.2 if visit.number == 0 else 0)
            await visit.send(receipt_for(request))

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            client = HttpsClient(
                collector=collector_config(folder, authority, raw.port), environment="dev", clock=FakeClock()
            )
            first = asyncio.create_task(client.submit(envelope(1)))
            await raw.until(lambda: raw.application_bytes > 0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert (await client.submit(envelope(2))).proof_id == envelope(2).proof_id
            await client.close()
            assert len(raw.visits) == 2

    asyncio.run(run())


def test_suspects_are_passed_over_and_only_others_success_condemns_them(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    """400 for one bundle over real TLS: deferred first, set aside once another was accepted since."""

    async def script(visit: Visit) -> None:
        await visit.secure()
        while request := await visit.request():
            bad = envelope(1).payload_hash.encode() in request
            await visit.send(response(422, b'{"detail":[{"input":"CANARY-echo"}]}') if bad else receipt_for(request))

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            config, clock, audit = collector_config(folder, authority, raw.port), FakeClock(), FakeAudit()
            client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
            uplink = PacedUplink(client=client, collector=config, clock=clock, audit=audit, pause=FakePause(clock))
            with pytest.raises(SuspectError, match="refused_422"):
                await uplink.submit(envelope(1))
            await uplink.submit(envelope(2))
            with pytest.raises(RejectedError, match="refused_422"):
                await uplink.submit(envelope(1))
            await client.close()
            assert "CANARY" not in str(audit.lines)
            assert audit.of("submit.rejected") == [{"proof_id": envelope(1).proof_id, "reason": "refused_422"}]
            assert not audit.of("submit.state"), "one poisoned bundle is no state of the server"

    asyncio.run(run())
