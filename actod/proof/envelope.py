"""The ACTO proof envelope, byte for byte, and what actod adds to it in `payload.meta`.

`Bundle -> Draft -> Unsigned -> Envelope`: a draft may be co-signed by the token's P-256 key, an unsigned payload has its
hash, and an envelope exists only with a signature that was verified. The events of a bundle are canonical already, so
the canonical bytes are spliced, not parsed and written again; the bytes that were hashed are the bytes that are sent.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from actod.errors import IntegrityError
from actod.model import Bundle, Envelope, JsonObject, Loss, PublicKeys, TrafficClass
from actod.proof import p256, thumbprint
from actod.proof.canonical import canonical, digest
from actod.proof.thumbprint import base64url

META_VERSION = 1
SEALED = "sealed"  # the kind of an Ed25519 key that the token keeps but cannot use: TPM 2.0
SAMPLED = "sampled:"  # how a ledger line's reason begins that is no loss: left out because the operator wants it so
_AUDIT = re.compile(rb'"meta":\{"actod":\{"audit":"([0-9a-f]{64})"')  # as `assemble` writes it: the first member of all
_HEAD_BYTES = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealContext:
    """What is true at the moment of sealing: not in the bundle, but signed along."""

    boot_id: str
    clock: JsonObject
    policy: str
    config: str
    audit: str
    hash_alg: str
    created_at: str


def proof_id(payload_hash: str) -> str:
    """Return the id that the server will give: known before submitting."""
    return hashlib.sha256(payload_hash.encode("ascii")).hexdigest()[:32]


def telemetry_bytes(*, events: bytes, meta: JsonObject, robot_id: str | None, run_id: str | None, task_id: str) -> bytes:
    """Return canonical(telemetry_normalized) from canonical events joined by b","."""
    rest = canonical({"meta": meta, "robot_id": robot_id, "run_id": run_id, "task_id": task_id})
    return b'{"events":[' + events + b"]," + rest[1:]  # "events" sorts before all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A payload without payload_hash and co-signature: `canonical` is what the token's P-256 key signs."""

    head: JsonObject  # created_at, hash_alg and meta: what sorts before payload_hash
    tail: bytes = field(repr=False)  # canonical members that sort after it
    hash_alg: str
    keys: PublicKeys
    traffic_class: TrafficClass

    @property
    def canonical(self) -> bytes:
        """Canonical bytes of the payload without payload_hash and without the co-signature."""
        return canonical(self.head)[:-1] + self.tail

    def finish(self, cosign: bytes | None) -> Unsigned:
        """Put in the co-signature (r||s), where there is one, and compute the hash over all.

        Raises IntegrityError unless it verifies under the P-256 key that the payload names, or if it is missing where
        the Ed25519 key is no more than sealed by the token.
        """
        head = self.head
        if cosign is None:
            if self.keys.kind == SEALED:
                raise IntegrityError("cosign_missing", "a sealed key needs the token's own signature beside it")
        else:
            if not p256.verifies(self.canonical, cosign, self.keys.p256_thumbprint or ""):
                raise IntegrityError("bad_cosign", "the token's P-256 signature does not verify")
            actod = head["meta"]["actod"] | {"cosign": base64url(cosign)}
            head = head | {"meta": head["meta"] | {"actod": actod}}
        start = canonical(head)[:-1]
        payload_hash = digest(start + self.tail, self.hash_alg)
        body = start + b',"payload_hash":"' + payload_hash.encode("ascii") + b'"' + self.tail
        return Unsigned(payload_hash=payload_hash, payload=body, keys=self.keys, traffic_class=self.traffic_class)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsigned:
    """A payload with its hash. `payload` is canonical(payload)."""

    payload_hash: str
    payload: bytes = field(repr=False)
    keys: PublicKeys
    traffic_class: TrafficClass

    @property
    def proof_id(self) -> str:
        """Return the id that the server will give."""
        return proof_id(self.payload_hash)

    def sign(self, signature: bytes) -> Envelope:
        """Return the envelope. Raises IntegrityError unless the signature verifies under the key named inside."""
        if thumbprint.ed25519(self.keys.ed25519) != self.keys.ed25519_thumbprint:
            raise IntegrityError("key_mismatch", "the thumbprint named inside is not that of the signer's key")
        try:
            VerifyKey(self.keys.ed25519).verify(self.payload_hash.encode("ascii"), signature)
        except (BadSignatureError, ValueError, TypeError) as exc:
            raise IntegrityError("bad_signature", "the token's signature does not verify") from exc
        ends = (base64.b64encode(signature), base64.b64encode(self.keys.ed25519))
        body = b'{"anchor_ref":null,"payload":%b,"signature_b64":"%b","signer_public_key_b64":"%b"}' % (
            self.payload,
            *ends,
        )
        return Envelope(proof_id=self.proof_id, payload_hash=self.payload_hash, body=body, traffic_class=self.traffic_class)


