"""A server that is not the pinned one gets no byte of a request: seen from the server, direct and through a proxy."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import socket
import ssl
import subprocess
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from actod.errors import ConfigError, TransientError
from actod.submit.https import HttpsClient
from actod.submit.pins import PinMismatchError, check_chain, fingerprint, parse_pins, validated_chain
from actod.submit.tls import CollectorTls
from hil.parts.certificates import Certificate, CertificateAuthority, pin_of
from tests.submit.parts import (
    API_KEY,
    PAYLOAD,
    FakeAudit,
    FakeClock,
    RawServer,
    Visit,
    collector_config,
    confirm,
    envelope,
    proxying,
    receipt_for,
    server_context,
    serving,
)

_DAY = dt.timedelta(days=1)
OTHER = ["sha256/" + base64.b64encode(hashlib.sha256(name).digest()).decode() for name in (b"one", b"two")]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


async def attempt(client: HttpsClient) -> str:
    """Return the reason of the failure, "accepted" if there was none."""
    try:
        await client.submit(envelope())
    except TransientError as failure:
        return failure.reason
    finally:
        await client.close()
    return "accepted"


def old_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a context speak TLS 1.1 and nothing newer."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def plain(visit: Visit) -> None:
    """Speak HTTP where TLS is expected."""
    while await visit.some():
        await visit.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize("through_proxy", [False, True], ids=["direct", "proxy"])
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("right", "accepted"),
        ("wrong_pin", "pin_mismatch"),
        ("wrong_ca", "certificate_untrusted"),
        ("expired", "certificate_expired"),
        ("wrong_name", "certificate_wrong_name"),
        ("self_signed", "certificate_untrusted"),
        ("not_yet_valid", "certificate_not_yet_valid"),
        ("not_yet_valid_by_a_clock_nobody_set", "clock_untrusted"),
        ("tls_1_1", "tls_failed unreachable"),
        ("plain_http", "tls_failed"),
    ],
)
def test_only_the_pinned_server_gets_request_bytes(
    case: str, reason: str, *, through_proxy: bool, folder: Path, authority: CertificateAuthority
) -> None:
    made: dict[str, dict[str, Any]] = {
        "expired": {"not_before": now() - 9 * _DAY, "not_after": now() - _DAY},
        "not_yet_valid": {"not_before": now() + _DAY},
        "not_yet_valid_by_a_clock_nobody_set": {"not_before": now() + _DAY},
        "wrong_name": {"san": ("other.invalid",)},
        "self_signed": {"self_signed": True},
    }
    issuer = CertificateAuthority.make(folder / "other-ca") if case == "wrong_ca" else authority
    certificate = issuer.issue(f"{case}-{through_proxy}", **made.get(case, {}))
    context = server_context(certificate)
    if case == "tls_1_1":
        context = old_tls(context)
    clock, audit = FakeClock(synchronised="nobody" not in case), FakeAudit()

    async def run() -> None:
        async with serving(plain if case == "plain_http" else confirm, context) as raw, proxying() as proxy:
            config = collector_config(folder, authority, raw.port)
            changes: dict[str, Any] = {"proxy": f"http://127.0.0.1:{proxy.port}"} if through_proxy else {}
            # The wrong certificate's own pin is in the set: pins never stand in for validation.
            changes["pins"] = OTHER if case == "wrong_pin" else [certificate.pin, authority.pin, authority.backup_pin]
            config = collector_config(folder, authority, raw.port, **changes)
            client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
            assert await attempt(client) in reason.split()  # asyncio's server may go away before its alert is sent
            assert bool(proxy.targets) == through_proxy
            assert API_KEY.encode() not in proxy.seen
            assert PAYLOAD not in proxy.seen
            if case == "right":
                assert raw.application_bytes > len(PAYLOAD)
            else:
                _assert_nothing_arrived(raw, case)

    asyncio.run(run())
    assert bool(audit.of("submit.pin_mismatch")) == (case == "wrong_pin")
    if case == "wrong_pin":  # what the operator needs to mend it
        assert certificate.pin in audit.of("submit.pin_mismatch")[0]["seen"]
        assert authority.pin in audit.of("submit.pin_mismatch")[0]["seen"]


def _assert_nothing_arrived(raw: RawServer, case: str) -> None:
    assert raw.visits, "the client must have tried"
    if case == "plain_http":  # here the recorded bytes are the raw ones: a ClientHello, and nothing of the request
        data = b"".join(bytes(visit.data) for visit in raw.visits)
        assert not any(word in data for word in (b"POST", b"/v1", API_KEY.encode(), PAYLOAD))
    else:
        assert raw.application_bytes == 0


def test_the_server_of_the_old_tls_case_does_serve_those_who_accept_it(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(confirm, old_tls(server_context(certificate))) as raw:
            context = old_tls(
                CollectorTls(collector=collector_config(folder, authority, raw.port), clock=FakeClock()).context
            )
            _, writer = await asyncio.open_connection("127.0.0.1", raw.port, ssl=context)
            assert writer.get_extra_info("ssl_object").version() == "TLSv1.1"
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}", "HTTP://127.0.0.1:{port}", "//127.0.0.1:{port}", "127.0.0.1:{port}"]
)
def test_a_url_without_tls_is_refused_before_anything_connects(
    url: str, folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(plain, server_context(certificate)) as raw:
            config = collector_config(folder, authority, raw.port, url=url.format(port=raw.port))
            with pytest.raises(ConfigError, match=r"collector\.url"):
                HttpsClient(collector=config, environment="dev", clock=FakeClock())
            assert not raw.visits

    asyncio.run(run())


@pytest.mark.parametrize("pinned", ["leaf", "intermediate", "root", "none"])
def test_a_pin_matches_any_certificate_of_the_validated_chain(pinned: str, folder: Path) -> None:
    """Made with openssl(1), and compared with the pins that its documented command line gives."""
    chain = _chain_of_three(folder)
    pins = {"leaf": chain["leaf"], "intermediate": chain["intermediate"], "root": chain["root"], "none": OTHER[0]}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "served.pem", folder / "leaf.key")
    authority = CertificateAuthority.make(folder / "unused")

    async def run() -> None:
        async with serving(confirm, context) as raw:
            config = collector_config(
                folder, authority, raw.port, ca_file=folder / "root.pem", pins=[pins[pinned], authority.backup_pin]
            )
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            assert await attempt(client) == ("pin_mismatch" if pinned == "none" else "accepted")
            assert (raw.application_bytes == 0) == (pinned == "none")

    asyncio.run(run())


def test_a_certificate_that_is_sent_but_not_part_of_the_validated_chain_matches_no_pin(folder: Path) -> None:
    """Else a stolen leaf of any CA could carry the pinned certificate along."""
    _chain_of_three(folder)
    stranger = CertificateAuthority.make(folder / "stranger")
    served = folder / "served.pem"
    served.write_bytes(served.read_bytes() + stranger.ca_file.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served, folder / "leaf.key")

    async def run() -> None:
        async with serving(confirm, context) as raw:
            config = collector_config(
                folder, stranger, raw.port, ca_file=folder / "root.pem", pins=[stranger.pin, stranger.backup_pin]
            )
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            assert await attempt(client) == "pin_mismatch"
            assert raw.application_bytes == 0

    asyncio.run(run())


def _chain_of_three(folder: Path) -> dict[str, str]:
    """Make root -> intermediate -> leaf, serve leaf and intermediate; return their pins by openssl's own commands."""

    def openssl(command: str, data: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *command.split()], cwd=folder, input=data, check=True, capture_output=True).stdout

    (folder / "v3.cnf").write_text(
        "[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
        "[leaf]\nbasicConstraints=CA:false\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
        "[req]\ndistinguished_name=dn\n[dn]\n",
        encoding="ascii",
    )
    for name in ("root", "intermediate", "leaf"):
        openssl(f"genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key")
        openssl(f"req -new -key {name}.key -subj /CN={name} -config v3.cnf -out {name}.csr")
    openssl("x509 -req -in root.csr -signkey root.key -days 9 -extfile v3.cnf -extensions ca -out root.pem")
    for name, issuer, section in (("intermediate", "root", "ca"), ("leaf", "intermediate", "leaf")):
        openssl(
            f"x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 9 "
            f"-extfile v3.cnf -extensions {section} -out {name}.pem"
        )
    (folder / "served.pem").write_bytes((folder / "leaf.pem").read_bytes() + (folder / "intermediate.pem").read_bytes())
    pins = {}
    for name in ("root", "intermediate", "leaf"):
        spki = openssl("pkey -pubin -outform der", openssl(f"x509 -in {name}.pem -pubkey -noout"))
        pins[name] = "sha256/" + base64.b64encode(openssl("dgst -sha256 -binary", spki)).decode()
        assert fingerprint((folder / f"{name}.pem").read_text(encoding="ascii")) == pins[name]
        assert fingerprint(openssl(f"x509 -in {name}.pem -outform der")) == pins[name]
    return pins


