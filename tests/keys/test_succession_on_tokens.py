"""The succession of keys with keys that live on tokens, SoftHSM's and a TPM's: what the forger has is the signer itself."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.errors import TransientError
from actod.keys.client import SignerClient
from actod.model import EnrolledKey, PublicKeys
from actod.proof.chain import verify_set
from actod.proof.statements import Key, Signature, Signed
from actod.proof.thumbprint import base64url
from actod.proof.trust import Trust
from actod.proof.verify import Verdict
from hil.parts import swtpm
from hil.parts.softhsm import SoftToken
from tests.keys.parts import Signer
from tests.proof.device import Device
from tests.proof.test_succession import told
from tests.proof.test_verify_envelope import resign, stock_verdicts


@dataclasses.dataclass(frozen=True)
class OnToken:
    """A generation on the token, as `Holder` is one in software: everything goes through the signer's socket."""

    client: SignerClient
    runner: asyncio.Runner
    generation: EnrolledKey

    @property
    def public(self) -> PublicKeys:
        return self.generation.public

    @property
    def key(self) -> Key:
        return Key.of(self.public)

    def sign_hash(self, payload_hash: str) -> bytes:
        return self._ask(lambda: self.client.sign_payload_hash(payload_hash))

    def cosign(self, message: bytes) -> bytes | None:
        return self._ask(lambda: self.client.cosign(message))

    def sign(self, message: bytes) -> Signature:
        made = self._ask(lambda: self.client.sign_purpose(message))
        return Signature(base64url(made.ed25519), base64url(made.p256) if made.p256 else None)

    def _ask(self, question: Callable[[], Any]) -> Any:
        async def chosen() -> Any:
            await self.client.use(self.public.ed25519_thumbprint)
            return await question()

        return self.runner.run(chosen())


@pytest.fixture(params=["softhsm", pytest.param("tpm", marks=pytest.mark.tpm)])
def generations(
    request: pytest.FixtureRequest, tmp_path: Path, make_signer: Callable[..., Signer]
) -> Iterator[tuple[OnToken, OnToken]]:
    """Yield two generations of a family on a real token."""
    with contextlib.ExitStack() as stack:
        if request.param == "tpm":
            token: SoftToken = stack.enter_context(contextlib.closing(swtpm.make_token(tmp_path / "tpm")))
        else:
            token = request.getfixturevalue("token")
        signer = make_signer(token)
        signer.start()
        client, runner = SignerClient(signer.socket, timeout_seconds=30), stack.enter_context(asyncio.Runner())

        async def both() -> tuple[EnrolledKey, EnrolledKey]:
            return (await client.keys())[0], await client.make_next(2)

        first, second = runner.run(both())
        yield OnToken(client, runner, first), OnToken(client, runner, second)
        client.close()


def test_keys_on_a_token_follow_each_other_and_each_forgery_is_named(generations: tuple[OnToken, OnToken]) -> None:
    old, new = generations
    sealed = old.public.kind == "sealed"
    trust = Trust({"device-1": (old.key,)})
    device = Device(old)  # type: ignore[arg-type]
    device.seal()
    device.rotate(new)  # type: ignore[arg-type]
    device.say(device.retirement(old, reason="suspected", suspected_since=device.chain[0]["payload"]["created_at"]))  # type: ignore[arg-type]
    device.seal()
    report = verify_set(device.chain, trust=trust, require_hardware=sealed)
    assert (report.verdict, told(report), report.marks) == (Verdict.VALID, "", [])
    assert [bool(one.disputed) for one in report.envelopes] == [True, True, False, False]
    assert [one.cosigned for one in report.envelopes] == [sealed] * 4
    assert all(verdict["valid"] for verdict in stock_verdicts(device.chain))

    strangers = resign(device.chain[-1], key=SigningKey.generate())
    assert [verdict["valid"] for verdict in stock_verdicts([strangers])] == [True]
    assert "signed again by a stranger" in told(verify_set([*device.chain, strangers], trust=trust))
    later = device.seal(holder=old)  # type: ignore[arg-type]
    assert "signed by a key that was retired at epoch 1 device_seq 3" in told(verify_set(device.chain, trust=trust))
    assert verify_set([*device.chain[:-1], device.chain[0]], trust=trust).copies != []
    assert later is device.chain[-1]

    forged = Device(old)  # type: ignore[arg-type]
    forged.seal()
    statement = forged.statement("rotation", old=old.key, new=new.key)
    forged.say(Signed(statement, {"old": new.sign(statement.message), "new": new.sign(statement.message)}))
    forged.seal(holder=new)  # type: ignore[arg-type]
    said = told(verify_set(forged.chain, trust=trust))
    assert "forged rotation at epoch 1 device_seq 2: the signature of the old key does not verify" in said
    assert ("the token's own signature of the old key does not verify" in said) is sealed
    if sealed:  # who has a copy of the sealed key has not the chip, and the chip signs nothing that does not name its key
        copied = dataclasses.replace(old.public, p256_thumbprint=new.public.p256_thumbprint)
        with pytest.raises(TransientError, match="request_refused"):
            Device(_Copied(old, copied)).seal()  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class _Copied:
    """A holder who names another P-256 key than the one that signs."""

    holder: OnToken
    public: PublicKeys

    def cosign(self, message: bytes) -> bytes | None:
        return self.holder.cosign(message)
