"""The roles that the pipeline speaks to. What implements them is named by its technology and lives in a stage folder.

Each contract stands here, and one set of contract tests holds the real part and its fake to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from actod.model import (
    Bundle,
    Delivery,
    EnrolledKey,
    Envelope,
    Group,
    Instant,
    MaskedReading,
    PurposeSignature,
    Reading,
    Receipt,
    TrafficClass,
)


class Clock(Protocol):
    """Where time comes from. Only `monotonic_ns` may measure an interval."""

    def now(self) -> Instant:
        """Read both clocks at once."""

    def boot_id(self) -> str:
        """Name this boot (a UUID); it changes when the monotonic clock starts anew."""

    def synchronised(self) -> bool | None:
        """Whether the kernel holds the wall clock to be synchronised; None where that cannot be known."""


class Source(Protocol):
    """Where messages come from: acknowledges to the broker, on the connection that delivered."""

    def groups(self) -> AsyncIterator[Sequence[Delivery]]:
        """Yield commit groups in arrival order, for ever. Memory is bounded in messages and bytes by the source.

        A group that was yielded counts against the bound until `acknowledge` is called with it.
        """

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Send the PUBACKs of a group in arrival order; those of an earlier connection are left out.

        Must be called on the loop's thread, and only once the group is durable.
        """


class Router(Protocol):
    """Decides which robot, task, run and class a delivery belongs to, and refuses what cannot be canonical."""

    def route(self, delivery: Delivery) -> Reading:
        """Decode one delivery. Raises RejectedError with the counted reason; never anything else."""

    def describe(self, topic: str) -> tuple[str, str]:
        """Name (route, traffic class) of what came under a topic and was refused; ("_none", "normal") if none."""

    def new_identities(self) -> dict[str, str]:
        """Hand over the robots named since the last call, for the same commit as their first reading."""


class Admission(Protocol):
    """Holds routed readings to the operator's limits, and thins them; remembers over restarts."""

    def admit(self, reading: Reading) -> None:
        """Let one reading in. Raises RejectedError: "rate_limited", "flood_brake", "sampled:<rule>" where it is thinned."""

    def finish(self, reading: Reading, masked: MaskedReading) -> MaskedReading:
        """Put a commitment in the place of the masked content where the reading's route says so."""

    async def secure(self) -> None:
        """Bring what `finish` took out to disk, before the group is committed. Raises TransientError."""

    def memory(self) -> Mapping[str, Any]:
        """Return what must be known after a restart, for the same commit as the readings that were let in."""


class LossCounter(Protocol):
    """Counts what was lost before it could be a Delivery (QoS 0 floods, sender gaps, the broker's own drops)."""

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over the counts by (reason, traffic class, route) since the last call; they start again at zero."""


class RefusalAudit(Protocol):
    """Brings refusals into the audit log: the first of a kind at once, then one line a minute."""

    def count(self, refusals: Mapping[tuple[str, str, str], int]) -> None:
        """Take the refusals of a group, before it is committed."""


class Pulse(Protocol):
    """Shows the watchdog that a task gets on."""

    def beat(self) -> None:
        """Show progress."""

    def rest(self) -> None:
        """Show that there is nothing to do."""


class Masker(Protocol):
    """Removes personal data and secrets, failing closed. The only maker of MaskedReading.

    One call at a time, on whichever thread.
    """

    def mask(self, reading: Reading) -> MaskedReading:
        """Apply the policy to data, topic and ids. Raises RejectedError("mask_failed") where nothing can be kept."""


class Vault(Protocol):
    """Keeps what could not be masked, readable for the operator alone."""

    def keep(self, delivery: Delivery) -> bool:
        """Seal one raw message to the operator's key, durably; False if there is no room for it. Blocks."""


