"""The program's own words that may stand in a bundle for support. None of them comes from outside."""

from __future__ import annotations

from actod.keys import remedies
from actod.model import TrafficClass
from actod.submit.verdict import VERDICTS, State


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


CLASSES = frozenset(map(str, TrafficClass))
REASONS = (
    frozenset(VERDICTS)
    | remedies.REASONS
    | _listed(
        """
        disk_full read_only no_inodes wal_held audit_full audit_unreceipted store_damaged store_failed store_newer
        signer_away signer_protocol cosign_missing bad_cosign bad_signature key_mismatch
        unreachable refused no_answer credential lost
        config locked daemon_away peer_refused environment_unreadable environment_unwritable
        """
    )
)
STATES = (
    frozenset(map(str, State))
    | {"connecting", "connected", "mqtt:taken_over", "intake:full", "subscription_refused"}
    | {f"away:{reason}" for reason in REASONS}
)
# Why a message was refused, dropped or set aside; what was left out on purpose has `sampled:` before its rule.
LOSSES = REASONS | _listed(
    """
    admission_failed bad_task_id bad_topic broker_dropped damaged duplicate_key event_too_large flood_brake
    float_too_large gap integer_range lone_surrogate mask_failed nan no_route not_json not_utf8 payload_too_large
    purged qos0_overflow queue_full rate_limited route_failed session_lost too_deep too_large too_many_robots
    unknown withheld sampled:max_hz sampled:on_change sampled:deadband sampled:digest
    """
)
EVENTS = _listed(
    """
    access.denied alert.undelivered audit.cut audit.epoch audit.removed audit.repaired audit.turned audit.unwritten
    broker.away broker.connected broker.lost broker.taken_over clock.set config.refused config.reloaded
    control.asked control.refused credential.ageing credential.changed credential.fallback credential.overdue
    credential.rotated daemon.started daemon.stopped incident.locked incident.unlocked key.old key.retired key.rotated
    maintenance.done pins.refused pins.would_refuse pseudonyms.erased refused seal.resumed seal.waiting
    store.blocked store.host_changed store.nearly_full store.resumed submit.confirmed submit.pin_mismatch
    submit.receipt_mismatch submit.rejected submit.state submit.too_large
    """
)
FILE_SYSTEMS = _listed("ext2 ext3 ext4 xfs btrfs f2fs zfs vfat tmpfs ramfs overlay aufs nfs nfs4 squashfs fuseblk")
MACHINES = _listed("x86_64 aarch64 armv7l armv6l riscv64")
UNIT_WORDS = _listed(
    """
    active inactive activating deactivating failed reloading running dead exited start-pre start stop auto-restart
    waiting elapsed success exit-code signal core-dump watchdog timeout resources protocol condition start-limit-hit
    oom-kill loaded not-found masked error enabled disabled static
    """
)
LEVELS = _listed("debug info warning error exception critical ok warn fail skip")
