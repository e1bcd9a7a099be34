"""A key family in software behind the Signer port, and a robot around it: real store, real records, real sealing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from actod import pipeline
from actod.config import MaskingConfig, SealConfig, StoreConfig
from actod.errors import TransientError
from actod.keys.life import KeyLife
from actod.keys.ring import KeyRing, last_used_key
from actod.keys.sealer import TokenSealer
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.model import EnrolledKey, PurposeSignature
from actod.proof.envelope import SealContext, iso
from actod.service.records import OwnRecords
from actod.store.spool import SqliteSpool
from tests.proof.conftest import context_of
from tests.proof.device import Holder, es256
from tests.store.parts import HandClock


class Family:
    """Implements the Signer port: generations in memory, all on one make-believe token."""

    def __init__(self, *, sealed: bool = False, generations: int = 1) -> None:
        self._sealed, self.half_made = sealed, 0
        self.holders = {number: Holder.make(sealed=sealed) for number in range(1, generations + 1)}

    def connection(self) -> Connection:
        return Connection(self)

    def enrolled(self, generation: int) -> EnrolledKey:
        holder = self.holders[generation]
        public, key = holder.public, holder.p256
        return EnrolledKey(
            label="key" if generation == 1 else f"key.{generation}",
            generation=generation,
            ed25519=public.ed25519,
            ed25519_thumbprint=public.ed25519_thumbprint,
            p256=key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) if key else None,
            p256_thumbprint=public.p256_thumbprint,
            kind=holder.kind,
        )

    def make(self, generation: int) -> EnrolledKey:
        if generation == self.half_made:
            raise TransientError("key_count")
        self.holders.setdefault(generation, Holder.make(sealed=self._sealed))
        return self.enrolled(generation)


@dataclass
class Connection:
    """One client's choice of a key."""

    family: Family
    chosen: str | None = None
    away: str = ""

    async def keys(self) -> tuple[EnrolledKey, ...]:
        await self._turn()
        return tuple(self.family.enrolled(number) for number in sorted(self.family.holders))

    async def use(self, ed25519_thumbprint: str) -> None:
        self.chosen = ed25519_thumbprint
        await self._turn()

    async def sign_payload_hash(self, payload_hash: str) -> bytes:
        return (await self._holder()).ed25519.sign(payload_hash.encode()).signature

    async def cosign(self, canonical_payload: bytes) -> bytes | None:
        holder = await self._holder()
        return es256(holder.p256, canonical_payload) if holder.p256 else None

    async def sign_purpose(self, message: bytes) -> PurposeSignature:
        holder = await self._holder()
        p256 = es256(holder.p256, message) if holder.p256 else None
        return PurposeSignature(holder.ed25519.sign(message).signature, p256)

    async def make_next(self, generation: int) -> EnrolledKey:
        await self._turn()
        return self.family.make(generation)

    async def _holder(self) -> Holder:
        await self._turn()
        for holder in self.family.holders.values():
            if holder.public.ed25519_thumbprint == self.chosen:
                return holder
        raise TransientError("key_unknown")

    async def _turn(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise TransientError(self.away)


class KilledError(BaseException):
    """The process is gone at this point; nothing after it happens."""


@dataclass
class Robot:
    """What stays when actod is killed: the folder, the token, the audit log. `running` is one life of the daemon."""

    folder: Path
    family: Family
    clock: HandClock = field(default_factory=HandClock)
    audit: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    steps_left: int | None = None  # durable steps until the kill

    def record(self, event: str, **fields: Any) -> None:
        self.audit.append((event, fields))

    def witness(self, event: str, fields: Mapping[str, Any]) -> None:
        self.record(event, **fields)
        for name, value in fields.items():
            self.known[name] = self.known.get(name, {}) | value if isinstance(value, dict) else value

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Nobody asks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """There is always room."""

    def head(self) -> str:
        return "c" * 64

    def events(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.audit if event == name]

    def step(self) -> None:
        """Count one durable step; die before it when the time has come."""
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise KilledError
            self.steps_left -= 1

    def envelopes(self) -> list[Any]:
        from actod.store.inspection import inspect  # noqa: PLC0415 - the store must be closed

        with inspect(self.folder) as store:
            return [orjson.loads(store.envelope(row) or b"null") for row in store.signed_since(0)]


@dataclass
class Life:
    """One life of the daemon, as far as keys and sealing go."""

    robot: Robot
    spool: SqliteSpool
    ring: KeyRing
    keys: KeyLife
    sealer: TokenSealer
    records: OwnRecords
    tasks: list[asyncio.Task[None]]

    async def report(self, count: int = 1) -> None:
        """Journal something, and wait until all of it is sealed."""
        for number in range(count):
            await self.records.write("heartbeat", number=number)
        await self.sealed()
        with suppress(TransientError):
            await self.keys._go_on()  # as the daemon does every few seconds

    async def sealed(self) -> None:
        await self.spool.seal_now()
        async with asyncio.timeout(20):
            while (await self.spool.status()).journal_messages:
                await asyncio.sleep(0.005)


class _Counted:
    """Stands before a part, and counts its durable calls."""

    def __init__(self, part: Any, robot: Robot, names: set[str]) -> None:
        self._part, self._robot, self._names = part, robot, names

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if name not in self._names:
            return value

        async def counted(*arguments: Any, **named: Any) -> Any:
            self._robot.step()
            return await value(*arguments, **named)

        return counted


async def live(robot: Robot, scenario: Callable[[Life], Any], *, seal: bool = True) -> None:
    """Run one life of the daemon for a scenario. A kill ends it without a word."""
    clock = robot.clock
    spool = await SqliteSpool.open(
        folder=robot.folder,
        seal=SealConfig(max_age_seconds=0.05),
        store=StoreConfig(),
        clock=clock,
        witness=robot.witness,
        known=robot.known or None,
        device_id="device-1",
    )
    policy = Policy.compile(MaskingConfig())
    masker = PolicyMasker(policy=policy, pseudonym_key=secrets.token_bytes(32))
    counted = _Counted(spool, robot, {"commit", "put", "begin_epoch"})
    records = OwnRecords(masker=masker, spool=counted, clock=clock)
    signer = robot.family.connection()
    ring = KeyRing(
        robot.folder,
        signer=signer,
        audit=robot,
        clock=clock,
        last_used=lambda: last_used_key(robot.audit),
    )
    write = ring.write

    async def counted_write(state: Any) -> None:
        robot.step()
        await write(state)

    ring.write = counted_write  # type: ignore[method-assign]
    sealer = TokenSealer(signer=signer, ring=ring, context=lambda: _context(clock), audit=robot)
    keys = KeyLife(
        ring=ring, signer=robot.family.connection(), chain=counted, records=records, audit=robot, max_age_days=365
    )
    life = Life(robot, spool, ring, keys, sealer, records, [])
    try:
        if seal:
            life.tasks.append(asyncio.create_task(pipeline.seal(spool=counted, sealer=sealer, audit=robot)))
        with suppress(TransientError):
            await keys._go_on()
        work = asyncio.create_task(scenario(life))
        await asyncio.wait({work, *life.tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in life.tasks:  # sealing never ends but by a kill or a defect
            if task.done():
                work.cancel()
                task.result()
        await work
    finally:
        for task in life.tasks:
            task.cancel()
        for task in life.tasks:
            with suppress(asyncio.CancelledError, KilledError):
                await task
        await spool.close()


def _context(clock: HandClock) -> SealContext:
    clock.advance(0.001)
    return context_of(created_at=iso(clock.wall_ns))


@contextmanager
def killed() -> Iterator[None]:
    """Expect that a life may end by a kill."""
    with suppress(KilledError):
        yield