class Spool(Protocol):
    """Journal, outbox, archive and loss ledger on disk. What a coroutine returned from is durable.

    Every method may raise TransientError (disk full, read-only): nothing was changed, try again later.
    """

    async def commit(self, group: Group) -> None:
        """Make one group durable: its readings, the counts of its refusals, its identities."""

    async def next_bundle(self) -> Bundle:
        """Wait until a stream is due (count, bytes, age, ended) and return its next bundle. Idempotent until `put`."""

    async def put(self, bundle: Bundle, envelope: Envelope) -> None:
        """Move a sealed bundle from journal to outbox and advance its chain, in one transaction."""

    async def take(self, held: Callable[[], AbstractSet[TrafficClass]]) -> Envelope:
        """Wait for an envelope that nobody else has, and return the oldest of the highest priority.

        `held` names the classes that must not be sent now, and is asked anew at each look. What was taken is settled by
        `receipt`, `set_aside` or `split`, or comes back by `defer` or `give_back`.
        """

    async def give_back(self, envelope: Envelope) -> None:
        """Let an envelope that was taken be handed out again, in its old place."""

    async def defer(self, envelope: Envelope) -> None:
        """Give it back, but let the others be handed out before it, until one is confirmed. Nothing is stored.

        While split envelopes wait to be sealed again, each of the others comes first, confirmed or not.
        """

    async def split(self, envelope: Envelope, *, most_bytes: int) -> bool:
        """Let its readings be sealed again, in bundles of at most `most_bytes` of events that name it.

        All bundles that are cut from now on are held to that. False if it holds one reading alone.
        """

    async def replacing(self) -> int:
        """Return how many envelopes that were split wait to be sealed again."""

    async def receipt(self, envelope: Envelope, receipt: Receipt) -> None:
        """Move a confirmed envelope to the archive."""

    async def set_aside(self, envelope: Envelope, reason: str) -> None:
        """Move an envelope to quarantine and enter it in the ledger as withheld."""


class Sealer(Protocol):
    """Turns a bundle into a signed envelope, and checks the signature in software before handing it on."""

    async def seal(self, bundle: Bundle) -> Envelope:
        """Sign. Waits for the token as long as it takes; raises IntegrityError if our own signature does not verify."""


class Signer(Protocol):
    """The client side of the signer process. May be away for any time: every method may raise TransientError."""

    async def keys(self) -> tuple[EnrolledKey, ...]:
        """Return the generations of the key family, oldest first."""

    async def use(self, ed25519_thumbprint: str) -> None:
        """Choose the key that signs from now on. Raises TransientError("key_unknown") if the family has none such.

        The choice is kept even where it could not be told to the signer now.
        """

    async def sign_payload_hash(self, payload_hash: str) -> bytes:
        """Sign 64 hex characters with Ed25519 (64 bytes)."""

    async def cosign(self, canonical_payload: bytes) -> bytes | None:
        """Sign canonical bytes with the token's P-256 key (r||s, 64 bytes), or return None where none is needed."""

    async def sign_purpose(self, message: bytes) -> PurposeSignature:
        r"""Sign a message that begins with `actod:<purpose>:v1\n`, at most 16 KiB, with all that the chosen key has."""

    async def make_next(self, generation: int) -> EnrolledKey:
        """Make this generation on the token, or return it if it is there."""


class Uplink(Protocol):
    """Delivers envelopes to the collector, at its own pace. One call is one attempt, and the pause after a failure."""

    async def submit(self, envelope: Envelope) -> Receipt:
        """POST one envelope. Raises TransientError, SuspectError, TooLargeError or RejectedError; see submit/verdict.py."""


class Sending(Uplink, Protocol):
    """The uplink as the pipeline has it: several calls at once, and classes that wait for a better link or hour."""

    def held(self) -> AbstractSet[TrafficClass]:
        """Return the classes that must not be sent now."""


class AuditLog(Protocol):
    """Append-only, hash-chained local log. Safe to call from any thread."""

    def record(self, event: str, **fields: Any) -> None:
        """Append one line (`event` is a fixed dotted word, fields hold codes, counts and ids, never content).

        Durable with the next `witness` or after at most a second.
        """

    def witness(self, event: str, fields: Mapping[str, Any]) -> tuple[int, int] | None:
        """Append one line and return (n, mark) when it, and all before it, is on disk (called on the store's thread).

        `mark` is the first 60 bits of the line's hash; None where nobody asks which line it was.
        """

    def head(self) -> str:
        """Return the hash (64 hex characters) of the newest line that is on disk: a bundle that is sealed now carries it."""

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Note that the collector confirmed, on its `date`, a bundle that carries this head. Never blocks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """Refuse more while the log is full of lines that no confirmed bundle vouches for. Never blocks.

        Sealing may use room that collecting must leave to it. Raises TransientError.
        """


class AlertSink(Protocol):
    """Hears each line of the audit log, and decides what an operator must be told of at once."""

    def see(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take one event. From any thread, under the log's lock: never blocks, never raises, records nothing itself."""
