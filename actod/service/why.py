"""Why the oldest bundle has not left, in one line, and what to do about it. Pure: told by the daemon, or by what it left."""

from __future__ import annotations

from dataclasses import dataclass

_INTAKE_FULL = "intake:full"
_UNRECEIPTED = "audit_unreceipted"
_LOCKED = "blocked:incident"
_KEPT = "so the broker keeps it: see store.max_bytes and the disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where the line stands. `uplink_why` is the uplink's own line; ages are in seconds, None where nothing waits."""

    intake: str
    disk_refuses: str  # the reason, "" where it does not
    sealing_waits_for: str | None
    uplink_state: str
    uplink_why: str
    bundles: int
    bulk_bundles: int
    oldest_seconds: float | None
    messages: int
    quarantined: int
    bulk_is_held: bool


def explain(standing: Standing) -> str:
    """Say it in one line: the oldest bundle first, then what else stands still."""
    parts = [_oldest(standing)]
    if standing.uplink_state == _LOCKED and not standing.bundles:
        parts.append(standing.uplink_why)
    if standing.sealing_waits_for is not None and standing.messages:
        parts.append(
            f"sealing waits for the token ({standing.sealing_waits_for}), {standing.messages} messages are journaled: "
            "see `actod check`; collecting goes on"
        )
    if standing.disk_refuses == _UNRECEIPTED:
        parts.append(f"the audit log is full of what no receipt covers ({_UNRECEIPTED}); one delivered bundle makes room")
    elif standing.disk_refuses:
        parts.append(f"the disk refuses what comes in ({standing.disk_refuses}), {_KEPT}")
    elif standing.intake == _INTAKE_FULL:
        parts.append(f"intake:full: the disk takes less than comes in, {_KEPT}")
    if standing.quarantined:
        parts.append(f"{standing.quarantined} bundles are set aside: `actod queue list --place quarantine`")
    return "; ".join(part for part in parts if part)


def _oldest(standing: Standing) -> str:
    if not standing.bundles:
        if standing.messages and standing.sealing_waits_for is None:
            return f"no bundle waits; {standing.messages} messages are sealed within seal.max_age_seconds"
        return "" if standing.messages else "nothing waits"
    waits = f"{standing.bundles} bundles wait, the oldest for {standing.oldest_seconds or 0:.0f} s: "
    if standing.uplink_state != "ok":
        return waits + standing.uplink_why
    if standing.bulk_is_held and standing.bulk_bundles == standing.bundles:
        return waits + "all of them bulk, held for collector.bulk_hours_utc or collector.bulk_interfaces"
    if standing.uplink_why != "ok: nothing is wrong":
        return waits + standing.uplink_why
    return waits + "ok: they leave in their order, as collector.requests_per_second allows"
