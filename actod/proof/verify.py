"""Verification of envelopes and of chains: pure. What is wrong is named; a verdict that depends on the verifier says why."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from actod.errors import RejectedError
from actod.proof import thumbprint
from actod.proof.canonical import check, digest
from actod.proof.envelope import proof_id

_WHY_DEPENDENT = {
    "float_too_large": "a float with abs >= 1e16 is printed as 1e16 by orjson up to 3.11.6 and as 1e+16 from 3.11.7: "
    "the hash differs between verifiers",
    "nan": "NaN is hashed as null, and a verifier that reads strict JSON cannot even parse it",
    "integer_range": "an integer outside of 64 bits is refused by some verifiers",
    "lone_surrogate": "a lone surrogate is refused by some verifiers",
    "too_deep": "nesting deeper than 128 is refused by some verifiers",
}


@dataclass(slots=True)
class Checked:
    """One envelope. `problems` empty means valid; `dependent` says why another verifier may disagree."""

    proof_id: str = ""
    payload_hash: str = ""
    problems: list[str] = field(default_factory=list)
    dependent: str = ""
    device: str | None = None
    robot_id: str | None = None
    epoch: int = 0
    seq: int = 0
    device_seq: int = 0
    previous: tuple[str, ...] = ()
    created_at: str = ""
    loss: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Chain:
    """The bundles of one (device, epoch, robot_id), and what is wrong with their order."""

    device: str
    epoch: int
    robot_id: str | None
    first: int
    last: int
    count: int
    problems: list[str]


@dataclass(slots=True)
class Report:
    """Everything about a set of envelopes."""

    envelopes: list[Checked]
    chains: list[Chain]
    problems: list[str]

    @property
    def valid(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (self.problems or any(e.problems for e in self.envelopes) or any(c.problems for c in self.chains))

    @property
    def dependent(self) -> bool:
        """Whether a verdict depends on the verifier."""
        return any(checked.dependent for checked in self.envelopes)


def verify_set(envelopes: Iterable[Any]) -> Report:
    """Verify each envelope, then the chains that the valid ones form. A plain ACTO envelope is in no chain."""
    checked = [verify_envelope(envelope) for envelope in envelopes]
    unique = {one.payload_hash: one for one in checked if one.device and not one.problems}
    by_chain: dict[tuple[str, int, str | None], list[Checked]] = defaultdict(list)
    by_device: dict[tuple[str, int], list[Checked]] = defaultdict(list)
    for one in unique.values():
        assert one.device is not None  # noqa: S101 - the comprehension above saw to it
        by_chain[one.device, one.epoch, one.robot_id].append(one)
        by_device[one.device, one.epoch].append(one)
    chains = [_chain(key, members) for key, members in sorted(by_chain.items(), key=lambda item: str(item[0]))]
    problems = []
    for (device, epoch), members in sorted(by_device.items()):
        numbers = sorted(one.device_seq for one in members)
        problems += [f"device {device} epoch {epoch}: {text}" for text in _holes(numbers, "device_seq")]
    return Report(envelopes=checked, chains=chains, problems=problems)


def verify_envelope(envelope: Any) -> Checked:
    """Verify one envelope: form, both hashes, signature, and that the signer is the key named inside."""
    result = Checked()
    try:
        payload = envelope["payload"]
        result.payload_hash = payload["payload_hash"]
        result.proof_id = proof_id(result.payload_hash)
        result.created_at = str(payload["created_at"])
        for problem in _envelope_problems(envelope, payload, result):
            result.problems.append(problem)
    except (KeyError, TypeError, AttributeError, UnicodeEncodeError) as exc:
        result.problems.append(f"not an ACTO proof envelope ({type(exc).__name__})")
    return result


def _envelope_problems(envelope: Any, payload: Any, result: Checked) -> Iterator[str]:
    try:
        check(payload)
    except RejectedError as exc:
        result.dependent = _WHY_DEPENDENT.get(exc.reason, "")
        if not result.dependent:
            yield f"payload is not JSON ({exc.reason})"
            return
    if payload["version"] != "1":
        yield "version is not 1"
    try:
        telemetry_hash = digest(_loose(payload["telemetry_normalized"]), payload["hash_alg"])
        payload_hash = digest(_loose({k: v for k, v in payload.items() if k != "payload_hash"}), payload["hash_alg"])
    except (RejectedError, TypeError):
        yield "cannot be hashed: unknown hash_alg, or content outside of the canonical domain"
        return
    if not hmac.compare_digest(telemetry_hash, str(payload["telemetry_hash"])):
        yield "telemetry_hash does not match the telemetry"
    if not hmac.compare_digest(payload_hash, result.payload_hash):
        yield "payload_hash does not match the payload"
    for name in ("task_id", "robot_id", "run_id"):
        if payload["subject"][name] != payload["telemetry_normalized"][name]:
            yield f"subject and telemetry disagree on {name}"
    public_key = _base64(envelope["signer_public_key_b64"], 32)
    signature = _base64(envelope["signature_b64"], 64)
    if public_key is None or signature is None:
        yield "signature or public key is not base64 of the right length"
        return
    try:
        VerifyKey(public_key).verify(result.payload_hash.encode("ascii"), signature)
    except (BadSignatureError, ValueError):
        yield "the signature does not verify"
    if isinstance(payload["meta"], dict) and isinstance(payload["meta"].get("actod"), dict):
        yield from _actod_problems(payload, public_key, result)


def _actod_problems(payload: Any, public_key: bytes, result: Checked) -> Iterator[str]:
    """Read what actod says of itself, and hold the signer against the key named inside."""
    meta = payload["meta"]["actod"]
    result.device, result.robot_id = str(meta["device"]), payload["subject"]["robot_id"]
    result.epoch, result.seq, result.device_seq = int(meta["epoch"]), int(meta["seq"]), int(meta["device_seq"])
    result.previous = tuple(payload["meta"]["dependencies"])
    for line in meta["loss"]:
        result.loss[line["reason"]] = result.loss.get(line["reason"], 0) + int(line["count"])
    if meta["key"]["ed25519"] != thumbprint.ed25519(public_key):
        yield "the signer is not the key named inside: signed again by a stranger"


def _chain(key: tuple[str, int, str | None], members: list[Checked]) -> Chain:
    device, epoch, robot_id = key
    members.sort(key=lambda one: one.seq)
    numbers = [one.seq for one in members]
    problems = list(_holes(numbers, "seq"))
    by_seq = {one.seq: one for one in members}
    for one in members:
        before = by_seq.get(one.seq - 1)
        if one.seq == 1 and one.previous:
            problems.append("seq 1 names a predecessor")
        elif one.seq > 1 and len(one.previous) != 1:
            problems.append(f"seq {one.seq} names {len(one.previous)} predecessors instead of 1")
        elif before is not None and one.previous != (before.payload_hash,):
            problems.append(f"seq {one.seq} does not follow seq {one.seq - 1}: it names another predecessor")
    return Chain(device, epoch, robot_id, numbers[0], numbers[-1], len(members), problems)


def _holes(numbers: list[int], name: str) -> Iterator[str]:
    for before, after in zip(numbers, numbers[1:], strict=False):
        if after == before:
            yield f"{name} {after} stands for two contents (a fork)"
        elif after > before + 1:
            missing = f"{before + 1}" if after == before + 2 else f"{before + 1} to {after - 1}"
            yield f"{name} {missing} is missing"


def _loose(value: Any) -> bytes:
    """Canonical bytes as the stock verifier makes them: also outside of the domain."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _base64(text: Any, length: int) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None
    return data if len(data) == length else None
