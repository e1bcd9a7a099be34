"""Alerts: which events are one, what leaves, how it is signed, and that a webhook which is away harms nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from actod.audit.log import AuditLog
from actod.config import AlertConfig, AuditConfig
from actod.errors import ConfigError
from actod.service.alerts import ALERTS, QUIET_SECONDS, Alerts, alert_of
from actod.submit import webhook
from actod.submit.webhook import HttpsWebhook
from hil.parts.certificates import Certificate, CertificateAuthority
from hil.rig import ROOT
from tests.config.parts import changed, write
from tests.submit.parts import (
    FakeAudit,
    FakeClock,
    FakePause,
    RawServer,
    Visit,
    proxying,
    response,
    server_context,
    serving,
    write_private,
)

SECRET = "CANARY-signing-secret"
PATH = "/hook/CANARY-path?token=CANARY-token"

EVENTS = [
    ("submit.pin_mismatch", {"seen": "sha256/x"}, "pin_mismatch"),
    ("seal.waiting", {"reason": "pin_locked"}, "key_locked"),
    ("seal.waiting", {"reason": "pin_incorrect"}, "key_locked"),
    ("seal.waiting", {"reason": "token_away"}, None),
    ("store.nearly_full", {"percent": 81}, "queue_nearly_full"),
    ("audit.repaired", {"torn_bytes": 3}, "audit_break"),
    ("audit.unwritten", {"count": 3}, "audit_break"),
    ("credential.ageing", {"days": 24}, "credential_age"),
    ("credential.overdue", {"days": 30}, "credential_age"),
    ("submit.state", {"state": "blocked:rejected-all", "reason": "refused_400"}, "mass_rejection"),
    ("submit.state", {"state": "blocked:pin", "reason": "pins_expired"}, "pins_expired"),
    ("submit.state", {"state": "blocked:network", "reason": "unreachable"}, None),
    ("submit.state", {"state": "ok", "reason": ""}, None),
    ("pins.refused", {"reason": "pins_rollback"}, "pins_refused"),
    ("incident.locked", {"reason": "key_lost", "uid": 0}, "incident_lock"),
    ("incident.unlocked", {"reason": "operator", "uid": 0}, "incident_unlock"),
    ("maintenance.done", {"kind": "weekly", "result": "fail"}, "maintenance"),
    ("maintenance.done", {"kind": "weekly", "result": "warn"}, None),
    ("daemon.started", {}, None),
    ("alert.undelivered", {"channel": "ops", "reason": "unreachable"}, None),
]


@pytest.mark.parametrize(("event", "fields", "kind"), EVENTS)
def test_these_events_are_alerts_and_no_others(event: str, fields: dict[str, Any], kind: str | None) -> None:
    assert alert_of(event, fields) == kind
    assert kind is None or kind in ALERTS


def channel(folder: Path, authority: CertificateAuthority, port: int, **changes: Any) -> AlertConfig:
    url = write_private(folder / "url", f"https://127.0.0.1:{port}{PATH}\n")
    secret = write_private(folder / "secret", SECRET + "\n")
    return AlertConfig(**({"name": "ops", "url_file": url, "secret_file": secret, "ca_file": authority.ca_file} | changes))


def answering(*statuses: int) -> Any:
    """Answer each request with the next status, and the last one for ever."""
    left = list(statuses)

    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            await visit.send(response(left.pop(0) if len(left) > 1 else left[0]))

    return script


def posted(raw: RawServer) -> list[tuple[dict[str, str], bytes]]:
    """Return headers and body of each request (one a connection)."""
    found = []
    for visit in raw.visits:
        head, _, body = bytes(visit.data).partition(b"\r\n\r\n")
        if body:
            lines = head.decode().split("\r\n")
            found.append(({name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}, body))
    return found


@contextlib.asynccontextmanager
async def alerting(
    channels: list[AlertConfig], *others: Any, proxy: str = ""
) -> AsyncIterator[tuple[Alerts, FakeClock, FakePause, FakeAudit]]:
    clock, audit = FakeClock(), FakeAudit()
    pause = FakePause(clock)
    hooks = [*(HttpsWebhook(each, proxy=proxy) for each in channels), *others]
    alerts = Alerts(webhooks=hooks, environment="dev", clock=clock, pause=pause.wait)
    alerts.device = "robot-7"
    task = asyncio.create_task(alerts.run(audit))
    try:
        yield alerts, clock, pause, audit
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # a connection that was closed leaves the loop


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_an_alert_holds_codes_and_counters_only_and_its_signature_covers_time_and_body(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(answering(200), server_context(certificate)) as raw, proxying() as proxy:
            async with alerting([channel(folder, authority, raw.port)], proxy=f"http://127.0.0.1:{proxy.port}") as (
                alerts,
                *_,
            ):
                fields = {
                    "reason": "pins_rollback",
                    "version": 3,
                    "seen": "sha256/x",
                    "path": "/etc/x",
                    "state": "a b",
                    "client_id": "serial-7",
                }
                threading.Thread(target=alerts.see, args=("pins.refused", fields)).start()
                await until(lambda: posted(raw))
            ((headers, body),) = posted(raw)
            facts = orjson.loads(body)
            assert facts.pop("at").startswith("2026-")
            assert facts == {
                "alert": "pins_refused",
                "count": 1,
                "environment": "dev",
                "device": "robot-7",
                "facts": {"reason": "pins_rollback", "version": 3},
            }
            time, _, mark = headers["x-actod-signature"].partition(",v1=")
            expected = hmac.new(SECRET.encode(), time[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
            assert hmac.compare_digest(mark, expected)
            assert proxy.targets == [f"127.0.0.1:{raw.port}"]
            assert b"CANARY" not in proxy.seen

    asyncio.run(run())


def test_a_storm_of_events_is_one_alert_and_later_a_second_with_their_number(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with serving(answering(204), server_context(certificate)) as raw:
            async with alerting([channel(folder, authority, raw.port)]) as (alerts, clock, _, _):
                alerts.see("store.blocked", {"reason": "disk_full"})
                await until(lambda: len(posted(raw)) == 1)
                for _ in range(1000):
                    alerts.see("store.blocked", {"reason": "disk_full"})
                alerts.see("submit.pin_mismatch", {})  # another kind does not wait for it
                await until(lambda: len(posted(raw)) == 2)
                clock.advance(QUIET_SECONDS)
                alerts.see("store.blocked", {"reason": "disk_full"})
                await until(lambda: len(posted(raw)) == 3)
            counts = [(orjson.loads(body)["alert"], orjson.loads(body)["count"]) for _, body in posted(raw)]
            assert counts == [("store_blocked", 1), ("pin_mismatch", 1), ("store_blocked", 1001)]

    asyncio.run(run())


def test_a_webhook_that_fails_is_tried_three_times_and_holds_up_neither_others_nor_later_alerts(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def run() -> None:
        async with (
            serving(answering(500, 500, 500, 302, 403, 200), server_context(certificate)) as bad,
            serving(answering(200), server_context(certificate)) as good,
        ):
            (folder / "good").mkdir()
            channels = [
                channel(folder, authority, bad.port),
                channel(folder / "good", authority, good.port, name="other", shape="slack", secret_file=None),
            ]
            async with alerting(channels) as (alerts, _, pause, audit):
                alerts.see("store.blocked", {"reason": "disk_full"})
                await until(lambda: len(posted(good)) == 1)
                assert len(posted(bad)) == 3
                assert pause.waits == [1.0, 4.0]
                alerts.see("audit.unwritten", {"count": 2})
                await until(lambda: len(posted(good)) == 2)
                assert len(posted(bad)) == 6, "the second alert arrives at its third try: 302 is not followed"
                assert audit.lines == [("alert.undelivered", {"channel": "ops", "reason": "status_500"})]
            text = [orjson.loads(body) for _, body in posted(good)]
            assert text[0] == {"text": "actod store_blocked on robot-7 (dev): reason disk_full"}
            assert "x-actod-signature" not in posted(good)[0][0]

    asyncio.run(run())


def test_discord_gets_its_own_shape(folder: Path, authority: CertificateAuthority, certificate: Certificate) -> None:
    async def run() -> None:
        async with serving(answering(204), server_context(certificate)) as raw:
            async with alerting([channel(folder, authority, raw.port, shape="discord")]) as (alerts, *_):
                alerts.see("audit.unwritten", {"count": 2})
                await until(lambda: posted(raw))
            assert orjson.loads(posted(raw)[0][1]) == {"content": "actod audit_break on robot-7 (dev): count 2"}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("another CA", "certificate_untrusted"),
        ("another pin", "pin_mismatch"),
        ("silent", "unreachable"),
        ("nobody there", "unreachable"),
        ("file gone", "config"),
    ],
)
def test_who_is_not_the_webhook_gets_no_byte_and_the_reason_is_told_once(
    folder: Path,
    authority: CertificateAuthority,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    reason: str,
) -> None:
    monkeypatch.setattr(webhook, "_SECONDS", 0.3 if case == "silent" else 5.0)
    other = CertificateAuthority.make(folder / "other")
    left: list[Visit] = []

    async def silent(visit: Visit) -> None:
        while await visit.some():
            continue
        left.append(visit)

    class After:
        """Is served after the one under test: what it got, the other has been tried with."""

        def __init__(self) -> None:
            self.name, self.shape, self.got = "after", "actod", 0

        def secret(self) -> bytes:
            return b""

        async def post(self, _body: bytes, _headers: Any) -> int:
            self.got += 1
            return 200

    async def run() -> None:
        context = server_context(other.issue("x") if case == "another CA" else certificate)
        async with serving(silent if case == "silent" else answering(200), context) as raw:
            pins = {"pins": [other.pin, other.backup_pin]} if case == "another pin" else {}
            one, after = channel(folder, authority, 1 if case == "nobody there" else raw.port, **pins), After()
            async with alerting([one], after) as (alerts, _, pause, audit):
                if case == "file gone":
                    one.url_file.unlink()
                for number, event in enumerate(("audit.unwritten", "store.blocked"), 1):
                    alerts.see(event, {"count": 1})
                    await until(lambda number=number: after.got == number)
            await until(lambda: case != "silent" or len(left) == len(raw.visits) == 6)
            assert pause.waits == [1.0, 4.0] * 2
            assert audit.lines == [("alert.undelivered", {"channel": "ops", "reason": reason})]
            assert b"POST" not in b"".join(bytes(visit.data) for visit in raw.visits)
            assert "CANARY" not in repr(audit.lines)

    asyncio.run(run())


@pytest.mark.parametrize(
    "url",
    ["http://a.example/CANARY", "https://", "https://u:CANARY@a.example/", "https://a.example:x/", "https://a#CANARY", "x"],
)
def test_only_https_urls_are_taken_and_none_is_shown(url: str, folder: Path, authority: CertificateAuthority) -> None:
    config = channel(folder, authority, 1)
    write_private(config.url_file, url)
    with pytest.raises(ConfigError, match=r"alerts\.url_file") as caught:
        HttpsWebhook(config, proxy="")
    assert "CANARY" not in str(caught.value)


def test_a_channel_without_a_secret_one_that_others_can_read_and_one_pin_are_refused(
    folder: Path, authority: CertificateAuthority
) -> None:
    with pytest.raises(ConfigError, match="secret_file"):
        HttpsWebhook(channel(folder, authority, 1, secret_file=None), proxy="")
    with pytest.raises(ConfigError, match=r"alerts\.pins"):
        HttpsWebhook(channel(folder, authority, 1, pins=[authority.pin]), proxy="")
    config = channel(folder, authority, 1)
    config.url_file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        HttpsWebhook(config, proxy="")


def test_the_audit_log_tells_its_sink_of_each_line_and_of_those_that_it_could_not_write(folder: Path) -> None:
    class Sink:
        def __init__(self) -> None:
            self.heard: list[str] = []

        def see(self, event: str, fields: Any) -> None:
            self.heard.append(f"{event} {dict(fields)}")

    sink = Sink()
    log = AuditLog(folder / "audit", clock=FakeClock(), config=AuditConfig(), alerts=sink)
    log.record("store.blocked", reason="disk_full")
    log.witness("store.committed", {"last": 1})
    log.close()
    log.record("submit.pin_mismatch", seen="x")
    assert sink.heard == [
        "store.blocked {'reason': 'disk_full'}",
        "store.committed {'last': 1}",
        "submit.pin_mismatch {'seen': 'x'}",
        "audit.unwritten {'count': 1}",
    ]
    file = next((folder / "audit").iterdir())
    file.write_bytes(file.read_bytes() + b'{"torn')
    sink.heard.clear()
    AuditLog(folder / "audit", clock=FakeClock(), config=AuditConfig(), alerts=sink).close()
    assert sink.heard == ["audit.repaired {'torn_bytes': 6}"]


def test_the_command_tries_a_named_channel_and_says_what_came_of_it(
    folder: Path, authority: CertificateAuthority, certificate: Certificate
) -> None:
    async def command(file: Path, name: str) -> tuple[int | None, str]:
        done = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "actod", "alert", "test", name, "--config", str(file)),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await done.communicate()
        return done.returncode, said.decode()

    async def run() -> None:
        async with serving(answering(200, 404), server_context(certificate)) as raw:
            one = channel(folder, authority, raw.port)
            table = {"name": "ops", "url_file": str(one.url_file), "secret_file": str(one.secret_file)}
            file = write(folder, changed("alerts", [table | {"ca_file": str(authority.ca_file)}]))
            assert await command(file, "ops") == (0, "ops: delivered\n")
            assert orjson.loads(posted(raw)[0][1])["alert"] == "test"
            assert await command(file, "ops") == (1, "actod alert: ops: not delivered (status_404)\n")
            code, said = await command(file, "opps")
            assert (code, "expected a channel (ops), found 'opps'" in said) == (78, True)

    asyncio.run(run())
