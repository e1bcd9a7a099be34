"""When a bundle was sealed, if its own clock had not been set: by what the same boot learnt later. Pure.

A board without a clock of its own boots in 1970. Its bundles carry the time since boot, and once the clock was set the
record `actod/clock_set` holds the offset between the two: their sum dates every bundle of that boot. It is the robot's own
word, signed like the rest; the collector's `Date`, inside the bundle, is another.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from actod.errors import RejectedError
from actod.proof.envelope import iso

CLOCK_SET = "actod/clock_set"
_OWN_TASK = "actod"
_MALFORMED = (KeyError, TypeError, ValueError, OverflowError, RejectedError)


def dates(payloads: Iterable[Any]) -> dict[str, str]:
    """Map payload_hash to the ISO 8601 time of sealing, for what was sealed before the clock of its boot was set.

    `payloads` are of envelopes that verified. What is malformed dates nothing.
    """
    named = list(payloads)
    offsets: dict[tuple[str, str], tuple[int, int]] = {}
    for payload in named:
        for boot, step in _steps(payload):
            offsets[boot] = max(step, offsets.get(boot, step))
    found = {}
    for payload in named:
        try:
            actod = payload["meta"]["actod"]
            offset = offsets.get((str(actod["device"]), str(actod["boot_id"])))
            if offset is not None and actod["clock"]["synchronised"] is not True:
                found[payload["payload_hash"]] = iso((actod["clock"]["monotonic_ms"] + offset[1]) * 1_000_000)
        except _MALFORMED:
            continue
    return found


def _steps(payload: Any) -> list[tuple[tuple[str, str], tuple[int, int]]]:
    """Return ((device, boot_id), (device_seq, offset_ms)) of each record that says the clock was set by something better."""
    try:
        actod, telemetry = payload["meta"]["actod"], payload["telemetry_normalized"]
        if telemetry["task_id"] != _OWN_TASK or telemetry["robot_id"] is not None:
            return []
        return [
            (
                (str(actod["device"]), str(event["data"]["boot_id"])),
                (int(actod["device_seq"]), int(event["data"]["offset_ms"])),
            )
            for event in telemetry["events"]
            if event["topic"] == CLOCK_SET and event["data"]["synchronised"] is True
        ]
    except _MALFORMED:
        return []


def utc(text: str) -> str:
    """Return an ISO 8601 time in UTC; one without a zone is UTC. Raises RejectedError."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as exc:  # a time in the year 1 or 9999 may lie outside of both in UTC
        raise RejectedError("argument_malformed", "a time is ISO 8601, such as 2026-01-02T03:04:05Z") from exc
