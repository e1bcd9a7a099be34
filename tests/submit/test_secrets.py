"""Credentials: which files are taken, that a change is seen, and that nothing shows them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import logging
import os
import ssl
import stat
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from actod.errors import ActodError, ConfigError, TransientError
from actod.submit.credentials import CredentialFile, api_key_file
from actod.submit.endpoint import check_proxy, check_url
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink
from hil.parts.certificates import Certificate, CertificateAuthority
from tests.submit.parts import (
    API_KEY,
    PAYLOAD,
    WALLET,
    FakeAudit,
    FakeClock,
    FakePause,
    Visit,
    collector_config,
    confirm,
    envelope,
    receipt_for,
    response,
    server_context,
    serving,
    write_private,
)

CANARIES = (API_KEY, WALLET, PAYLOAD.decode(), "CANARY-echo")


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_private_file_is_taken_without_its_line_end(mode: int, folder: Path) -> None:
    for end in ("", "\n", "\r\n"):
        file = folder / "key"
        file.unlink(missing_ok=True)
        write_private(file, API_KEY + end, mode=mode)
        assert CredentialFile(file, key="k").read().reveal() == API_KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o610, 0o602])
def test_a_file_that_others_can_read_or_write_is_refused(mode: int, folder: Path) -> None:
    file = write_private(folder / "key", API_KEY, mode=mode)
    with pytest.raises(ConfigError, match=r"only its owner.*chmod 600") as caught:
        CredentialFile(file, key="collector.api_key_file")
    assert API_KEY not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "two words", "two\nlines", "tab\tkey", " " + API_KEY, "clé", "a\0b", "x" * 5000])
def test_what_cannot_stand_in_a_header_is_refused_without_being_shown(text: str, folder: Path) -> None:
    file = write_private(folder / "key", text)
    with pytest.raises(ConfigError, match=r"k: expected (one line|a secret)") as caught:
        CredentialFile(file, key="k")
    shown = "".join(traceback.format_exception(caught.value))
    assert not text.strip() or text.strip() not in shown
    assert caught.value.__context__ is None


def test_missing_foreign_and_irregular_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe", 0o600)
    for path in (folder / "missing", folder / "folder", folder / "pipe"):
        with pytest.raises(ConfigError, match=r"^config: k: expected a "):
            CredentialFile(path, key="k")
    file = write_private(folder / "key", API_KEY)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 12345)
    if os.getuid():  # root's own files stay allowed
        with pytest.raises(ConfigError, match="ours or of root"):
            CredentialFile(file, key="k")
    else:
        os.chown(file, 54321, 54321)
        with pytest.raises(ConfigError, match="ours or of root"):
            CredentialFile(file, key="k")


def test_systemds_credentials_are_taken_with_the_mask_of_their_access_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_private(folder / "key", API_KEY, mode=0o440)
    with pytest.raises(ConfigError):
        CredentialFile(file, key="k")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert CredentialFile(file, key="k").read().reveal() == API_KEY
    file.chmod(0o444)
    with pytest.raises(ConfigError):
        CredentialFile(file, key="k")
    with pytest.raises(ConfigError):
        CredentialFile(write_private(folder.parent / f"{folder.name}-key", API_KEY, mode=0o440), key="k")


@pytest.mark.parametrize(
    ("environment", "label", "taken"),
    [
        ("prod", "for prod collector.example", True),
        ("prod", "", False),
        ("prod", "for staging collector.example", False),
        ("prod", "for prod other.example", False),
        ("staging", "", True),
        ("staging", "for prod collector.example", False),
        ("dev", "for dev collector.example", True),
        ("dev", "for prod collector.example", False),
        ("dev", "of prod", False),
        ("dev", "for dev collector.example\nfor prod x", False),
    ],
)
def test_a_key_of_one_environment_or_server_is_refused_in_another(
    folder: Path, environment: str, label: str, *, taken: bool
) -> None:
    file = write_private(folder / "key", f"{API_KEY}\n{label}")
    if taken:
        assert api_key_file(file, key="k", environment=environment, host="collector.example").read().reveal() == API_KEY
        return
    with pytest.raises(ConfigError, match=r"k: expected ") as caught:
        api_key_file(file, key="k", environment=environment, host="collector.example")
    assert API_KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://collector.example",
        "ftp://collector.example",
        "https://",
        "https:///path",
        "https://user@collector.example",
        "https://user:CANARYpw@collector.example",
        "https://collector.example?key=CANARYpw",
        "https://collector.example/?",
        "https://collector.example#x",
        "https://collector.example:99999",
        "https://collector.example:x",
        "https://[::1",
        "https://xn--a.b",
        "https://a..b",
        "https://" + "x" * 64 + ".example",
        "https://999.1.1.1",
        "https://0177.0.0.1",
        "https://collector example",
        "https://coll\nector.example",
        "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example",
        "collector.example",
        "",
    ],
)
def test_only_plain_https_urls_are_taken(url: str) -> None:
    with pytest.raises(ConfigError, match=r"collector\.url") as caught:
        check_url(url, "dev")
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


LOOPBACKS = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "ip6-localhost",
    "127.0.0.1",
    "127.9.9.9",
    "127.1",
    "0.0.0.0",  # noqa: S104 - refused here
    "[::]",
    "[::1]",
    "[0:0::1]",
    "[::ffff:127.0.0.1]",
    "2130706433",
    "0x7f000001",
]


@pytest.mark.parametrize("host", LOOPBACKS)
def test_prod_refuses_a_collector_on_this_machine_and_dev_does_not(host: str) -> None:
    url = f"https://{host}:8443/api/"
    assert check_url(url, "dev") == url.rstrip("/")
    assert check_url(url, "staging") == url.rstrip("/")
    with pytest.raises(ConfigError, match="prod"):
        check_url(url, "prod")


@pytest.mark.parametrize(
    "url",
    ["https://collector.example", "https://collector.example:8443/api", "https://[2001:db8::1]:8443", "https://10.0.0.7"],
)
def test_prod_takes_other_machines(url: str) -> None:
    assert check_url(url, "prod") == url


@pytest.mark.parametrize(
    "url",
    [
        "https://proxy:3128",
        "http://user:CANARYpw@proxy:3128",
        "http://proxy",
        "http://proxy:1/x",
        "socks5://proxy:1",
        "proxy:1",
    ],
)
def test_only_plain_connect_proxies_are_taken(url: str) -> None:
    with pytest.raises(ConfigError, match=r"collector\.proxy") as caught:
        check_proxy(url)
    assert "CANARY" not in str(caught.value)


def keyed(*good: str) -> Any:
    """Confirm requests under one of these keys, 401 for the rest."""

    async def script(visit: Visit) -> None:
        await visit.secure()
        while request := await visit.request():
            known = any(f"Bearer {key}\r\n".encode() in request for key in good)
            await visit.send(receipt_for(request) if known else response(401, b'{"detail":"Invalid"}'))

    return script


def test_a_replaced_key_is_used_at_once_without_a_restart(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(keyed("new-key"), server_context(certificate)) as raw:
            config = collector_config(folder, authority, raw.port)
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            with pytest.raises(TransientError, match="unauthorised"):
                await client.submit(envelope())
            assert bytes(raw.visits[0].data).count(b"POST ") == 1, "an unchanged key is not tried twice"
            write_private(config.api_key_file, "new-key")
            await client.submit(envelope())
            await client.close()

    asyncio.run(run())


def test_a_key_replaced_while_a_request_was_under_way_is_tried_before_anything_else(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    audit = FakeAudit()

    async def script(visit: Visit) -> None:
        await visit.secure()
        request = await visit.request()
        assert b"new-key" not in request
        write_private(folder / "api-key", "new-key")
        await visit.send(response(401))
        request = await visit.request()
        await visit.send(receipt_for(request) if b"new-key" in request else response(401))

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            config = collector_config(folder, authority, raw.port)
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock(), audit=audit)
            await client.submit(envelope())
            await client.close()

    asyncio.run(run())
    assert len(audit.of("credential.reread")) == 1


@pytest.mark.parametrize("harm", ["missing", "empty", "open", "revoked"])
def test_a_key_that_goes_bad_while_running_blocks_and_mends(
    harm: str, folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(keyed(API_KEY), server_context(certificate)) as raw:
            config, clock, audit = collector_config(folder, authority, raw.port), FakeClock(), FakeAudit()
            client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
            uplink = PacedUplink(client=client, collector=config, clock=clock, audit=audit, pause=FakePause(clock))
            file = config.api_key_file
            if harm == "missing":
                file.unlink()
            else:
                write_private(file, {"empty": "", "open": API_KEY, "revoked": "revoked-key"}[harm])
                file.chmod(0o644 if harm == "open" else 0o600)
            for _ in range(3):
                with pytest.raises(TransientError) as caught:
                    await uplink.submit(envelope())
                assert caught.value.reason == ("unauthorised" if harm == "revoked" else "credential_unreadable")
            assert uplink.state == "blocked:auth"
            assert bool(raw.visits) == (harm == "revoked")
            write_private(file, API_KEY)
            await uplink.submit(envelope())
            assert [line["state"] for line in audit.of("submit.state")] == ["blocked:auth", "ok"]
            await client.close()

    asyncio.run(run())


def _everything_shown(exc: BaseException) -> Iterator[str]:
    """Walk an exception as far as any reporter would: messages, what it was raised from, and every frame's locals."""
    waiting: list[BaseException] = [exc]
    seen = set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield repr(current)
        yield str(vars(current))
        yield "".join(traceback.format_exception(current))
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if "actod/submit" in frame.f_code.co_filename:
                yield repr(dict(frame.f_locals))
        waiting += [other for other in (current.__cause__, current.__context__) if other is not None]


