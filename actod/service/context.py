"""What is true at the moment of sealing, signed along with every bundle."""

from __future__ import annotations

from typing import Protocol

from actod.ports import AuditLog, Clock
from actod.proof.envelope import SealContext, iso


class Confirmed(Protocol):
    """What the uplink last saw under the pin."""

    server_date: str | None
    confirmed: str


class SealContextSource:
    """Gathers a SealContext anew for each attempt at sealing."""

    def __init__(
        self, *, config_digest: str, hash_alg: str, policy: str, clock: Clock, audit: AuditLog, uplink: Confirmed
    ) -> None:
        self._config_digest, self._hash_alg = config_digest, hash_alg
        self._policy, self._clock, self._audit, self._uplink = policy, clock, audit, uplink

    def adopt(self, *, config_digest: str, policy: str) -> None:
        """Name another configuration and policy from now on."""
        self._config_digest, self._policy = config_digest, policy

    def now(self) -> SealContext:
        """Return the context of this moment."""
        instant = self._clock.now()
        seen = None
        if self._uplink.server_date is not None:
            seen = {"date": self._uplink.server_date, "head": self._uplink.confirmed}
        clock = {
            "wall": iso(instant.wall_ns),
            "monotonic_ms": instant.monotonic_ns // 1_000_000,
            "synchronised": self._clock.synchronised(),
            "server": seen,
        }
        return SealContext(
            boot_id=self._clock.boot_id(),
            clock=clock,
            policy=self._policy,
            config=self._config_digest,
            audit=self._audit.head(),
            hash_alg=self._hash_alg,
            created_at=iso(instant.wall_ns),
        )
