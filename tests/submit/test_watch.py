"""Warnings that come before they are needed: certificates that end, issuers that change, credentials that grow old."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from actod.submit.ages import LIMIT_DAYS, CredentialAges
from actod.submit.https import HttpsClient
from actod.submit.seen import ServerCertificates
from actod.submit.tls import CollectorTls
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import (
    FakeAudit,
    FakeClock,
    collector_config,
    confirm,
    envelope,
    server_context,
    serving,
    write_private,
)

NOW = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def der(file: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(file.read_text(encoding="ascii"))


@pytest.mark.parametrize(
    ("life", "left", "told"),
    [(365, 15, False), (365, 13.9, True), (90, 15, False), (90, 13, True), (6, 1.3, False), (6, 1.1, True), (6, -1, True)],
)
def test_a_certificate_that_ends_soon_is_told_once_and_only_by_a_clock_that_was_set(
    folder: Path, *, life: float, left: float, told: bool
) -> None:
    authority, audit = CertificateAuthority.make(folder / "ca"), FakeAudit()
    end = (NOW + left * DAY).replace(microsecond=0)
    chain = [der(authority.issue("x", not_before=end - life * DAY, not_after=end).cert_file), der(authority.ca_file)]
    watch = ServerCertificates(memory=None, audit=audit)
    watch.look(chain, now=None)
    assert not audit.lines
    for _ in range(3):
        watch.look(chain, now=NOW)
    assert [line["place"] for line in audit.of("certificate.ends_soon")] == [0] * told


def test_a_new_issuer_is_told_once_and_known_after_a_restart(folder: Path) -> None:
    audit = FakeAudit()
    chains = []
    for name in ("one", "two"):
        authority = CertificateAuthority.make(folder / name)
        chains.append([der(authority.issue("x").cert_file), der(authority.ca_file)])
    for chain in (chains[0], chains[0], chains[1], chains[1]):
        ServerCertificates(memory=folder / "server.json", audit=audit).look(chain, now=None)
    assert len(audit.of("certificate.issuer_changed")) == 1
    (folder / "server.json").write_bytes(b"[")
    ServerCertificates(memory=folder / "server.json", audit=audit).look(chains[0], now=None)
    assert len(audit.of("certificate.issuer_changed")) == 1


def test_the_certificates_of_real_handshakes_are_looked_at(folder: Path, authority: CertificateAuthority) -> None:
    clock, audit = FakeClock(), FakeAudit()
    clock.wall_ns = int(dt.datetime.now(dt.UTC).timestamp() * 1e9)
    soon = authority.issue(
        "soon", not_after=dt.datetime.now(dt.UTC) + 3 * DAY, not_before=dt.datetime.now(dt.UTC) - 90 * DAY
    )

    async def run() -> None:
        async with serving(confirm, server_context(soon)) as raw:
            config = collector_config(folder, authority, raw.port)
            tls = CollectorTls(collector=config, clock=clock, audit=audit, state_directory=folder)
            client = HttpsClient(collector=config, environment="dev", clock=clock, tls=tls)
            await client.submit(envelope())
            await client.close()
            assert not tls.refresh()

    asyncio.run(run())
    assert [line["days"] for line in audit.of("certificate.ends_soon")] == [2]


def test_a_replaced_client_certificate_and_authority_are_used_without_a_restart(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    """Short-lived ones are renewed every day. Files that do not fit yet change nothing."""
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(CertificateAuthority.make(folder / "other").ca_file.read_bytes())
    audit = FakeAudit()

    async def run() -> None:
        async with serving(confirm, server_context(certificate)) as raw:
            config = replace(collector_config(folder, authority, raw.port), ca_file=ca_file)
            tls = CollectorTls(collector=config, clock=FakeClock(), audit=audit)
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock(), tls=tls)
            ca_file.write_bytes(b"half a file")
            assert not tls.refresh()
            ca_file.write_bytes(authority.ca_file.read_bytes())
            assert tls.refresh()
            await client.submit(envelope())
            await client.close()

    asyncio.run(run())
    assert [event for event, _ in audit.lines] == ["tls.files_refused", "tls.files_taken"]


def ages(folder: Path, audit: FakeAudit, environment: str = "prod") -> CredentialAges:
    files = {"collector.api_key_file": folder / "key"}
    return CredentialAges(
        folder / "credentials.json", files=files, digest_key=b"k" * 32, environment=environment, audit=audit
    )


@pytest.mark.parametrize(("environment", "warned", "late"), [("prod", 24, 30), ("staging", 72, 90), ("dev", 72, 90)])
def test_a_credential_is_warned_of_before_its_time_once_and_never_refused(
    folder: Path, environment: str, warned: int, late: int
) -> None:
    audit = FakeAudit()
    write_private(folder / "key", "CANARY-one\nfor prod x\n")
    for day in range(late + 3):
        watch = ages(folder, audit, environment)  # each day after a restart
        for _ in range(2):
            watch.look(NOW + day * DAY)
    events = [(event, fields["days"]) for event, fields in audit.lines]
    assert events == [("credential.ageing", warned), ("credential.overdue", late)]
    assert watch.ages["collector.api_key_file"].limit_days == LIMIT_DAYS[environment]
    write_private(folder / "key", "CANARY-two\n")
    watch.look(NOW + (late + 3) * DAY)
    assert watch.ages["collector.api_key_file"].days == 0
    assert audit.lines[-1] == ("credential.changed", {"key": "collector.api_key_file"})
    kept = (folder / "credentials.json").read_text()
    assert "CANARY" not in kept
    assert (folder / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_without_the_folders_key_a_digest_says_nothing_of_the_secret(folder: Path) -> None:
    write_private(folder / "key", "one")
    kept = []
    for digest_key in (b"k" * 32, b"l" * 32):
        memory = folder / f"{digest_key[0]}.json"
        files = {"collector.api_key_file": folder / "key"}
        CredentialAges(memory, files=files, digest_key=digest_key, environment="dev", audit=FakeAudit()).look(NOW)
        kept.append(memory.read_bytes())
    assert kept[0] != kept[1]


def test_an_age_counts_from_the_first_look_by_a_clock_that_was_set(folder: Path) -> None:
    audit = FakeAudit()
    write_private(folder / "key", "one")
    watch = ages(folder, audit)
    watch.look(None)  # 1970
    assert watch.ages["collector.api_key_file"].days is None
    watch.look(NOW)
    watch.look(NOW + 23 * DAY)
    assert not audit.lines
    assert watch.ages["collector.api_key_file"].days == 23


KEPT = '{"collector.api_key_file": %s}'
ENTRIES = (
    "1",
    "{}",
    *(f'{{"digest": "x", "since": "{since}", "told": ""}}' for since in ("yesterday", "2026-01-01T00:00:00")),
)


@pytest.mark.parametrize("kept", ["", "{", "[]", *(KEPT % entry for entry in ENTRIES)])
def test_a_damaged_file_of_ages_and_a_missing_credential_stop_nothing(folder: Path, kept: str) -> None:
    (folder / "credentials.json").write_text(kept)
    watch = ages(folder, FakeAudit())
    watch.look(NOW)
    assert watch.ages == {}
    write_private(folder / "key", "one")
    watch.look(NOW)
    assert watch.ages["collector.api_key_file"].days == 0
