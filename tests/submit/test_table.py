"""The table: each status and each TLS failure, with the exact state, the time of the retry and the fate of the bundle."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from actod.errors import ActodError, SuspectError, TransientError
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink
from hil.parts.certificates import CertificateAuthority
from tests.submit.parts import (
    FakeAudit,
    FakeClock,
    FakePause,
    Visit,
    collector_config,
    confirm,
    envelope,
    response,
    server_context,
    serving,
)
from tests.submit.test_pins import OTHER, old_tls, plain

STAYS, DEFERRED = TransientError, SuspectError
Row = tuple[str, str, type[ActodError], tuple[float, float]]
BACKOFF, AT_ONCE = (1.0, 2.0), (0.0, 2.0)  # the pauses after the first and second failure, at the upper end of the jitter

STATUSES: dict[int, Row] = {
    **dict.fromkeys([201, 202, 204, 206, 600], ("malformed_response", "slow:server", STAYS, BACKOFF)),
    **dict.fromkeys([300, 301, 302, 303, 304, 307, 308, 511], ("captive_portal", "blocked:network", STAYS, BACKOFF)),
    **dict.fromkeys([400], ("refused_400", "blocked:rejected-all", DEFERRED, AT_ONCE)),
    **dict.fromkeys([401], ("unauthorised", "blocked:auth", STAYS, BACKOFF)),
    **dict.fromkeys([402], ("quota_exceeded", "blocked:quota", STAYS, BACKOFF)),
    **dict.fromkeys([403, 451], ("gate_closed", "blocked:gate", STAYS, BACKOFF)),
    **dict.fromkeys([404, 405, 406, 407, 409, 410, 411, 412, 415, 417, 418, 421, 426, 428, 431, 499],
                    ("endpoint_missing", "blocked:gate", STAYS, BACKOFF)),
    **dict.fromkeys([408, 425], ("response_timeout", "slow:server", STAYS, BACKOFF)),
    **dict.fromkeys([413], ("too_large", "blocked:rejected-all", DEFERRED, AT_ONCE)),
    **dict.fromkeys([422], ("refused_422", "blocked:rejected-all", DEFERRED, AT_ONCE)),
    **dict.fromkeys([429], ("rate_limited", "blocked:quota", STAYS, BACKOFF)),
    **dict.fromkeys([500], ("server_error", "slow:server", DEFERRED, BACKOFF)),
    **dict.fromkeys([501, 502, 503, 504, 505, 507, 508, 510, 520, 521, 522, 525, 530, 599],
                    ("server_unavailable", "slow:server", STAYS, BACKOFF)),
}  # fmt: skip
DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC)
FAILURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "expired": ({"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}, "certificate_expired", "blocked:tls"),
    "not_yet_valid": ({"not_before": NOW + DAY}, "certificate_not_yet_valid", "blocked:tls"),
    "not_yet_valid_by_a_clock_nobody_set": ({"not_before": NOW + DAY}, "clock_untrusted", "blocked:clock"),
    "wrong_name": ({"san": ("other.invalid",)}, "certificate_wrong_name", "blocked:tls"),
    "self_signed": ({"self_signed": True}, "certificate_untrusted", "blocked:tls"),
    "wrong_ca": ({}, "certificate_untrusted", "blocked:tls"),
    "wrong_pin": ({}, "pin_mismatch", "blocked:pin"),
    "plain_http": ({}, "tls_failed", "blocked:tls"),
}


class Robot:
    """The uplink over real TLS, under a clock that only pauses move and with the longest of each jitter."""

    def __init__(self, config: Any, *, synchronised: bool | None = True) -> None:
        self.clock, self.audit = FakeClock(synchronised=synchronised), FakeAudit()
        self.pause = FakePause(self.clock)
        self.client = HttpsClient(collector=config, environment="dev", clock=self.clock, audit=self.audit)
        self.uplink = PacedUplink(
            client=self.client,
            collector=config,
            clock=self.clock,
            audit=self.audit,
            uniform=lambda _low, high: high,
            pause=self.pause,
        )

    async def hold_to(self, reason: str, state: str, fate: type[ActodError], pauses: tuple[float, float]) -> None:
        """Make two attempts, and compare how each ends, when it is over, and what the operator sees."""
        for pause in pauses:
            self.clock.advance(30)  # the pace has long been waited for
            before = self.clock.ns
            with pytest.raises(ActodError) as caught:
                await self.uplink.submit(envelope())
            assert (caught.value.reason, type(caught.value)) == (reason, fate)
            assert (self.clock.ns - before) / 1e9 == pytest.approx(pause, abs=0.01)
        assert self.uplink.state == state
        assert reason in self.uplink.why
        assert self.audit.of("submit.state") == [{"state": state, "before": "ok", "reason": reason}]
        assert not self.audit.of("submit.rejected")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.make(tmp_path_factory.mktemp("table-ca"))


def test_each_status_has_its_state_its_pause_and_its_fate(folder: Path, made: CertificateAuthority) -> None:
    status = [0]

    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            bare = status[0] in {204, 304}
            await visit.send(b"HTTP/1.1 %d X\r\n\r\n" % status[0] if bare else response(status[0], b'{"detail":"no"}'))

    async def run() -> None:
        async with serving(script, server_context(made.issue("table"))) as raw:
            config = collector_config(folder, made, raw.port)
            for status[0], row in STATUSES.items():
                robot = Robot(config)
                await robot.hold_to(*row)
                await robot.client.close()

    asyncio.run(run())


@pytest.mark.parametrize("case", FAILURES)
def test_each_tls_failure_has_its_state_its_pause_and_leaves_the_bundle_where_it_is(
    case: str, folder: Path, made: CertificateAuthority
) -> None:
    changes, reason, state = FAILURES[case]
    issuer = CertificateAuthority.make(folder / "other-ca") if case == "wrong_ca" else made
    context = server_context(issuer.issue(case, **changes))

    async def run() -> None:
        async with serving(plain if case == "plain_http" else confirm, context) as raw:
            config = collector_config(folder, made, raw.port, **({"pins": OTHER} if case == "wrong_pin" else {}))
            robot = Robot(config, synchronised=None if "nobody" in case else True)
            await robot.hold_to(reason, state, STAYS, BACKOFF)
            await robot.client.close()
            assert case == "plain_http" or raw.application_bytes == 0

    asyncio.run(run())


def test_an_old_tls_version_is_no_connection(folder: Path, made: CertificateAuthority) -> None:
    """Which of the two it is depends on whether the server's alert arrives before it goes."""

    async def run() -> None:
        async with serving(confirm, old_tls(server_context(made.issue("old")))) as raw:
            robot = Robot(collector_config(folder, made, raw.port))
            with pytest.raises(TransientError) as caught:
                await robot.uplink.submit(envelope())
            assert (caught.value.reason, robot.uplink.state) in {
                ("tls_failed", "blocked:tls"),
                ("unreachable", "blocked:network"),
            }
            assert raw.application_bytes == 0
            await robot.client.close()

    asyncio.run(run())


@pytest.mark.parametrize(("header", "seconds"), [("30", 30.0), ("Tue, 24 Nov 2026 14:02:00 GMT", 120.0), ("soon", 0.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_is_honoured_with_the_jitter_on_top(
    status: int, header: str, seconds: float, folder: Path, made: CertificateAuthority
) -> None:
    answer = response(
        status,
        b"{}",
        f"content-type: application/json\r\ndate: Tue, 24 Nov 2026 14:00:00 GMT\r\nretry-after: {header}\r\n",
    )

    async def script(visit: Visit) -> None:
        await visit.secure()
        while await visit.request():
            await visit.send(answer)

    async def run() -> None:
        async with serving(script, server_context(made.issue("later"))) as raw:
            robot = Robot(collector_config(folder, made, raw.port))
            before = robot.clock.ns
            with pytest.raises(TransientError):
                await robot.uplink.submit(envelope())
            assert (robot.clock.ns - before) / 1e9 == pytest.approx(seconds + 1.0, abs=0.01)
            await robot.client.close()

    asyncio.run(run())
