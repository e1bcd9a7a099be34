"""Which key signs, durably: one small file, written so that a kill at any moment is healed at the next start.

The file names the key in use, a change that is under way, and the keys that were used before.

A rotation:
1. the successor is made on the token           a kill: the next rotation finds it there, and takes it
2. the file names the signed statement          a kill: the next start journals its record
3. the record is journaled, and sealed by the old key
4. a later bundle is asked for, so the record's is in the outbox: the file names the successor
5. the successor signs
Between 2 and 4 the old key goes on, and a start journals the record once more: a record that is repeated says nothing new.
So no bundle of the successor comes before the record, and none of the old key after the first of the successor.

An adoption: the file names the statement with the operator's signature, the store begins the epoch, the record is journaled,
the file names the new key. Until then nothing is sealed. Each step is done again if a kill came before the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import structlog

from actod.durable import write_whole
from actod.errors import RejectedError, TransientError
from actod.model import Bundle, EnrolledKey, JsonObject, PublicKeys
from actod.ports import AuditLog, Clock, Signer
from actod.proof import statements
from actod.proof.envelope import iso
from actod.proof.statements import ROTATION, Key, Signed

FILE = "keys.json"
_VERSION = 1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PastKey:
    """A key that was in use, between two times by the wall clock (ISO 8601)."""

    key: Key
    since: str
    until: str
    retired: bool = False


@dataclass(frozen=True, slots=True)
class RingState:
    """What the file holds. `pending` is under way; `prepared` waits for an operator's signature; `enrolled`: it was said."""

    current: Key | None = None
    since: str = ""
    enrolled: bool = False
    pending: Signed | None = None
    prepared: Signed | None = None
    past: tuple[PastKey, ...] = ()

    @property
    def file(self) -> JsonObject:
        """Return the content of the file."""
        return {
            "version": _VERSION,
            "current": self.current and asdict(self.current),
            "since": self.since,
            "enrolled": self.enrolled,
            "pending": _written(self.pending),
            "prepared": _written(self.prepared),
            "past": [asdict(past) for past in self.past],
        }


def read_state(folder: Path) -> RingState | None:
    """Read the file of a state folder; None if there is none. Raises RejectedError("keys_damaged"), OSError."""
    try:
        value = orjson.loads((folder / FILE).read_bytes())
        past = [
            PastKey(Key.read(past["key"]), str(past["since"]), str(past["until"]), bool(past["retired"]))
            for past in value["past"]
        ]
        state = RingState(
            current=None if value["current"] is None else Key.read(value["current"]),
            since=str(value["since"]),
            enrolled=bool(value["enrolled"]),
            pending=_read(value["pending"]),
            prepared=_read(value["prepared"]),
            past=tuple(past),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RejectedError) as exc:
        raise RejectedError("keys_damaged", f"{folder / FILE} is not what actod writes") from exc
    if value["version"] != _VERSION:
        raise RejectedError("keys_damaged", f"{folder / FILE} is of another version")
    return state


def last_used_key(lines: Iterable[tuple[str, JsonObject]]) -> Key | None:
    """Return the key that the audit log says signed last; `lines` are (event, fields), oldest first."""
    found = None
    for event, fields in lines:
        if event == "key.used":
            with suppress(RejectedError):
                found = Key.read({name: fields.get(name) for name in ("ed25519", "public", "p256", "kind")})
    return found


