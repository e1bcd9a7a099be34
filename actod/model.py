"""One frozen type for each stage: Delivery -> Reading -> MaskedReading -> Bundle -> Envelope -> Receipt.

The type checker proves that nothing unmasked can be bundled: only `actod.mask` makes a `MaskedReading`, and a journal
takes nothing else. No `repr` shows a payload.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

JsonObject = dict[str, Any]

_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_PROOF_ID = re.compile(r"[0-9a-f]{32}\Z")


class TrafficClass(StrEnum):
    """What a message is worth when not everything fits. Earlier members overtake later ones, and are dropped last."""

    INTERVENTION = "intervention"
    SAFETY = "safety"
    NORMAL = "normal"
    BULK = "bulk"


PRIORITY: Mapping[TrafficClass, int] = {traffic_class: rank for rank, traffic_class in enumerate(TrafficClass)}


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on both clocks: UTC nanoseconds since 1970 (may lie), monotonic ones since boot (do not)."""

    wall_ns: int
    monotonic_ns: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One PUBLISH as the broker sent it. `connection` counts ours: an acknowledgement for another is void."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    packet_id: int
    connection: int
    duplicate: bool
    retained: bool
    received: Instant
    oversize_bytes: int = 0  # not 0: the payload was longer than allowed, and streamed away
    copy: bool = False  # brought by a second filter that matches, too


@dataclass(frozen=True, slots=True)
class Reading:
    """A delivery that was decoded and routed, not yet masked. `data` is a JSON object inside the canonical domain.

    `timestamp` is an ISO 8601 UTC string that was checked to be one. `packet_id` is 0 for QoS 0.
    """

    robot_id: str | None = field(repr=False)
    task_id: str = field(repr=False)
    run_id: str | None = field(repr=False)
    timestamp: str
    topic: str = field(repr=False)
    data: JsonObject = field(repr=False)
    route: str
    mask_profile: str
    traffic_class: TrafficClass
    received: Instant
    packet_id: int = 0
    duplicate: bool = False
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """What one bundle may hold: readings of one robot, task, run and class. `robot_id` None is the device.

    `replaces` is not None where the readings stood in a bundle that was too large: the payload_hash of that one, and
    those of the ones that it replaced itself, joined by spaces.
    """

    robot_id: str | None
    task_id: str
    run_id: str | None
    traffic_class: TrafficClass
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class MaskedReading:
    """A reading after the masking policy. `event` is canonical({"data", "topic", "ts"}); `masked` counts by type."""

    stream: Stream
    event: bytes = field(repr=False)
    masked: Mapping[str, int]
    received: Instant
    packet_id: int = 0
    duplicate: bool = False
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """One line of the signed loss ledger. `reason` and `route` are configured or fixed words, never content."""

    reason: str
    traffic_class: str
    route: str
    count: int
    first_wall_ns: int
    last_wall_ns: int


@dataclass(slots=True)
class Group:
    """What one journal commit makes durable: masked readings in arrival order, refusals counted, robots newly named.

    `identities` maps the keyed digest (hex) of a robot's own identifier to the robot_id drawn for it. `memory` is what
    collect must know again after a restart, a JSON object that replaces the one before; None leaves that as it is.
    """

    readings: list[MaskedReading] = field(default_factory=list)
    refusals: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    identities: dict[str, str] = field(default_factory=dict)
    memory: Mapping[str, Any] | None = None

    def refuse(self, *, reason: str, traffic_class: str, route: str, count: int = 1) -> None:
        """Count a message that was taken from the broker and will not be journaled."""
        self.refusals[reason, traffic_class, route] += count


@dataclass(frozen=True, slots=True)
class Bundle:
    """The content of one proof and its place in the chain, not yet signed.

    `events` holds `count` canonical events joined by b",". `previous` is the payload_hash of the bundle before in the
    chain (device, robot_id), None for the first. `rows` are the journal rows that it empties. `marks` maps a word
    ("redelivered", "possible_duplicate", "retained") to event indexes.
    """

    device: str
    epoch: int
    seq: int
    device_seq: int
    previous: str | None
    stream: Stream
    events: bytes = field(repr=False)
    count: int
    first_received_wall_ns: int
    last_received_wall_ns: int
    boot_id: str
    rows: tuple[int, ...] = ()
    marks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    masked: Mapping[str, int] = field(default_factory=dict)
    loss: tuple[Loss, ...] = ()
    replaces: str | None = None
    sealed_late: bool = False

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if self.seq < 1 or self.device_seq < 1 or self.epoch < 1 or self.count < 1:
            message = "seq, device_seq, epoch and count start at 1"
            raise ValueError(message)
        if (self.previous is None) != (self.seq == 1):
            message = "exactly the first bundle of a chain has no predecessor"
            raise ValueError(message)
        if self.previous is not None and not _HEX64.match(self.previous):
            message = "previous must be a payload_hash"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed proof. `body` is canonical(ProofEnvelope): the bytes that were hashed are those that are sent.

    `count` is how many readings it holds: with one it cannot be cut into smaller ones.
    """

    proof_id: str
    payload_hash: str
    body: bytes = field(repr=False)
    traffic_class: TrafficClass
    count: int = field(default=1, compare=False)

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if not _HEX64.match(self.payload_hash) or not _PROOF_ID.match(self.proof_id):
            message = "proof_id is 32 and payload_hash 64 lower-case hex characters"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The collector's confirmation, checked against the proof_id that was computed before.

    `server_date` is the HTTP Date seen under the pin, as sent, or None.
    """

    proof_id: str
    received_wall_ns: int
    server_date: str | None


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """The signer's enrolled keys. `kind` is "on-token", "sealed" or "software"; thumbprints are RFC 7638."""

    ed25519: bytes
    ed25519_thumbprint: str
    p256_thumbprint: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """One generation of the token's key family: `label` is the family's name, with `.generation` from the second on.

    `ed25519` is 32 raw bytes, `p256` an uncompressed point (0x04 || x || y, 65 bytes), or None where the Ed25519 key lives
    on the token itself. Thumbprints and `kind` are those of `PublicKeys`.
    """

    label: str
    generation: int
    ed25519: bytes
    ed25519_thumbprint: str
    p256: bytes | None
    p256_thumbprint: str | None
    kind: str

    @property
    def public(self) -> PublicKeys:
        """Return what an envelope names."""
        return PublicKeys(
            ed25519=self.ed25519,
            ed25519_thumbprint=self.ed25519_thumbprint,
            p256_thumbprint=self.p256_thumbprint,
            kind=self.kind,
        )


@dataclass(frozen=True, slots=True)
class PurposeSignature:
    """Both signatures over one message that begins with its purpose: Ed25519 (64 bytes), and ES256 as r||s or None."""

    ed25519: bytes
    p256: bytes | None


@dataclass(frozen=True, slots=True)
class ChainHeads:
    """Where an epoch stands: its newest bundle, and each chain's last as (robot_id, seq, payload_hash).

    `device_seq` is 0 before the first bundle; `payload_hash` is None there, and where the newest one's row is gone.
    """

    device: str
    epoch: int
    device_seq: int
    payload_hash: str | None
    heads: tuple[tuple[str | None, int, str], ...]
