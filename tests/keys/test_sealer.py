"""The sealer waits for the token as long as it takes, says why, and lets no wrong signature out."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.errors import IntegrityError, TransientError
from actod.keys.ring import KeyRing
from actod.keys.sealer import TokenSealer
from actod.model import EnrolledKey, Envelope, PurposeSignature
from actod.proof.statements import Key
from tests.memory_audit import Audit
from tests.proof.conftest import bundle_of, context_of, keys_of
from tests.store.parts import HandClock

EVENT = {"data": {"speed": 1.5}, "topic": "a/b", "ts": "2026-01-02T03:04:05Z"}


class AheadLoop(asyncio.SelectorEventLoop):
    """A loop whose clock can be put ahead, so that nobody waits for a minute."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class ScriptedSigner:
    """Implements the Signer port with a software key, after the failures that a script names."""

    def __init__(self, *failures: str, key: SigningKey | None = None) -> None:
        self.key = key or SigningKey(bytes(range(32)))
        self.failures = list(failures)
        self.before_failing: Callable[[], None] = lambda: None

    async def keys(self) -> tuple[EnrolledKey, ...]:
        self._fail()
        public = keys_of(self.key)
        return (EnrolledKey("key", 1, public.ed25519, public.ed25519_thumbprint, None, None, public.kind),)

    async def use(self, ed25519_thumbprint: str) -> None:
        self.chosen = ed25519_thumbprint

    async def sign_purpose(self, message: bytes) -> PurposeSignature:
        return PurposeSignature(self.key.sign(message).signature, None)

    async def make_next(self, generation: int) -> EnrolledKey:
        raise NotImplementedError(generation)

    async def sign_payload_hash(self, payload_hash: str) -> bytes:
        self._fail()
        return bytes(self.key.sign(payload_hash.encode()).signature)

    async def cosign(self, canonical_payload: bytes) -> bytes | None:
        del canonical_payload
        return None

    def _fail(self) -> None:
        if self.failures and (reason := self.failures.pop(0)):
            self.before_failing()
            raise TransientError(reason)


@pytest.fixture
def sealer_of(tmp_path: Path) -> Callable[[ScriptedSigner, Audit], TokenSealer]:
    def make(signer: ScriptedSigner, audit: Audit) -> TokenSealer:
        ring = KeyRing(tmp_path, signer=signer, audit=audit, clock=HandClock(), last_used=lambda: None)
        return TokenSealer(signer=signer, ring=ring, context=context_of, audit=audit)

    return make


Sealers = Callable[[ScriptedSigner, Audit], TokenSealer]


def seal(sealer: TokenSealer, count: int = 1) -> list[Envelope]:
    """Seal bundles one after the other on a loop of their own."""

    async def scenario() -> list[Envelope]:
        return [await sealer.seal(bundle_of([EVENT])) for _ in range(count)]

    with asyncio.Runner(loop_factory=AheadLoop) as runner:
        return runner.run(scenario())


def meta(envelope: Envelope) -> dict[str, Any]:
    return dict(orjson.loads(envelope.body)["payload"]["meta"]["actod"])


def test_the_keys_are_asked_for_once_and_their_use_is_recorded(sealer_of: Sealers) -> None:
    audit, signer = Audit(), ScriptedSigner("", "", "", "")
    sealer = sealer_of(signer, audit)
    assert len(seal(sealer, 3)) == 3
    assert signer.failures == []  # one question for the keys, three signatures
    assert audit.lines == [("key.used", dataclasses.asdict(Key.of(keys_of(signer.key))))]
    assert sealer.waiting is None


def test_each_new_reason_for_waiting_is_recorded_once_and_so_is_the_end(sealer_of: Sealers) -> None:
    audit = Audit()
    sealer = sealer_of(ScriptedSigner("signer_away", "signer_away", "token_absent", "", "token_absent"), audit)
    (envelope,) = seal(sealer)
    assert [line for line in audit.lines if line[0].startswith("seal.")] == [
        ("seal.waiting", {"reason": "signer_away"}),
        ("seal.waiting", {"reason": "token_absent"}),
        ("seal.resumed", {"reason": "token_absent"}),
    ]
    assert [event for event, _ in audit.lines].count("key.used") == 1  # it is the same key after all
    assert (sealer.waiting, meta(envelope)["sealed_late"]) == (None, False)


def test_a_bundle_that_waited_more_than_a_minute_says_so(sealer_of: Sealers) -> None:
    signer = ScriptedSigner("token_away")

    def a_minute_passes() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, AheadLoop)
        loop.ahead += 61

    signer.before_failing = a_minute_passes
    first, second = seal(sealer_of(signer, Audit()), 2)
    assert (meta(first)["sealed_late"], meta(second)["sealed_late"]) == (True, False)


def test_another_token_after_an_absence_is_waited_out(sealer_of: Sealers) -> None:
    audit, signer = Audit(), ScriptedSigner("", "", "token_away")
    sealer, own = sealer_of(signer, audit), signer.key

    def another_token() -> None:
        signer.key = SigningKey(bytes(32))
        signer.failures = ["", "", "key_gone_was_said"]
        signer.before_failing = the_own_token

    def the_own_token() -> None:
        signer.key = own

    signer.before_failing = another_token
    first, second = seal(sealer, 2)
    assert meta(first)["key"] == meta(second)["key"]
    assert [fields["reason"] for event, fields in audit.lines if event == "seal.waiting"] == [
        "token_away",
        "key_gone",
        "key_gone_was_said",
    ]
    assert [event for event, _ in audit.lines].count("key.used") == 1


def test_a_signature_that_does_not_verify_stops_everything(sealer_of: Sealers) -> None:
    signer = ScriptedSigner()
    sealer = sealer_of(signer, Audit())
    seal(sealer)
    signer.key = SigningKey(bytes(32))  # without an absence in between: nobody may sign for the key that was named
    with pytest.raises(IntegrityError, match="bad_signature"):
        seal(sealer)
