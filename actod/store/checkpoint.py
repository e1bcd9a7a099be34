"""What the audit log is told after each transaction, and what of it comes back when the store is damaged.

The lines, each fsynced by the audit log before the store's call returns:

    checkpoint.opened   full, and after a repair what it found: repair {kept, lost, new_epoch}
    checkpoint.commit   last, settled, losses      messages journaled, those of settled fate, losses not told yet
    checkpoint.sealed   the same, device_seq, heads of the chain that went on
    checkpoint.split    the same as commit         a bundle's readings went back to the journal: replaced is its payload_hash
    checkpoint.epoch    full: a new epoch, or the host's names; began {reason, before: {epoch, device_seq, head}}
    checkpoint.settled  last, settled, losses      after a receipt; a purge, damage, a bundle set aside: lost {reason: count}

Full means also device, epoch, device_seq, identities {digest: robot_id} and all heads {robot key: [epoch, seq, hash]}.
Now and then (`full_every`) a line is full, whatever it is called, so the end of the log is enough; the log merges members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_FULL_EVERY = 32  # the end of the audit log is read at the start: even the smallest allowed holds more than twice as many


def full_every(names: int) -> int:
    """Return how many lines lie between full ones, which hold so many identities and heads: 80 bytes a line."""
    return _FULL_EVERY + names


@dataclass(frozen=True, slots=True)
class Known:
    """The newest checkpoint in the audit log. `heads` are those of `epoch`: robot key -> (seq, payload_hash)."""

    device: str
    epoch: int
    last: int
    settled: int
    losses: int
    device_seq: int
    heads: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    identities: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any] | None) -> Known | None:
        """Read the merged members of checkpoint lines; None where there are none of ours."""
        if not checkpoint or "device" not in checkpoint or "last" not in checkpoint:
            return None
        heads = {
            str(robot): (int(seq), str(head))
            for robot, (epoch, seq, head) in checkpoint.get("heads", {}).items()
            if epoch == checkpoint["epoch"]
        }
        return cls(
            device=str(checkpoint["device"]),
            epoch=int(checkpoint["epoch"]),
            last=int(checkpoint["last"]),
            settled=int(checkpoint.get("settled", 0)),
            losses=int(checkpoint.get("losses", 0)),
            device_seq=int(checkpoint.get("device_seq", 0)),
            heads=heads,
            identities=dict(checkpoint.get("identities", {})),
        )


def merged(lines: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Merge the members of all checkpoint lines of an audit log, oldest first, into what the store had said last."""
    result: dict[str, Any] = {}
    for event, members in lines:
        if event.startswith("checkpoint."):
            for name, value in members.items():
                result[name] = result.get(name, {}) | value if isinstance(value, dict) else value
    return result
