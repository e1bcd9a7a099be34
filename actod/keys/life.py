"""What happens to keys over a robot's life: rotation, retirement, adoption, and their ages. Runs in the daemon.

It has a connection to the signer of its own, on which it may choose any key without the sealer noticing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import structlog

from actod.errors import RejectedError, TransientError
from actod.keys.listing import age_days
from actod.keys.ring import KeyRing
from actod.model import ChainHeads, EnrolledKey
from actod.ports import AuditLog, Signer
from actod.proof.statements import (
    ADOPTION,
    ENROLMENT,
    RETIREMENT,
    ROTATION,
    Key,
    Signature,
    Signed,
    Statement,
    decode,
    heads_digest,
)
from actod.proof.thumbprint import base64url

_LOOK_SECONDS = 10.0
_SWITCH_SECONDS = 20.0  # a TPM signs in 0.2 s; what lasts longer goes on by itself
_POLL_SECONDS = 0.05
_DAY_SECONDS = 86_400.0

_log = structlog.get_logger(__name__)


class Chain(Protocol):
    """What is needed of the store."""

    async def heads(self) -> ChainHeads:
        """Return where the epoch stands."""

    async def seal_now(self) -> None:
        """Let everything that is journaled be due at once."""

    async def begin_epoch(self, reason: str) -> int:
        """Begin a new epoch, durably."""


class Records(Protocol):
    """Journals actod's own records."""

    async def write(self, kind: str, **data: Any) -> None:
        """Journal one, durable on return."""


