"""Verification of one envelope: pure. What is wrong is named; a verdict that depends on the verifier says why.

The stock server checks payload_hash and the Ed25519 signature. This checks more, and never accepts what it refuses:
telemetry_hash, the subject, the algorithm, and for envelopes of actod that the signer is the key named inside and that the
token's co-signature verifies. Who that key belongs to is for the enrolment to say: the thumbprints are in the report.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from types import NoneType
from typing import Any

import orjson
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from actod.errors import RejectedError
from actod.proof import p256, statements, thumbprint
from actod.proof.canonical import check, digest
from actod.proof.envelope import META_VERSION, SEALED, proof_id

_MODERN, _OLD = "orjson >= 3.11.7", "orjson <= 3.11.6"
_DEPENDENT = {
    "float_too_large": "a float with abs >= 1e16 is printed as 1e+16 by orjson from 3.11.7 and as 1e16 up to 3.11.6",
    "nan": "NaN or Infinity was hashed as null, and a verifier that reads strict JSON cannot parse it",
    "duplicate_key": "a key stands twice in one object: most parsers keep the last, some the first, some refuse",
    "too_deep": "nesting deeper than 128 is refused by some verifiers, at different depths",
}
# The form that the stock server demands; a further member would be outside of the hash that it computes.
_PAYLOAD_FORM: dict[str, type | tuple[type, ...]] = {
    "version": str,
    "subject": dict,
    "created_at": str,
    "telemetry_normalized": dict,
    "telemetry_hash": str,
    "payload_hash": str,
    "hash_alg": str,
    "signature_alg": str,
    "meta": dict,
}
_SUBJECT_FORM: dict[str, type | tuple[type, ...]] = {
    "task_id": str,
    "robot_id": (str, NoneType),
    "run_id": (str, NoneType),
}
_OWN_SUBJECT = {"task_id": "actod", "robot_id": None, "run_id": None}  # of the records that the device makes of itself
_FORM_ERRORS = (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError)


class Verdict(StrEnum):
    """What a verifier may say. VERIFIER_DEPENDENT: valid for some implementations of the protocol, not for others."""

    VALID = "valid"
    INVALID = "invalid"
    VERIFIER_DEPENDENT = "verifier_dependent"


class AmbiguousObject(dict[str, Any]):
    """A JSON object in whose text a key stood twice; holds the last of each, as the stock server does."""


@dataclass(slots=True)
class Checked:
    """One envelope. `problems` empty means valid; `dependent` says why another verifier may disagree.

    `source` says where it was read. What follows `hash_alg` is read from payload.meta.actod: a plain ACTO envelope has
    device None. `signers` are the thumbprints named inside: Ed25519, then P-256 if there is one; `cosigned` says that the
    latter's signature verifies. `statements` are what the bundle says of keys, not judged yet; `disputed` says why a valid
    bundle is in doubt: its key is suspected. `dated_at` is when it was sealed, where its
    clock was only set later in the same boot.
    """

    source: str = ""
    proof_id: str = ""
    payload_hash: str = ""
    problems: list[str] = field(default_factory=list)
    dependent: str = ""
    created_at: str = ""
    dated_at: str = ""
    hash_alg: str = ""
    device: str | None = None
    robot_id: str | None = None
    epoch: int = 0
    seq: int = 0
    device_seq: int = 0
    previous: str | None = None
    replaces: str | None = None
    key_kind: str = ""
    signers: tuple[str, ...] = ()
    cosigned: bool = False
    disputed: str = ""
    statements: list[statements.Signed] = field(default_factory=list)
    loss: dict[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Return the verdict by name."""
        if self.problems:
            return Verdict.INVALID
        return Verdict.VERIFIER_DEPENDENT if self.dependent else Verdict.VALID


def verify_envelope(envelope: Any, *, source: str = "") -> Checked:
    """Verify one envelope, read from JSON by any parser that keeps NaN and (see AmbiguousObject) double keys."""
    result = Checked(source=source)
    try:
        payload = envelope["payload"]
        result.payload_hash = payload["payload_hash"]
        result.proof_id = proof_id(result.payload_hash)
        result.created_at, result.hash_alg = str(payload["created_at"]), str(payload["hash_alg"])
        result.problems.extend(_problems(envelope, payload, result))
    except _FORM_ERRORS as exc:
        why = "no JSON: cut off?" if envelope is None else type(exc).__name__
        result.problems.append(f"not an ACTO proof envelope ({why})")
    return result


def _problems(envelope: Any, payload: Any, result: Checked) -> Iterator[str]:
    yield from _form_problems(payload, _PAYLOAD_FORM, "payload")
    yield from _form_problems(payload["subject"], _SUBJECT_FORM, "subject")
    if not isinstance(envelope.get("anchor_ref"), str | None):
        yield "anchor_ref is neither null nor text"
    reason = _outside_domain(envelope, payload)
    if reason and reason not in _DEPENDENT:
        yield f"the payload lies outside of the canonical domain: {reason}"
        return
    if payload["version"] != "1":
        yield "version is not 1"
    if payload["signature_alg"] != "ed25519":
        yield "signature_alg is not ed25519"
    for name in ("task_id", "robot_id", "run_id"):
        if payload["subject"][name] != payload["telemetry_normalized"][name]:
            yield f"subject and telemetry disagree on {name}"
    yield from _hash_problems(payload, result, reason)
    public_key = _base64(envelope["signer_public_key_b64"], 32)
    signature = _base64(envelope["signature_b64"], 64)
    if public_key is None or signature is None:
        yield "signature or public key is not base64 of the right length"
        return
    try:
        VerifyKey(public_key).verify(result.payload_hash.encode("ascii"), signature)
    except (BadSignatureError, ValueError):
        yield "the signature does not verify"
    if "actod" in payload["meta"]:
        yield from _actod_problems(payload, public_key, result)