def test_a_pinned_certificate_written_into_another_one_matches_no_pin(certificate: Certificate) -> None:
    """A parser that looks for PEM in what it is given would find the pinned certificate there, and not the real one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    carried = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.5"), certificate.cert_file.read_bytes())
    forged = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now() - _DAY, now() + _DAY)
        .add_extension(carried, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    with pytest.raises(PinMismatchError) as caught:
        check_chain([forged], frozenset({certificate.pin}))
    assert caught.value.seen == (pin_of(key.public_key()),)


def test_tls_1_3_is_spoken_where_both_can_and_1_2_still_is(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    spoken = []

    async def script(visit: Visit) -> None:
        await visit.secure()
        spoken.append(visit.writer.get_extra_info("ssl_object").version())
        await visit.send(receipt_for(await visit.request()))

    async def run() -> None:
        for newest in (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_2):
            context = server_context(certificate)
            context.maximum_version = newest
            async with serving(script, context) as raw:
                client = HttpsClient(
                    collector=collector_config(folder, authority, raw.port), environment="dev", clock=FakeClock()
                )
                assert await attempt(client) == "accepted"

    asyncio.run(run())
    assert spoken == ["TLSv1.3", "TLSv1.2"]


def test_the_pin_also_holds_on_blocking_sockets(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    context = CollectorTls(collector=collector_config(folder, authority, 1, pins=OTHER), clock=FakeClock()).context
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            raw, _ = listener.accept()
            with raw:
                try:
                    with server_context(certificate).wrap_socket(raw, server_side=True) as secure:
                        received.extend(secure.recv(100))
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(listener.getsockname()) as raw, pytest.raises(PinMismatchError):
            context.wrap_socket(raw, server_hostname="127.0.0.1")
        thread.join(10)
    assert not received


def test_the_chain_is_read_in_its_public_form_where_there_is_one(certificate: Certificate) -> None:
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_file.read_text(encoding="ascii"))

    class Newer:
        def get_verified_chain(self) -> list[bytes]:
            return [der]

    assert validated_chain(Newer()) == [der]
    check_chain([der], frozenset({certificate.pin}))
    with pytest.raises(PinMismatchError) as caught:
        check_chain([], frozenset({certificate.pin}))
    assert caught.value.seen == ()


@pytest.mark.parametrize(
    "pins",
    [
        [],
        OTHER[:1],
        [OTHER[0], OTHER[0]],
        [OTHER[0], OTHER[0], OTHER[1]],
        [OTHER[0], OTHER[1].removeprefix("sha256/")],
        [OTHER[0], "sha1/" + base64.b64encode(bytes(20)).decode()],
        [OTHER[0], "sha256/" + base64.b64encode(bytes(31)).decode()],
        [OTHER[0], "sha256/" + base64.b64encode(bytes(33)).decode()],
        [OTHER[0], OTHER[1] + "\n"],
        [OTHER[0], OTHER[1].rstrip("=")],
        [OTHER[0], "sha256/" + "\N{SNOWMAN}" * 44],
        [OTHER[0], ""],
    ],
)
def test_fewer_than_two_real_pins_are_refused(pins: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"collector\.pins"):
        parse_pins(pins)


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=5, unique=True))
def test_any_two_different_digests_are_pins(digests: list[bytes]) -> None:
    pins = ["sha256/" + base64.b64encode(digest).decode() for digest in digests]
    assert parse_pins(pins) == frozenset(pins)


def test_one_key_written_in_two_ways_is_one_pin() -> None:
    """The last character of 43 carries 2 bits that base64 ignores: it must not pass for a backup."""
    twin = OTHER[0][:-2] + chr(ord(OTHER[0][-2]) + 1) + "="
    assert base64.b64decode(twin[7:]) == base64.b64decode(OTHER[0][7:])
    with pytest.raises(ConfigError, match="2, of which 1 differ"):
        parse_pins([OTHER[0], twin])


def test_the_environment_changes_neither_trust_nor_key_log(
    folder: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = folder / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    context = CollectorTls(collector=collector_config(folder, authority, 1, ca_file=None), clock=FakeClock()).context
    subjects = [dict(pair[0] for pair in ca["subject"]).get("commonName") for ca in context.get_ca_certs()]
    assert "actod test CA" not in subjects
    assert context.keylog_filename is None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
