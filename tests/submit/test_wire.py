"""The bytes that submission costs, as the kernel counts them, against what a proxy in between saw pass."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from actod.errors import TransientError
from actod.submit.https import HttpsClient
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import (
    FakeClock,
    Visit,
    collector_config,
    confirm,
    envelope,
    proxying,
    server_context,
    serving,
)


def test_each_byte_on_the_wire_is_counted_handshake_included_over_all_requests_of_a_connection(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(confirm, server_context(certificate)) as raw, proxying() as proxy:
            config = collector_config(folder, authority, raw.port, proxy=f"http://127.0.0.1:{proxy.port}")
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            for number, size in enumerate((200, 300_000, 200)):
                await client.submit(envelope(number, size_bytes=size))
                assert client.wire.sent == len(proxy.seen)
            assert client.wire.sent > raw.application_bytes  # TLS is in it
            assert 0 < client.wire.received < client.wire.sent
            await client.close()

    asyncio.run(run())


def test_a_request_that_is_cut_off_counts_at_least_with_its_body(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def cut(visit: Visit) -> None:
        await visit.secure()
        await visit.request()
        visit.reset()

    async def run() -> None:
        async with serving(cut, server_context(certificate)) as raw:
            config = collector_config(folder, authority, raw.port)
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            with pytest.raises(TransientError):
                await client.submit(envelope(1, size_bytes=50_000))
            assert 50_000 < client.wire.sent < 60_000
            await client.close()

    asyncio.run(run())
