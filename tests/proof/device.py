"""A device with real keys in software: Ed25519, and for sealed ones P-256 beside it. It seals, rotates, retires, adopts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from actod.model import PublicKeys, Stream, TrafficClass
from actod.proof import thumbprint
from actod.proof.canonical import canonical
from actod.proof.envelope import assemble
from actod.proof.statements import Heads, Key, Signature, Signed, Statement, heads_digest
from actod.proof.thumbprint import base64url
from actod.proof.trust import Trust
from tests.proof.conftest import bundle_of, context_of

START = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
EVENT = {"data": {"speed": 1.5}, "topic": "a/b", "ts": "2026-01-02T03:04:05Z"}


def es256(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


@dataclass(frozen=True)
class Holder:
    """The private keys of one generation."""

    ed25519: SigningKey
    p256: ec.EllipticCurvePrivateKey | None = None
    kind: str = "on-token"

    @classmethod
    def make(cls, *, sealed: bool = False) -> Holder:
        if sealed:
            return cls(SigningKey.generate(), ec.generate_private_key(ec.SECP256R1()), "sealed")
        return cls(SigningKey.generate())

    @property
    def public(self) -> PublicKeys:
        raw = bytes(self.ed25519.verify_key)
        point = self.p256 and self.p256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return PublicKeys(
            ed25519=raw,
            ed25519_thumbprint=thumbprint.ed25519(raw),
            p256_thumbprint=thumbprint.p256(point) if point else None,
            kind=self.kind,
        )

    @property
    def key(self) -> Key:
        return Key.of(self.public)

    def write_pem(self, file: Path) -> Path:
        """Write the public P-256 key."""
        assert self.p256 is not None
        file.write_bytes(self.p256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return file

    def sign_hash(self, payload_hash: str) -> bytes:
        return bytes(self.ed25519.sign(payload_hash.encode()).signature)

    def cosign(self, message: bytes) -> bytes | None:
        return es256(self.p256, message) if self.p256 else None

    def sign(self, message: bytes) -> Signature:
        p256 = self.cosign(message)
        return Signature(base64url(self.ed25519.sign(message).signature), base64url(p256) if p256 else None)


@dataclass
class Device:
    """Seals bundle after bundle, a minute apart; `chain` are the parsed envelopes."""

    holder: Holder
    name: str = "device-1"
    epoch: int = 1
    device_seq: int = 0
    now: datetime = START
    heads: dict[str | None, tuple[int, str]] = field(default_factory=dict)
    chain: list[dict[str, Any]] = field(default_factory=list)

    def seal(self, *events: Any, robot: str | None = "r1", holder: Holder | None = None, cosign: bytes | None = None) -> Any:
        """Seal one bundle with the current key, or another; `cosign` takes the place of the token's own signature."""
        holder = holder or self.holder
        self.now += timedelta(minutes=1)
        seq, previous = self.heads.get(robot, (0, None))
        bundle = bundle_of(
            list(events) or [EVENT],
            device=self.name,
            epoch=self.epoch,
            seq=seq + 1,
            device_seq=self.device_seq + 1,
            previous=previous,
            stream=Stream(robot, "actod" if robot is None else "task", None, TrafficClass.NORMAL),
            loss=(),
        )
        context = context_of(created_at=self.now.isoformat(timespec="microseconds"))
        draft = assemble(bundle, keys=holder.public, context=context)
        unsigned = draft.finish(holder.cosign(draft.canonical) if cosign is None else cosign)
        envelope = unsigned.sign(holder.sign_hash(unsigned.payload_hash))
        self.device_seq += 1
        self.heads[robot] = (seq + 1, envelope.payload_hash)
        self.chain.append(orjson.loads(envelope.body))
        return self.chain[-1]

    def after(self) -> tuple[int, str | None]:
        return self.device_seq, self.chain[-1]["payload"]["payload_hash"] if self.device_seq else None

    def statement(self, purpose: str, **members: Any) -> Statement:
        values = {
            "device": self.name,
            "epoch": self.epoch,
            "old": None,
            "new": self.holder.key,
            "after": self.after(),
            "time": self.now.isoformat(timespec="microseconds"),
            "reason": "scheduled",
        }
        return Statement(purpose=purpose, **(values | members))

    def say(self, signed: Signed, **how: Any) -> Any:
        """Seal the record that carries a statement."""
        return self.seal(record(signed), robot=None, **how)

    def rotate(self, new: Holder, **members: Any) -> None:
        """Say that `new` follows, and use it."""
        statement = self.statement("rotation", **({"old": self.holder.key, "new": new.key} | members))
        self.say(Signed(statement, {"old": self.holder.sign(statement.message), "new": new.sign(statement.message)}))
        self.holder = new

    def retirement(self, old: Holder, **members: Any) -> Signed:
        statement = self.statement("retirement", old=old.key, **members)
        return Signed(statement, {"new": self.holder.sign(statement.message)})

    def adoption(self, new: Holder, operator: SigningKey, **members: Any) -> Signed:
        """Make the statement that begins the next epoch with another key."""
        heads: Heads = [(robot, *head) for robot, head in self.heads.items()]
        statement = self.statement(
            "adoption",
            **{
                "old": self.holder.key,
                "new": new.key,
                "epoch": self.epoch + 1,
                "operator": base64url(bytes(operator.verify_key)),
                "heads": heads_digest(heads),
                "reason": "dead",
            }
            | members,
        )
        signature = Signature(base64url(operator.sign(statement.message).signature))
        return Signed(statement, {"new": new.sign(statement.message), "operator": signature}, heads)

    def begin_epoch(self, holder: Holder) -> None:
        self.holder, self.epoch, self.device_seq, self.heads = holder, self.epoch + 1, 0, {}


def record(signed: Signed, **changes: Any) -> dict[str, Any]:
    """Make the event that carries a statement, as it stands after a way through JSON."""
    data = orjson.loads(canonical(signed.record)) | changes
    return {"data": data, "topic": f"actod/key_{signed.statement.purpose}", "ts": "2026-01-02T03:04:05Z"}


def with_signature(signed: Signed, role: str, signature: Signature) -> Signed:
    return dataclasses.replace(signed, signatures={**signed.signatures, role: signature})


def trust_of(*holders: Holder, device: str | None = "device-1", operators: tuple[SigningKey, ...] = ()) -> Trust:
    return Trust(
        {device: tuple(holder.key for holder in holders)},
        frozenset(base64url(bytes(operator.verify_key)) for operator in operators),
    )
