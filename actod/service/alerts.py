"""Alerts: a few events of the audit log, sent to webhooks. Codes and counters only, off the main line.

Each kind of alert has one place, so that memory is bounded: what happens while it waits, or within fifteen minutes after
it was sent, is counted and sent as one. A webhook that is away is tried three times, then its alert is dropped, which the
log and the audit log say; no event of this module is an alert itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import structlog

from actod.errors import ActodError
from actod.ports import AuditLog, Clock
from actod.proof.envelope import iso

SIGNATURE_HEADER = "x-actod-signature"
QUIET_SECONDS = 900.0
_PAUSES_SECONDS = (1.0, 4.0)  # between the three tries
_FIRST_REFUSAL = 300
# What of an event may leave the robot: words of the program, counts and days. No digest, path, pin or id.
_FACTS = {"reason", "state", "key", "days", "limit_days", "count", "version", "percent", "torn_bytes", "place", "kind"}
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_KEY_LOCKED = {"pin_locked", "pin_incorrect", "pin_last_try"}
_BY_EVENT = {
    "submit.pin_mismatch": "pin_mismatch",
    "submit.receipt_mismatch": "receipt_mismatch",
    "submit.proof_missing": "proof_changed",
    "submit.proof_differs": "proof_changed",
    "pins.refused": "pins_refused",
    "pins.would_refuse": "pin_mismatch",
    "pins.ends_soon": "pins_end_soon",
    "pins.memory_damaged": "pins_refused",
    "certificate.ends_soon": "certificate_ends_soon",
    "certificate.issuer_changed": "certificate_issuer_changed",
    "credential.ageing": "credential_age",
    "credential.overdue": "credential_age",
    "store.nearly_full": "queue_nearly_full",
    "store.blocked": "store_blocked",
    "audit.repaired": "audit_break",
    "audit.unwritten": "audit_break",
    "audit.cut": "audit_break",
    "incident.locked": "incident_lock",
    "incident.unlocked": "incident_unlock",
}
ALERTS = frozenset({*_BY_EVENT.values(), "key_locked", "maintenance", "mass_rejection", "pins_expired", "test"})

_log = structlog.get_logger(__name__)


class Webhook(Protocol):
    """Where alerts go. `name` is the configuration's; nothing shows the URL."""

    @property
    def name(self) -> str:
        """Name the channel."""

    @property
    def shape(self) -> str:
        """Say what it takes: actod, slack or discord."""

    def secret(self) -> bytes:
        """Return the secret that signs what is sent, as its file holds it now (empty: nothing is signed)."""

    async def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Make one attempt of five seconds at most; return the status. Raises ActodError."""


@dataclass(slots=True)
class _Waiting:
    """One kind of alert, not yet sent: what was seen last, and how often."""

    facts: Mapping[str, Any]
    count: int
    wall_ns: int


def alert_of(event: str, fields: Mapping[str, Any]) -> str | None:
    """Return the kind of alert that an event of the audit log is, None for most. Pure."""
    if event == "submit.state":
        by_state = {"blocked:rejected-all": "mass_rejection"}
        return "pins_expired" if fields.get("reason") == "pins_expired" else by_state.get(str(fields.get("state")))
    if event == "seal.waiting":
        return "key_locked" if fields.get("reason") in _KEY_LOCKED else None
    if event == "maintenance.done":
        return "maintenance" if fields.get("result") == "fail" else None
    return _BY_EVENT.get(event)


class Alerts:
    """Implements the AlertSink port, and sends in `run`. `device` names the robot once it is known.

    `undelivered` counts what no try brought to its channel, since the start.
    """

    def __init__(
        self,
        *,
        webhooks: Sequence[Webhook],
        environment: str,
        clock: Clock,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._webhooks, self._environment, self._clock, self._pause = webhooks, environment, clock, pause
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._sent_ns: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stirred = asyncio.Event()
        self._away: set[str] = set()
        self.device = ""
        self.undelivered = 0

    def see(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take an event of the audit log. From any thread; never blocks, never raises."""
        kind = alert_of(event, fields) if self._webhooks else None
        if kind is None:
            return
        facts = {name: value for name, value in fields.items() if name in _FACTS and _is_plain(value)}
        with self._lock:
            before = self._waiting.get(kind)
            count = before.count + 1 if before is not None else 1
            self._waiting[kind] = _Waiting(facts, count, self._clock.now().wall_ns)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended, and we with it
                self._loop.call_soon_threadsafe(self._stirred.set)

    async def run(self, audit: AuditLog) -> None:
        """Send, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._stirred.clear()
            for kind, alert in self._due():
                body = {
                    "alert": kind,
                    "count": alert.count,
                    "environment": self._environment,
                    "device": self.device,
                    "at": iso(alert.wall_ns),
                    "facts": dict(alert.facts),
                }
                for webhook in self._webhooks:
                    await self._deliver(webhook, body, audit)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._longest_wait_seconds()):
                    await self._stirred.wait()

    def _due(self) -> list[tuple[str, _Waiting]]:
        """Take what waits and was not sent a short while ago."""
        now_ns = self._clock.now().monotonic_ns
        with self._lock:
            kinds = [kind for kind in self._waiting if self._quiet_seconds(kind, now_ns) <= 0]
            self._sent_ns |= dict.fromkeys(kinds, now_ns)
            return [(kind, self._waiting.pop(kind)) for kind in kinds]

    def _quiet_seconds(self, kind: str, now_ns: int) -> float:
        sent_ns = self._sent_ns.get(kind)
        return 0.0 if sent_ns is None else QUIET_SECONDS - (now_ns - sent_ns) / 1e9

    def _longest_wait_seconds(self) -> float | None:
        """Return when the next of what waits is due, None if nothing waits."""
        now_ns = self._clock.now().monotonic_ns
        with self._lock:
            return min((max(0.0, self._quiet_seconds(kind, now_ns)) for kind in self._waiting), default=None)

    async def _deliver(self, webhook: Webhook, body: Mapping[str, Any], audit: AuditLog) -> None:
        """Try a few times. What comes of it is logged once for each outage."""
        reason = ""
        for pause in (*_PAUSES_SECONDS, None):
            reason = await attempt(webhook, body, wall_ns=self._clock.now().wall_ns)
            if not reason or pause is None:
                break
            await self._pause(pause)
        self.undelivered += bool(reason)
        if reason and webhook.name not in self._away:
            self._away.add(webhook.name)
            audit.record("alert.undelivered", channel=webhook.name, reason=reason)
            _log.warning("An alert could not be delivered: actod alert test.", channel=webhook.name, reason=reason)
        elif not reason:
            self._away.discard(webhook.name)


async def attempt(webhook: Webhook, body: Mapping[str, Any], *, wall_ns: int) -> str:
    """Send one alert once. Returns "" or a word for why it did not arrive."""
    try:
        data = _shaped(webhook.shape, body)
        headers = {"content-type": "application/json"}
        secret = webhook.secret()
        if secret:
            headers[SIGNATURE_HEADER] = signature(secret, data, seconds=wall_ns // 1_000_000_000)
        status = await webhook.post(data, headers)
    except ActodError as exc:
        return exc.reason
    return "" if status < _FIRST_REFUSAL else f"status_{status}"


def signature(secret: bytes, body: bytes, *, seconds: int) -> str:
    """Return `t=SECONDS,v1=HEX`: HMAC-SHA256 over the time, a full stop, and the body."""
    return f"t={seconds},v1={hmac.new(secret, b'%d.%b' % (seconds, body), hashlib.sha256).hexdigest()}"


def _shaped(shape: str, body: Mapping[str, Any]) -> bytes:
    if shape == "actod":
        return orjson.dumps(body)
    facts = ", ".join(f"{name} {value}" for name, value in body["facts"].items())
    times = f", {body['count']} times" if body["count"] > 1 else ""
    text = f"actod {body['alert']} on {body['device'] or 'a robot'} ({body['environment']}){times}: {facts or 'no details'}"
    return orjson.dumps({"text" if shape == "slack" else "content": text})


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int) or (isinstance(value, str) and bool(_WORD.match(value)))