def draft(
    *,
    telemetry: bytes,
    subject: JsonObject,
    meta: JsonObject,
    created_at: str,
    hash_alg: str,
    keys: PublicKeys,
    traffic_class: TrafficClass = TrafficClass.NORMAL,
) -> Draft:
    """Make a draft of any ACTO proof. `telemetry` is canonical(telemetry_normalized)."""
    subject_bytes = canonical({"robot_id": subject["robot_id"], "run_id": subject["run_id"], "task_id": subject["task_id"]})
    telemetry_hash = digest(telemetry, hash_alg).encode("ascii")
    tail = b',"signature_alg":"ed25519","subject":%b,"telemetry_hash":"%b","telemetry_normalized":%b,"version":"1"}'
    return Draft(
        head={"created_at": created_at, "hash_alg": hash_alg, "meta": meta},
        tail=tail % (subject_bytes, telemetry_hash, telemetry),
        hash_alg=hash_alg,
        keys=keys,
        traffic_class=traffic_class,
    )


def assemble(bundle: Bundle, *, keys: PublicKeys, context: SealContext) -> Draft:
    """Make the draft of a bundle, with its place in the chain and what actod says about itself."""
    stream = bundle.stream
    subject = {"task_id": stream.task_id, "robot_id": stream.robot_id, "run_id": stream.run_id}
    dependencies = [] if bundle.previous is None else [bundle.previous]
    return draft(
        telemetry=telemetry_bytes(events=bundle.events, meta={}, **subject),  # type: ignore[arg-type]
        subject=subject,
        meta={
            "actod": _meta(bundle, keys, context),
            "dependencies": dependencies,
            "dependency_count": len(dependencies),
        },
        created_at=context.created_at,
        hash_alg=context.hash_alg,
        keys=keys,
        traffic_class=stream.traffic_class,
    )


def _meta(bundle: Bundle, keys: PublicKeys, context: SealContext) -> JsonObject:
    """Return payload.meta.actod. It never holds free text: codes, counts, digests, times and configured names only."""
    return {
        "v": META_VERSION,
        "device": bundle.device,
        "epoch": bundle.epoch,
        "seq": bundle.seq,
        "device_seq": bundle.device_seq,
        "boot_id": context.boot_id,
        "clock": context.clock,
        "policy": context.policy,
        "config": context.config,
        "masked": dict(bundle.masked),
        "sampled": _sampled(bundle.loss),
        "loss": [_loss(line) for line in bundle.loss if not line.reason.startswith(SAMPLED)],
        "replaces": bundle.replaces,
        "sealed_late": bundle.sealed_late,
        "audit": context.audit,
        "key": {"ed25519": keys.ed25519_thumbprint, "p256": keys.p256_thumbprint, "kind": keys.kind},
        "class": str(bundle.stream.traffic_class),
        "received": {
            "first": iso(bundle.first_received_wall_ns),
            "last": iso(bundle.last_received_wall_ns),
            "boot_id": bundle.boot_id,
        },
        "marks": {name: list(indexes) for name, indexes in bundle.marks.items() if indexes},
    }


def _sampled(lines: Iterable[Loss]) -> JsonObject:
    """Return how many messages were left out on purpose: {route: {class: {rule: count}}}."""
    counts: JsonObject = {}
    for line in lines:
        if line.reason.startswith(SAMPLED):
            rule = line.reason.removeprefix(SAMPLED)
            counts.setdefault(line.route, {}).setdefault(line.traffic_class, {})[rule] = line.count
    return counts


def _loss(line: Loss) -> JsonObject:
    return {
        "reason": line.reason,
        "class": line.traffic_class,
        "route": line.route,
        "count": line.count,
        "first": iso(line.first_wall_ns),
        "last": iso(line.last_wall_ns),
    }


def audit_head(envelope: Envelope) -> str:
    """Return the head of the audit log that a bundle of ours carries, "" for any other envelope."""
    found = _AUDIT.search(envelope.body, 0, _HEAD_BYTES)
    return found[1].decode() if found else ""


def iso(wall_ns: int) -> str:
    """Nanoseconds since 1970 as UTC ISO 8601 with microseconds, such as 2026-01-02T03:04:05.678901+00:00."""
    return (_EPOCH + timedelta(microseconds=wall_ns // 1000)).isoformat(timespec="microseconds")
