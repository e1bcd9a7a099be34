r"""What is said about keys: rotation, retirement, adoption, enrolment. Pure: made and checked here, signed elsewhere.

What is signed is `actod:<purpose>:v1\n` and the canonical JSON of the statement, so that no signature over a bundle, and
none over another purpose, can stand for it. A statement names the device, its epoch, the keys by their RFC 7638
thumbprints, and the bundle that it follows: copied to another device, epoch or place it does not fit.

| purpose | `old` | `new` | signed by | what it does |
|---|---|---|---|---|
| rotation | the key in use | its successor | both | the successor may sign behind the bundle that carries it |
| retirement | the key that ends | the key in use | `new` | `old` may not sign behind the bundle that carries it |
| adoption | the key that is gone | its successor | `new`, an operator | the successor may sign the epoch that it names |
| enrolment | none | the key in use | `new` | shows an operator that the device holds what it names |

A key with a P-256 key beside it gives both signatures. The record that carries a statement is an event of task `actod` and
no robot, a place that no message can take, under the topic `actod/key_<purpose>`: nothing in `meta` is needed to find it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from actod.errors import RejectedError
from actod.model import JsonObject, PublicKeys
from actod.proof import p256, thumbprint
from actod.proof.canonical import canonical, digest
from actod.proof.thumbprint import base64url

ROTATION, RETIREMENT, ADOPTION, ENROLMENT = "rotation", "retirement", "adoption", "enrolment"
TOPIC = "actod/key_"
# purpose -> who has to sign; each but the operator is the name of a key in the statement
SIGNERS: Mapping[str, tuple[str, ...]] = {
    ROTATION: ("old", "new"),
    RETIREMENT: ("new",),
    ADOPTION: ("new", "operator"),
    ENROLMENT: ("new",),
}
REASONS = ("scheduled", "suspected", "compromised", "dead", "replaced", "initial")
KINDS = ("on-token", "sealed", "software")
_FORM = "statement_form"
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_MEMBERS = {"device", "epoch", "old", "new", "after", "time", "reason", "suspected_since", "operator", "heads"}

Heads = list[tuple[str | None, int, str]]  # (robot_id, seq, payload_hash): the last bundle of each chain of an epoch


@dataclass(frozen=True, slots=True)
class Key:
    """One generation of a device's key: both thumbprints, the raw Ed25519 key in base64url, and where it lives."""

    ed25519: str
    public: str
    p256: str | None
    kind: str

    @classmethod
    def of(cls, keys: PublicKeys) -> Key:
        """Return what a statement says of a signer's keys."""
        return cls(keys.ed25519_thumbprint, base64url(keys.ed25519), keys.p256_thumbprint, keys.kind)

    @classmethod
    def read(cls, value: Any) -> Key:
        """Read one from JSON. Raises RejectedError, also where the thumbprint is not that of the key."""
        if not isinstance(value, dict) or value.keys() != {"ed25519", "public", "p256", "kind"}:
            raise RejectedError(_FORM, "a key has ed25519, public, p256 and kind")
        raw = decode(value["public"], 32)
        if raw is None or thumbprint.ed25519(raw) != value["ed25519"]:
            raise RejectedError(_FORM, "a thumbprint is not that of its key")
        if value["kind"] not in KINDS or not isinstance(value["p256"], str | None):
            raise RejectedError(_FORM, "kind or p256 of a key is none")
        return cls(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement; see the table above. `after` is the newest bundle that its maker knew: (device_seq, payload_hash).

    The hash is None before the first bundle, and where the newest is no longer stored. `time` and `suspected_since` are
    ISO 8601. `operator` is a raw Ed25519 key in base64url, `heads` the digest of the heads that an adoption follows; its
    `after` lies in the epoch before.
    """

    purpose: str
    device: str
    epoch: int
    new: Key
    time: str
    reason: str
    old: Key | None = None
    after: tuple[int, str | None] = (0, None)
    suspected_since: str | None = None
    operator: str | None = None
    heads: str | None = None

    @property
    def body(self) -> JsonObject:
        """Return the statement as JSON, without its purpose: that stands in the topic and in what is signed."""
        members = asdict(self)
        del members["purpose"]
        return members | {"after": {"device_seq": self.after[0], "payload_hash": self.after[1]}}

    @property
    def message(self) -> bytes:
        """Return the bytes that are signed."""
        return message(self.purpose, self.body)


@dataclass(frozen=True, slots=True)
class Signature:
    """What one holder signed: Ed25519, and ES256 (r||s) where a P-256 key stands beside it; base64url."""

    ed25519: str
    p256: str | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement with its signatures by role (`SIGNERS`). `heads` stand beside an adoption, which names their digest."""

    statement: Statement
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    heads: Heads = field(default_factory=list)

    @property
    def record(self) -> JsonObject:
        """Return the data of the record that carries it."""
        signatures = {role: asdict(signature) for role, signature in self.signatures.items()}
        return {"statement": self.statement.body, "signatures": signatures, "heads": [list(head) for head in self.heads]}

    def problems(self) -> Iterator[str]:
        """Name each signature that is missing or wrong."""
        statement = self.statement
        for role in SIGNERS[statement.purpose]:
            signature = self.signatures.get(role)
            if signature is None:
                yield f"the signature of {_NAMES[role]} is missing"
            elif role == "operator":
                if not _ed25519_verifies(statement.operator or "", statement.message, signature.ed25519):
                    yield "the signature of the operator does not verify"
            else:
                yield from _key_problems(role, getattr(statement, role), statement.message, signature)
        if statement.heads is not None and statement.heads != heads_digest(self.heads):
            yield "the heads beside it are not those that it names"


_NAMES = {"old": "the old key", "new": "the new key", "operator": "the operator"}


def message(purpose: str, body: JsonObject) -> bytes:
    """Return what is signed for a purpose."""
    return b"actod:%b:v1\n%b" % (purpose.encode("ascii"), canonical(body))


def heads_digest(heads: Iterable[tuple[str | None, int, str]]) -> str:
    """Return the SHA-256 (hex) over the canonical heads, in the order of their robots."""
    return digest(
        canonical(sorted((list(head) for head in heads), key=lambda head: (head[0] is not None, head[0] or ""))), "sha256"
    )


def parse(text: bytes) -> Statement:
    """Read a statement from the message that is signed. Raises RejectedError."""
    head, _, body = text.partition(b"\n")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RejectedError(_FORM, "no JSON") from exc
    statement = _statement(head.removeprefix(b"actod:").removesuffix(b":v1").decode("ascii", "replace"), value)
    if statement.message != text:
        raise RejectedError(_FORM, "not the canonical form of a statement")
    return statement


def read(topic: Any, data: Any) -> Signed | None:
    """Read what a record carries; None for a topic of something else. Raises RejectedError("statement_form")."""
    if not isinstance(topic, str) or topic.removeprefix(TOPIC) not in SIGNERS or not topic.startswith(TOPIC):
        return None
    try:
        signatures = {role: _signature(value) for role, value in data["signatures"].items() if role in _NAMES}
        heads = [_head(*head) for head in data["heads"]]
        return Signed(_statement(topic.removeprefix(TOPIC), data["statement"]), signatures, heads)
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise RejectedError(_FORM, type(exc).__name__) from exc


def _statement(purpose: str, body: Any) -> Statement:
    if not isinstance(body, dict) or body.keys() != _MEMBERS or purpose not in SIGNERS:
        raise RejectedError(_FORM, "members that a statement does not have")
    after = body["after"]
    if not isinstance(after, dict) or after.keys() != {"device_seq", "payload_hash"}:
        raise RejectedError(_FORM, "after has device_seq and payload_hash")
    place = (after["device_seq"], after["payload_hash"])
    texts = (body["device"], body["time"], body["reason"])
    optional = (body["suspected_since"], body["operator"], body["heads"], place[1])
    right = all(isinstance(one, str) for one in texts) and all(isinstance(one, str | None) for one in optional)
    if not right or type(body["epoch"]) is not int or type(place[0]) is not int or (place[0] <= 0 and place != (0, None)):
        raise RejectedError(_FORM, "a member is of another type")
    if (body["old"] is None) is not (purpose == ENROLMENT) or body["reason"] not in REASONS:
        raise RejectedError(_FORM, "old or reason does not fit the purpose")
    if (body["operator"] is not None and body["heads"] is not None) is not (purpose == ADOPTION):
        raise RejectedError(_FORM, "operator and heads stand in an adoption, and nowhere else")
    old = None if body["old"] is None else Key.read(body["old"])
    rest = {name: body[name] for name in _MEMBERS - {"old", "new", "after"}}
    return Statement(purpose=purpose, old=old, new=Key.read(body["new"]), after=place, **rest)


def _signature(value: Any) -> Signature:
    signature = Signature(value["ed25519"], value["p256"])
    if not isinstance(signature.ed25519, str) or not isinstance(signature.p256, str | None):
        raise TypeError
    return signature


def _head(robot_id: Any, seq: Any, payload_hash: Any) -> tuple[str | None, int, str]:
    if not isinstance(robot_id, str | None) or type(seq) is not int or not _HEX64.match(payload_hash):
        raise TypeError
    return robot_id, seq, payload_hash


def _key_problems(role: str, key: Key, text: bytes, signature: Signature) -> Iterator[str]:
    if not _ed25519_verifies(key.public, text, signature.ed25519):
        yield f"the signature of {_NAMES[role]} does not verify"
    if key.p256 is not None:
        raw = decode(signature.p256, 64)
        if raw is None or not p256.verifies(text, raw, key.p256):
            yield f"the token's own signature of {_NAMES[role]} does not verify"


def _ed25519_verifies(public: str, text: bytes, signature: str) -> bool:
    key, raw = decode(public, 32), decode(signature, 64)
    if key is None or raw is None:
        return False
    try:
        VerifyKey(key).verify(text, raw)
    except (BadSignatureError, ValueError):
        return False
    return True


def decode(text: Any, length: int) -> bytes | None:
    """Return the bytes of base64url without padding, None if it is not that or has another length."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, TypeError):
        return None
    return data if len(data) == length else None