class KeyRing:
    """Holds the file, and tells the sealer which key signs the next bundle.

    `last_used` finds the key that the audit log named last: the way back where the file is lost or damaged. Where the token
    does not hold it, no other goes on without an operator.
    """

    def __init__(
        self, folder: Path, *, signer: Signer, audit: AuditLog, clock: Clock, last_used: Callable[[], Key | None]
    ) -> None:
        self._path, self._signer, self._audit, self._clock = folder / FILE, signer, audit, clock
        self._last_used = last_used
        self._chosen: PublicKeys | None = None
        self._carried: tuple[int, int] | None = None  # (epoch, device_seq) of the bundle with the record of `pending`
        self._writing, self._settling = asyncio.Lock(), asyncio.Lock()
        self.state = self._open(folder)

    def _open(self, folder: Path) -> RingState:
        try:
            try:
                return read_state(folder) or RingState()
            except RejectedError:
                self._path.replace(self._path.with_suffix(".damaged"))
        except OSError as exc:
            raise TransientError("keys_unreadable", exc.strerror or "") from exc
        self._audit.record("key.file_damaged")
        _log.error("The file that names the keys was damaged; the key that was used last goes on.")
        return RingState()

    # -- for the sealer -----------------------------------------------------------------------------------------------

    async def key_for(self, bundle: Bundle, *, anew: bool) -> PublicKeys:
        """Return the keys that sign this bundle, and have the signer use them; `anew` asks the token whether they are there.

        Raises TransientError while there are none.
        """
        await self.settle(bundle.epoch, bundle.device_seq - 1)
        if self.state.pending is not None and self.state.pending.statement.purpose != ROTATION:
            raise TransientError("key_adoption", "an adoption is under way")
        if self._chosen is None or anew:
            self._chosen = (await self._choose()).public
        return self._chosen

    def signed(self, bundle: Bundle) -> None:
        """Note where the record of a rotation was sealed."""
        if self.state.pending is not None and self.state.pending.signatures["new"].ed25519.encode() in bundle.events:
            self._carried = (bundle.epoch, bundle.device_seq)

    async def settle(self, epoch: int, device_seq: int) -> None:
        """Let a rotation come into force if the bundle that carries its record is in the store, which holds up to here."""
        async with self._settling:  # the sealer may ask, and an operator's command that waits for it
            pending = self.state.pending
            if pending is None or pending.statement.purpose != ROTATION:
                return
            new = pending.statement.new
            if pending.statement.epoch != epoch:  # the store was repaired into a new epoch: the record may be lost
                await self.write(replace(self.state, pending=None))
                self._audit.record("key.rotation_lost", new=new.ed25519)
            elif self._carried is not None and self._carried <= (epoch, device_seq):
                await self.switch(new)
                self._audit.record("key.rotated", ed25519=new.ed25519, p256=new.p256, kind=new.kind)

    async def _choose(self) -> EnrolledKey:
        generations = await self._signer.keys()
        if self.state.current is None:
            last_used = await asyncio.to_thread(self._last_used)
            if last_used is None and not generations:
                raise TransientError("key_count", "the token holds no key")
            first = last_used or Key.of(generations[-1].public)
            await self.write(replace(self.state, current=first, since=self.now()))
        key = self.in_use(generations)
        await self._signer.use(key.ed25519_thumbprint)
        return key

    def in_use(self, generations: Sequence[EnrolledKey]) -> EnrolledKey:
        """Return the generation that is in use. Raises TransientError("key_gone") if the token does not have it."""
        for key in generations:
            if self.state.current is not None and key.ed25519_thumbprint == self.state.current.ed25519:
                return key
        raise TransientError("key_gone", "the token does not hold the key that this robot signs with")

    # -- changes ------------------------------------------------------------------------------------------------------

    async def switch(self, new: Key) -> None:
        """Let `new` sign from here on."""
        state, now = self.state, self.now()
        past = state.past
        if state.current is not None:
            past = (*past, PastKey(state.current, state.since, now))
        await self.write(RingState(current=new, since=now, enrolled=True, past=past))
        self._chosen, self._carried = None, None
        _log.info("Another key signs from here on.", ed25519=new.ed25519)

    async def write(self, state: RingState) -> None:
        """Make a state durable, and only then true. Raises TransientError if the disk refuses."""
        async with self._writing:
            try:
                await asyncio.to_thread(write_whole, self._path, orjson.dumps(state.file, option=orjson.OPT_INDENT_2))
            except OSError as exc:
                raise TransientError("keys_unwritable", exc.strerror or "") from exc
            self.state = state

    def now(self) -> str:
        """Return the time as statements and this file write it."""
        return iso(self._clock.now().wall_ns)


def _written(signed: Signed | None) -> JsonObject | None:
    return None if signed is None else {"purpose": signed.statement.purpose, "record": signed.record}


def _read(value: Any) -> Signed | None:
    return None if value is None else statements.read(statements.TOPIC + value["purpose"], value["record"])
