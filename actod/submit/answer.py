"""An answer of the collector, bounded, and whether it is the receipt that was computed before. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from actod.model import Envelope
from actod.submit.backoff import parse_date, retry_after
from actod.submit.verdict import reason_of_status

_OK, _NOT_FOUND = 200, 404
_CLIENT_ERRORS = 4
_PROOF_ID = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, the headers that matter, and at most 64 KiB of body: a 422 echoes what was sent, so no repr shows it."""

    status: int
    content_type: str = ""
    retry_after_seconds: float | None = None
    date: str | None = None
    body: bytes | None = field(default=b"", repr=False)  # None: longer than allowed

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes | None, *, now_wall_ns: int) -> Answer:
        """Take what matters from an HTTP answer. A Date that is none is left out."""
        date = headers.get("date")
        date = date if parse_date(date) is not None else None
        pause = retry_after(headers.get("retry-after"), date=date, now_wall_ns=now_wall_ns)
        return cls(status, headers.get("content-type", "").lower(), pause, date, body)


def judge(answer: Answer, proof_id: str) -> tuple[str, str]:
    """Return (reason, the proof id that the server named or ""). The reason is "accepted" or a key of VERDICTS."""
    if answer.status != _OK:
        return reason_of_status(answer.status), ""
    if answer.body is not None and ("html" in answer.content_type or answer.body.lstrip()[:1] == b"<"):
        return "captive_portal", ""
    named = _named(answer.body) if _is_json(answer.content_type) else None
    if named is None:
        return "malformed_response", ""
    if named.isascii() and hmac.compare_digest(named, proof_id):
        return "accepted", proof_id
    return "receipt_mismatch", named if _PROOF_ID.match(named) else "(not a proof id)"


def compare(answer: Answer, envelope: Envelope) -> str:
    """Hold the collector's copy of a proof against ours: "same", "proof_missing", "proof_differs", or "" if it says nothing.

    `anchor_ref` is the server's to fill, and outside the hash.
    """
    if not _is_json(answer.content_type):
        return ""
    if answer.status == _NOT_FOUND:
        return "proof_missing"
    if answer.status != _OK or answer.body is None:
        return ""
    try:
        theirs, ours = orjson.loads(answer.body)["envelope"], orjson.loads(envelope.body)
        same = all(theirs[member] == ours[member] for member in ("payload", "signature_b64", "signer_public_key_b64"))
    except (ValueError, KeyError, TypeError):
        return "proof_differs"
    return "same" if same else "proof_differs"


def leaves_connection_usable(answer: Answer, proof_id: str) -> bool:
    """Whether the next request may follow on the same connection: only after a receipt, or a whole 4xx.

    After a 5xx the server resets it; anything else that is no receipt may belong to someone else's request.
    """
    if answer.status == _OK:
        return judge(answer, proof_id)[0] == "accepted"
    return answer.status // 100 == _CLIENT_ERRORS and answer.body is not None


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip() == "application/json"


def _named(body: bytes | None) -> str | None:
    try:
        document = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return None
    named = document.get("proof_id") if isinstance(document, dict) else None
    return named if isinstance(named, str) else None