class KeyLife:
    """Changes keys, one at a time. Every method may raise TransientError; RejectedError says why it is not done."""

    def __init__(
        self, *, ring: KeyRing, signer: Signer, chain: Chain, records: Records, audit: AuditLog, max_age_days: int
    ) -> None:
        self._ring, self._signer, self._chain, self._records, self._audit = ring, signer, chain, records, audit
        self._max_age_days = max_age_days
        self._one_at_a_time = asyncio.Lock()
        self._told: Signed | None = None  # the change whose record this process has journaled

    async def run(self) -> None:
        """Go on with what a kill or a full disk interrupted, and watch the key's age."""
        warned_at = -_DAY_SECONDS
        while True:
            try:
                async with self._one_at_a_time:
                    await self._go_on()
            except TransientError:
                pass  # the sealer says what is away
            except RejectedError as exc:
                _log.error("What the token signed about its keys is not taken; it is tried again.", reason=exc.reason)
            now = asyncio.get_running_loop().time()
            if now - warned_at >= _DAY_SECONDS and self._warn_of_age():
                warned_at = now
            await asyncio.sleep(_LOOK_SECONDS)

    # -- what an operator asks ----------------------------------------------------------------------------------------

    async def rotate(self, *, reason: str) -> dict[str, Any]:
        """Let the next generation sign. `done` is False if the record could not be sealed yet: then it goes on by itself."""
        async with self._one_at_a_time:
            self._refuse_if_busy()
            generations = await self._signer.keys()
            old = self._ring.in_use(generations)
            new = await self._successor(generations, after=old.generation)
            statement = await self._statement(ROTATION, old=Key.of(old.public), new=new, reason=reason)
            signed = Signed(statement, {"old": await self._sign(old, statement), "new": await self._sign(new, statement)})
            await self._ring.write(replace(self._ring.state, pending=_checked(signed)))
            self._audit.record("key.rotating", old=old.ed25519_thumbprint, new=new.ed25519_thumbprint, reason=reason)
            await self._tell(signed)
            done = await self._in_force(statement.new)
            return {"old": old.ed25519_thumbprint, "new": new.ed25519_thumbprint, "done": done}

    async def retire(self, *, ed25519: str | None, reason: str, suspected_since: str | None) -> dict[str, Any]:
        """End a key: the one named, or the one in use, which is replaced first."""
        current = self._ring.state.current
        if current is None:
            raise RejectedError("key_unused", "no key was in use yet")
        target = ed25519 or current.ed25519
        if target == current.ed25519 and not (await self.rotate(reason=reason))["done"]:
            raise RejectedError("rotation_pending", "its successor does not sign yet; retire it when it does")
        async with self._one_at_a_time:
            self._refuse_if_busy()
            past = next((past for past in self._ring.state.past if past.key.ed25519 == target), None)
            if past is None:
                raise RejectedError("key_unused", "this robot has not signed with such a key")
            new = self._ring.in_use(await self._signer.keys())
            statement = await self._statement(
                RETIREMENT, old=past.key, new=new, reason=reason, suspected_since=suspected_since
            )
            await self._tell(_checked(Signed(statement, {"new": await self._sign(new, statement)})))
            self._audit.record("key.retired", ed25519=target, reason=reason, suspected_since=suspected_since)
            marked = tuple(replace(one, retired=one.retired or one is past) for one in self._ring.state.past)
            await self._ring.write(replace(self._ring.state, past=marked))
            return {"retired": target, "current": new.ed25519_thumbprint, "since": past.since}

    async def prepare_adoption(self, *, operator: str, reason: str, suspected_since: str | None) -> dict[str, Any]:
        """Return the statement that an operator has to sign so that another key may go on, where the one in use is gone."""
        async with self._one_at_a_time:
            self._refuse_if_busy()
            state, generations = self._ring.state, await self._signer.keys()
            if state.current is None:
                raise RejectedError("key_unused", "no key was in use yet: there is nothing to go on from")
            if any(key.ed25519_thumbprint == state.current.ed25519 for key in generations):
                raise RejectedError("key_present", "the key in use is on the token: rotate it")
            if decode(operator, 32) is None:
                raise RejectedError("operator_malformed", "an operator's key is Ed25519")
            new = await self._successor(generations, after=0)
            heads = await self._chain.heads()
            statement = await self._statement(
                ADOPTION,
                old=state.current,
                new=new,
                reason=reason,
                suspected_since=suspected_since,
                operator=operator,
                heads=heads_digest(heads.heads),
            )
            signed = Signed(statement, {"new": await self._sign(new, statement)}, list(heads.heads))
            await self._ring.write(replace(state, prepared=signed))
            self._audit.record("key.adoption_prepared", new=new.ed25519_thumbprint)
            return {"statement": statement.message.decode(), "new": new.ed25519_thumbprint, "epoch": statement.epoch}

    async def adopt(self, *, signature: str) -> dict[str, Any]:
        """Bring the operator's signature (base64url) over the prepared statement, and begin the epoch of the new key."""
        async with self._one_at_a_time:
            self._refuse_if_busy()
            prepared, heads = self._ring.state.prepared, await self._chain.heads()
            if prepared is None:
                raise RejectedError("nothing_prepared", "no statement waits for a signature")
            statement = prepared.statement
            if (statement.epoch, statement.heads) != (heads.epoch + 1, heads_digest(heads.heads)):
                raise RejectedError("statement_stale", "the chains went on since it was made: prepare another")
            signed = replace(prepared, signatures={**prepared.signatures, "operator": Signature(signature)})
            await self._ring.write(replace(self._ring.state, prepared=None, pending=_checked(signed)))
            self._audit.record("key.adopting", new=statement.new.ed25519, reason=statement.reason)
            await self._finish_adoption(signed)
            return {"new": statement.new.ed25519, "epoch": statement.epoch}

    # -- the steps ----------------------------------------------------------------------------------------------------

    async def _go_on(self) -> None:
        pending = self._ring.state.pending
        if pending is None:
            await self._enrol()
        elif pending.statement.purpose == ADOPTION:
            await self._finish_adoption(pending)
        else:
            if self._told != pending:
                await self._tell(pending)
            heads = await self._chain.heads()
            await self._ring.settle(heads.epoch, heads.device_seq)

    async def _enrol(self) -> None:
        """Say once, in the chain, which key the device begins with: signed by all that it has."""
        state = self._ring.state
        if state.enrolled or state.current is None:
            return
        key = self._ring.in_use(await self._signer.keys())
        statement = await self._statement(ENROLMENT, new=key, reason="initial")
        signed = _checked(Signed(statement, {"new": await self._sign(key, statement)}))
        await self._records.write(f"key_{ENROLMENT}", **signed.record)
        await self._ring.write(replace(self._ring.state, enrolled=True))

    async def _finish_adoption(self, signed: Signed) -> None:
        statement, heads = signed.statement, await self._chain.heads()
        if heads.epoch == statement.epoch - 1:
            await self._chain.begin_epoch("adopted")
        elif heads.epoch != statement.epoch:
            await self._ring.write(replace(self._ring.state, pending=None))
            self._audit.record("key.adoption_lost", new=statement.new.ed25519)
            return
        await self._tell(signed)
        await self._ring.switch(statement.new)
        self._audit.record("key.adopted", new=statement.new.ed25519, epoch=statement.epoch)
        await self._chain.seal_now()

    async def _tell(self, signed: Signed) -> None:
        """Journal the record, and have it sealed at once."""
        await self._records.write(f"key_{signed.statement.purpose}", **signed.record)
        self._told = signed
        await self._chain.seal_now()

    async def _in_force(self, new: Key) -> bool:
        """Wait until the successor signs, as long as that should last."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SWITCH_SECONDS
        while self._ring.state.current != new:
            if loop.time() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
            heads = await self._chain.heads()
            await self._ring.settle(heads.epoch, heads.device_seq)
        return True

    async def _successor(self, generations: tuple[EnrolledKey, ...], *, after: int) -> EnrolledKey:
        """Return the newest key that never signed, made on the token where there is none."""
        used = {past.key.ed25519 for past in self._ring.state.past}
        if self._ring.state.current is not None:
            used.add(self._ring.state.current.ed25519)
        unused = [key for key in generations if key.ed25519_thumbprint not in used and key.generation > after]
        if unused:
            return unused[-1]
        generation = max((key.generation for key in generations), default=0) + 1
        try:
            return await self._signer.make_next(generation)
        except TransientError as exc:
            if exc.reason != "key_count":
                raise
        return await self._signer.make_next(generation + 1)  # half a pair, of a process that was killed, keeps its label

    async def _statement(self, purpose: str, *, new: EnrolledKey, **members: Any) -> Statement:
        heads = await self._chain.heads()
        return Statement(
            purpose=purpose,
            device=heads.device,
            epoch=heads.epoch + (purpose == ADOPTION),
            new=Key.of(new.public),
            after=(heads.device_seq, heads.payload_hash),
            time=self._ring.now(),
            **members,
        )

    async def _sign(self, key: EnrolledKey, statement: Statement) -> Signature:
        await self._signer.use(key.ed25519_thumbprint)
        made = await self._signer.sign_purpose(statement.message)
        return Signature(base64url(made.ed25519), None if made.p256 is None else base64url(made.p256))

    def _refuse_if_busy(self) -> None:
        if self._ring.state.pending is not None:
            raise RejectedError("key_change_pending", "a change of keys is under way; it goes on by itself")

    def _warn_of_age(self) -> bool:
        days = age_days(self._ring.state.since, self._ring.now())
        if days is None or days < self._max_age_days:
            return False
        self._audit.record("key.old", days=days, allowed_days=self._max_age_days)
        _log.warning("The key is older than its schedule allows: actod keys rotate", days=days)
        return True


def _checked(signed: Signed) -> Signed:
    """Return a statement whose signatures verify: a wrong one must not get into the chain."""
    problems = "; ".join(signed.problems())
    if problems:
        raise RejectedError("statement_unsigned", problems)
    return signed
