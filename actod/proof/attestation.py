"""The claim of a bundle as an in-toto statement, and what of it is signed in a DSSE envelope. Pure.

The statement's subject is the bundle, by proof id and payload_hash; its predicate is the whole ACTO envelope, with the
signature that the robot made when it sealed it. What DSSE signs begins with `DSSEv1 `, as nothing else does that our keys
sign: no signature over a bundle, nor over a statement about keys, can stand for one over this, or the other way round.
"""

from __future__ import annotations

from typing import Any

import orjson

from actod.errors import RejectedError
from actod.proof.canonical import canonical
from actod.proof.envelope import proof_id
from actod.proof.verify import Verdict, verify_envelope

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:actod:bundle:v1"
_MEMBERS = {"_type", "subject", "predicateType", "predicate"}


def statement(envelope: Any) -> bytes:
    """Return the statement about a valid envelope, in canonical JSON. Raises RejectedError outside the canonical domain."""
    payload = envelope["payload"]
    digest = payload["payload_hash"]
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": proof_id(digest), "digest": {payload["hash_alg"]: digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"envelope": envelope},
        }
    )


def pae(body: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a statement: what is signed."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def is_pae(message: bytes) -> bool:
    """Whether a message is exactly the encoding of a statement about a bundle that verifies, and of nothing else.

    So nobody chooses the digest of the subject: it is that of the bundle inside, and never of a file of his.
    """
    head = pae(b"").removesuffix(b"0 ")
    if not message.startswith(head):
        return False
    body = message.removeprefix(head).partition(b" ")[2]
    try:
        value = orjson.loads(body)
        return (
            message == pae(body)
            and isinstance(value, dict)
            and value.keys() == _MEMBERS
            and (value["_type"], value["predicateType"]) == (STATEMENT_TYPE, PREDICATE_TYPE)
            and statement(value["predicate"]["envelope"]) == body
            and verify_envelope(value["predicate"]["envelope"]).verdict is Verdict.VALID
        )
    except (ValueError, TypeError, KeyError, AttributeError, RejectedError):
        return False
