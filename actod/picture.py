"""Reads every part's own counters into one picture for the metrics. The meanings stand in `actod/service/metrics.py`."""

from __future__ import annotations

import platform
from collections.abc import Iterable

from actod import __version__
from actod.parts import Parts
from actod.service.conditions import Condition
from actod.service.metrics import Picture
from actod.store.outbox import CLASSES
from actod.store.status import SpoolStatus
from actod.store.tally import OWN_ROUTES, Tally
from actod.store.wear import written_bytes
from actod.submit.verdict import VERDICTS

_AUTHENTICATION = {"unauthorised": "401", "gate_closed": "403"}
_PINS = ("pin_mismatch", "pins_expired")
_SERVER_LIMITS = {"rate_limited": "server_rate", "quota_exceeded": "server_quota"}
_OWN_LIMITS = {"rate_limited": "rate", "flood_brake": "flood_brake"}
# What is told as 0 before it ever happened: the first one would else be no increase.
_EXPECTED: dict[str, list[tuple[str, ...]]] = {
    "actod_access_denied_total": [("control",), ("signer",)],
    "actod_clock_steps_total": [()],
    "actod_limits_hit_total": [(limit,) for limit in ("rate", "flood_brake", "intake_full")],
    "actod_losses_total": [
        *(
            (reason, word)
            for reason in ("queue_full", "quarantine_full", "withheld", "damaged", "purged")
            for word in CLASSES
        ),
        ("damaged_unknown", "normal"),
    ],
    "actod_messages_refused_total": [(reason,) for reason in ("rate_limited", "flood_brake", "mask_failed", "too_large")],
    "actod_sign_failures_total": [(reason,) for reason in ("signer_away", "signer_timeout", "key_gone", "pin_locked")],
    "actod_signer_restarts_total": [()],
    "actod_store_waits_total": [(reason,) for reason in ("disk_full", "read_only", "no_inodes", "io_error", "wal_held")],
    "actod_submit_failures_total": [(reason,) for reason in VERDICTS],
}


def picture_of(
    parts: Parts, *, status: SpoolStatus, tally: Tally, conditions: Iterable[Condition], days_until_full: float | None
) -> Picture:
    """Return what this run counted, and what is now. `status` and `tally` are the store's word."""
    picture = Picture()
    for name, series in _EXPECTED.items():
        for labels in series:
            picture.add(name, 0, *labels)
    _daemon(picture, parts, status)
    _collect(picture, parts, status, tally)
    _store(picture, parts, status, days_until_full)
    _seal(picture, parts, status)
    _submit(picture, parts, status)
    for condition in conditions:
        condition.show(picture)
    return picture


def _daemon(picture: Picture, parts: Parts, status: SpoolStatus) -> None:
    synchronised = parts.clock.synchronised()
    picture.add("actod_build_info", 1, __version__, platform.python_version())
    picture.add("actod_starts_total", status.opens)
    picture.add("actod_clock_synchronised", None if synchronised is None else int(synchronised))
    picture.add("actod_audit_lines_total", parts.audit.length)
    picture.add("actod_alert_failures_total", parts.alerts.undelivered)
    for (event, kind), count in dict(parts.events.counts).items():
        match event:
            case "clock.set":
                picture.add("actod_clock_steps_total", count)
            case "access.denied":
                picture.add("actod_access_denied_total", count, kind)
            case "store.blocked":
                picture.add("actod_store_waits_total", count, kind)
            case "signer.ended":
                picture.add("actod_signer_restarts_total", count)
            case "intake.full":
                picture.add("actod_limits_hit_total", count, "intake_full")


def _collect(picture: Picture, parts: Parts, status: SpoolStatus, tally: Tally) -> None:
    picture.add("actod_messages_received_total", parts.source.received)
    picture.add("actod_messages_masked_total", tally.masked_messages)
    for traffic_class, counts in status.by_class.items():
        picture.add("actod_messages_acknowledged_total", counts["acknowledged"], traffic_class)
    for kind, count in tally.redactions.items():
        picture.add("actod_redactions_total", count, kind)
    for (reason, traffic_class, route), count in tally.losses.items():
        picture.add("actod_losses_total", count, reason, traffic_class)
        if route not in OWN_ROUTES:
            picture.add("actod_messages_refused_total", count, reason)
        if reason in _OWN_LIMITS:
            picture.add("actod_limits_hit_total", count, _OWN_LIMITS[reason])
    for reason, count in status.losses_pending.items():
        picture.add("actod_losses_pending", count, reason)


def _store(picture: Picture, parts: Parts, status: SpoolStatus, days_until_full: float | None) -> None:
    picture.add("actod_journal_messages", status.journal_messages)
    picture.add("actod_journal_bytes", status.journal_bytes)
    picture.add("actod_journal_oldest_seconds", status.journal_oldest_seconds or 0)
    for traffic_class, counts in status.by_class.items():
        picture.add("actod_queue_bundles", counts["waiting"], traffic_class)
    picture.add("actod_queue_bytes", status.outbox_bytes)
    picture.add("actod_queue_oldest_seconds", status.outbox_oldest_seconds or 0)
    picture.add("actod_queue_cap_bytes", parts.config.store.shares.database)
    picture.add("actod_queue_full_seconds", None if days_until_full is None else days_until_full * 86_400)
    picture.add("actod_quarantine_bundles", status.quarantined_bundles)
    picture.add("actod_archive_bundles", status.archived_bundles)
    picture.add("actod_archive_bytes", status.archived_bytes)
    picture.add("actod_store_file_bytes", status.file_bytes)
    picture.add("actod_disk_written_bytes_total", written_bytes())


def _seal(picture: Picture, parts: Parts, status: SpoolStatus) -> None:
    picture.add("actod_bundles_sealed_total", status.sealed)
    for reason, count in parts.sealer.failures.items():
        picture.add("actod_sign_failures_total", count, reason)
    picture.add_latency("actod_sign_seconds", parts.sealer.latency)


def _submit(picture: Picture, parts: Parts, status: SpoolStatus) -> None:
    uplink, wire = parts.uplink, parts.client.wire
    picture.add("actod_bundles_submitted_total", uplink.attempts)
    picture.add("actod_bundles_receipted_total", status.submitted)
    picture.add("actod_pin_failures_total", sum(uplink.failures[reason] for reason in _PINS))
    for reason, status_code in _AUTHENTICATION.items():
        picture.add("actod_authentication_failures_total", uplink.failures[reason], status_code)
    for reason, limit in _SERVER_LIMITS.items():
        picture.add("actod_limits_hit_total", uplink.failures[reason], limit)
    picture.add("actod_limits_hit_total", uplink.budget_waits, "budget")
    for reason, count in uplink.failures.items():
        picture.add("actod_submit_failures_total", count, reason)
    picture.add_latency("actod_submit_seconds", uplink.latency)
    picture.add("actod_wire_bytes_total", wire.sent, "sent")
    picture.add("actod_wire_bytes_total", wire.received, "received")