def _form_problems(value: Any, form: dict[str, type | tuple[type, ...]], name: str) -> Iterator[str]:
    for member, types in form.items():
        if not isinstance(value[member], types):
            yield f"{name}.{member} is of another type"
    if len(value) > len(form):
        yield f"{name} has members that the protocol does not have"


def _outside_domain(envelope: Any, payload: Any) -> str:
    """Return the reason for which the payload lies outside of the canonical domain, or ""."""
    if _ambiguous(envelope):
        return "duplicate_key"
    try:
        check(payload)
    except RejectedError as exc:
        return exc.reason
    return ""


def _ambiguous(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, AmbiguousObject):
            return True
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _hash_problems(payload: Any, result: Checked, reason: str) -> Iterator[str]:
    """Compare both hashes; where implementations print differently, find out with which of them they match."""
    base = {name: value for name, value in payload.items() if name != "payload_hash"}
    matching: dict[str, set[str]] = {}
    for name, content in (("payload_hash", base), ("telemetry_hash", payload["telemetry_normalized"])):
        try:
            body = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)  # as the stock verifier: outside the domain too
            matching[name] = {
                verifier
                for verifier, form in _forms(body)
                if hmac.compare_digest(digest(form, payload["hash_alg"]), str(payload[name]))
            }
        except RejectedError:
            yield "hash_alg is neither sha256 nor blake3"
            return
        except TypeError:
            yield "nested too deep to be hashed"
            return
        if not matching[name]:
            yield f"{name} does not match the content"
    if reason:
        result.dependent = _DEPENDENT[reason]
        verifiers = matching["payload_hash"]
        if len(verifiers) == 1:
            result.dependent += f": this one verifies only with {verifiers.pop()}"


def _forms(body: bytes) -> Iterable[tuple[str, bytes]]:
    """Return the canonical bytes by implementation: they differ in the sign of large exponents."""
    old = _unsigned_exponents(body) if b"e+" in body else body
    return ((_MODERN, body), (_OLD, old))


def _unsigned_exponents(body: bytes) -> bytes:
    """Write 1e+16 as 1e16, outside of strings."""
    masked = body.replace(b"\\\\", b"__").replace(b'\\"', b"__")  # as long, and each quotation mark delimits a string
    pieces, start = [], 0
    for index, piece in enumerate(masked.split(b'"')):
        own = body[start : start + len(piece)]
        pieces.append(own if index % 2 else own.replace(b"e+", b"e"))
        start += len(piece) + 1
    return b'"'.join(pieces)


def _actod_problems(payload: Any, public_key: bytes, result: Checked) -> Iterator[str]:
    """Read what actod says of itself, and hold the signers against the keys named inside."""
    meta, key = payload["meta"]["actod"], payload["meta"]["actod"]["key"]
    if meta["v"] != META_VERSION:
        yield f"meta.actod has a version that is not {META_VERSION}"
        return
    result.device, result.robot_id = _text(meta["device"]), payload["subject"]["robot_id"]
    result.epoch, result.seq, result.device_seq = (_number(meta[name]) for name in ("epoch", "seq", "device_seq"))
    result.replaces = None if meta["replaces"] is None else _text(meta["replaces"])
    result.key_kind = _text(key["kind"])
    result.signers = tuple(_text(key[name]) for name in ("ed25519", "p256") if key[name] is not None)
    for line in meta["loss"]:
        reason = _text(line["reason"])
        result.loss[reason] = result.loss.get(reason, 0) + _number(line["count"])
    dependencies = payload["meta"]["dependencies"]
    if len(dependencies) != (0 if result.seq == 1 else 1) or payload["meta"]["dependency_count"] != len(dependencies):
        yield f"seq {result.seq} names {len(dependencies)} predecessors"
    else:
        result.previous = _text(dependencies[0]) if dependencies else None
    if key["ed25519"] != thumbprint.ed25519(public_key):
        yield "the signer is not the key named inside: signed again by a stranger"
    result.cosigned = "cosign" in meta
    yield from _cosign_problems(payload, meta, key)
    if payload["subject"] == _OWN_SUBJECT:
        yield from _read_statements(payload["telemetry_normalized"]["events"], result)


def _read_statements(events: Any, result: Checked) -> Iterator[str]:
    for event in events:
        try:
            signed = statements.read(event["topic"], event["data"])
        except RejectedError:
            yield f"a record of topic {event['topic']} is not what it is called"
            continue
        if signed is not None:
            result.statements.append(signed)


def _cosign_problems(payload: Any, meta: Any, key: Any) -> Iterator[str]:
    if "cosign" not in meta:
        if key["kind"] == SEALED:
            yield "the Ed25519 key is only sealed by the token, and the token's own signature (cosign) is missing"
        return
    signed = {name: value for name, value in payload.items() if name != "payload_hash"}
    bare = {name: value for name, value in meta.items() if name != "cosign"}
    signed["meta"] = payload["meta"] | {"actod": bare}
    signature = _base64(meta["cosign"] + "==", 64, urlsafe=True)
    message = orjson.dumps(signed, option=orjson.OPT_SORT_KEYS)
    if key["p256"] is None or signature is None or not p256.verifies(message, signature, key["p256"]):
        yield "cosign does not verify under the P-256 key named inside"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise TypeError
    return value


def _base64(text: Any, length: int, *, urlsafe: bool = False) -> bytes | None:
    try:
        data = base64.b64decode(text, altchars=b"-_" if urlsafe else None, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None
    return data if len(data) == length else None