def test_no_secret_in_exceptions_reprs_logs_or_audit_however_a_request_ends(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    """The root logger is at DEBUG, and the server repeats canaries wherever a client could pick them up."""
    stream, audit, clock, shown = io.StringIO(), FakeAudit(), FakeClock(), []
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    answers = [
        response(status, b'{"detail":[{"input":"CANARY-echo"}]}') for status in (400, 401, 403, 404, 413, 422, 429, 500, 503)
    ]
    answers += [b"CANARY-echo\r\n\r\n", response(200, b"CANARY-echo"), b"", response(200, b'{"proof_id":"CANARY-echo"}')]
    answers += [response(302, b"", "location: https://x/?CANARY-echo\r\n")]
    waiting = iter(data for data in answers for _ in range(2))  # once for the client alone, once for the uplink

    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            data = next(waiting)
            if not data:
                return
            await visit.send(data)

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            config = collector_config(folder, authority, raw.port)
            client = HttpsClient(collector=config, environment="dev", clock=clock, audit=audit)
            uplink = PacedUplink(client=client, collector=config, clock=clock, audit=audit, pause=FakePause(clock))
            for number in range(len(answers)):
                for part in (client, uplink):
                    with pytest.raises(ActodError) as caught:
                        await part.submit(envelope(number))
                    shown.extend(_everything_shown(caught.value))
            shown.extend([repr(client), repr(uplink), repr(vars(client)), repr(vars(uplink)), uplink.why, repr(envelope())])
            write_private(config.api_key_file, f"two words {API_KEY}")
            with pytest.raises(ActodError) as caught:
                await uplink.submit(envelope())
            shown.extend(_everything_shown(caught.value))
            await client.close()
            assert raw.application_bytes

    try:
        asyncio.run(run())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.reset_defaults()
    shown += [stream.getvalue(), repr(audit.lines)]
    assert "selector" in stream.getvalue(), "the control: debug lines of libraries are seen"
    assert "Submission is held up" in stream.getvalue(), "the control: so are our own"
    assert any("refused_422" in text for text in shown), "the control: the scan sees reasons"
    for canary in CANARIES:
        assert not [text[:300] for text in shown if canary in text], canary


def test_credentials_leave_only_inside_the_pinned_connection_to_the_collector(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    """/health is open: it is asked without a key."""

    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            await visit.send(response(200, b'{"status":"ok"}'))

    async def run() -> None:
        async with serving(script, server_context(certificate)) as raw:
            client = HttpsClient(
                collector=collector_config(folder, authority, raw.port), environment="dev", clock=FakeClock()
            )
            assert await client.health() == 200
            await client.close()
            assert API_KEY.encode() not in bytes(raw.visits[0].data)
            assert bytes(raw.visits[0].data).startswith(b"GET /health HTTP/1.1\r\n")

    asyncio.run(run())


def test_a_client_certificate_is_presented_and_its_key_must_be_private(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    ours = authority.issue("robot", client=True)
    context = server_context(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)

    async def run() -> None:
        async with serving(confirm, context) as raw:
            config = collector_config(folder, authority, raw.port)
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            with pytest.raises(TransientError, match=r"client_certificate_refused|cut_off"):
                await client.submit(envelope())
            await client.close()
            config = collector_config(
                folder, authority, raw.port, certificate_file=ours.cert_file, private_key_file=ours.key_file
            )
            client = HttpsClient(collector=config, environment="dev", clock=FakeClock())
            await client.submit(envelope())
            await client.close()
            ours.key_file.chmod(0o644)
            with contextlib.ExitStack() as stack:
                stack.callback(ours.key_file.chmod, stat.S_IRUSR | stat.S_IWUSR)
                with pytest.raises(ConfigError, match="private_key_file"):
                    HttpsClient(collector=config, environment="dev", clock=FakeClock())

    asyncio.run(run())
    gc.collect()  # an unclosed socket is a warning, and a warning is an error
