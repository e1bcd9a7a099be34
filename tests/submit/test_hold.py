"""The stop of submission for an incident: what is under way is broken off, and what is in doubt is locked."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from pathlib import Path

import pytest

from actod.errors import RejectedError, TransientError
from actod.model import TrafficClass
from actod.submit.hold import Hold
from actod.submit.https import HttpsClient
from actod.submit.incident import FILE, LOCK, UNLOCK, Action, Incident, note, read_incident, told
from actod.submit.uplink import PacedUplink
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import (
    FakeAudit,
    FakeClock,
    Visit,
    collector_config,
    envelope,
    receipt_for,
    server_context,
    serving,
)

AT = "2026-11-26T03:00:00.000000+00:00"
SET, END = Action(LOCK, "key_lost", AT, 0), Action(UNLOCK, "operator", AT, 0)


def test_a_lock_breaks_off_what_is_under_way_sends_not_a_byte_more_and_what_was_held_is_sent_afterwards(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    first, go_on = asyncio.Event(), asyncio.Event()

    async def slow_reader(visit: Visit) -> None:
        """Take a little of the first request, and nothing until the test has looked; confirm the later ones."""
        await visit.secure()
        if not visit.number:
            await visit.some()
            first.set()
            await go_on.wait()
            while await visit.some():
                pass
            return
        while request := await visit.request():
            await visit.send(receipt_for(request))

    async def check() -> None:
        clock, audit, hold = FakeClock(), FakeAudit(), Hold(folder)
        async with serving(slow_reader, server_context(certificate)) as server:
            config = collector_config(folder, authority, server.port)
            client = HttpsClient(collector=config, environment="dev", clock=clock, hold=hold)
            uplink = PacedUplink(client=client, collector=config, clock=clock, audit=audit, hold=hold)
            large = envelope(1, size_bytes=60_000_000)  # more than buffers hold: it is under way until the server reads
            under_way = asyncio.create_task(uplink.submit(large))
            async with asyncio.timeout(20):
                await first.wait()
                await hold.act(SET)
                with pytest.raises(TransientError, match="incident_locked"):
                    await under_way
                assert uplink.state == "blocked:incident"
                assert "actod incident unlock" in uplink.why
                assert uplink.held() == set(TrafficClass)
                for request in (uplink.submit(envelope(2)), client.ask("GET", "/v1/proofs?limit=1")):
                    with pytest.raises(TransientError, match="incident_locked"):
                        await request
                go_on.set()
                await hold.act(END)
                assert uplink.next_attempt_seconds == 0.0  # our own lock is no trouble of the server's
                await uplink.submit(envelope(2))
                assert uplink.held() == set()
            assert len(server.visits) == 2
            assert server.application_bytes < 60_000_000
            assert uplink.state == "ok"
            assert audit.of("submit.state") == []
            await client.close()

    asyncio.run(check())


def test_a_lock_takes_back_what_the_kernel_has_not_sent_yet(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    first, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    size = 1_000_000  # fits into the buffers of both sides, as a bundle on a slow link does

    async def stalled_reader(visit: Visit) -> None:
        await visit.secure()
        await visit.some()
        first.set()
        await go_on.wait()
        with contextlib.suppress(OSError):
            while await visit.some():
                pass
        ended.set()

    async def check() -> None:
        hold = Hold(folder)
        async with serving(stalled_reader, server_context(certificate), receive_buffer_bytes=4096) as server:
            config = collector_config(folder, authority, server.port)
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock(), hold=hold)
            under_way = asyncio.create_task(client.submit(envelope(1, size_bytes=size)))
            async with asyncio.timeout(20):
                await first.wait()
                await hold.act(SET)
                with pytest.raises(TransientError, match="incident_locked"):
                    await under_way
                go_on.set()
                await ended.wait()
            assert server.application_bytes < size

    asyncio.run(check())


def test_actions_stay_in_the_file_until_each_was_told_and_an_unlocked_file_goes(folder: Path) -> None:
    assert read_incident(folder) == Incident()
    note(folder, SET)
    note(folder, END)
    again = Action(LOCK, "stolen", AT, 1000)
    assert (
        note(folder, again)
        == read_incident(folder)
        == Incident(locked=True, reason="stolen", since=AT, untold=(SET, END, again))
    )
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    for action in (SET, END, again):
        told(folder, action)
    assert read_incident(folder) == Incident(locked=True, reason="stolen", since=AT)
    note(folder, END)
    assert told(folder, END) == Incident()
    assert not (folder / FILE).exists()
    with pytest.raises(RejectedError, match="reason_malformed"):
        Action(LOCK, "two words", AT, 0)


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b'{"locked":false}', b"\0" * 90, b'{"locked":false,"reason":"x","since":"","untold":1}']
)
def test_a_file_that_cannot_be_read_counts_as_locked_and_unlocking_mends_it(folder: Path, damage: bytes) -> None:
    (folder / FILE).write_bytes(damage)
    assert read_incident(folder).locked

    async def check() -> None:
        hold = Hold(folder)
        assert hold.locked
        await hold.act(END)
        assert not hold.locked

    asyncio.run(check())
    assert not read_incident(folder).locked


def test_a_lock_holds_on_a_disk_that_refuses_and_is_written_once_it_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "state"

    async def check() -> None:
        hold = Hold(folder)
        with pytest.raises(TransientError, match="incident_unwritten"):
            await hold.act(SET)
        await hold.refresh()
        assert hold.locked
        folder.mkdir()
        await hold.refresh()

    asyncio.run(check())
    assert read_incident(folder) == Incident(locked=True, reason="key_lost", since=AT, untold=(SET,))
