"""Now and then an own proof is fetched from the collector and compared: what it confirmed it must still hold, unchanged."""

from __future__ import annotations

import structlog

from actod.errors import TransientError
from actod.model import Envelope
from actod.ports import AuditLog
from actod.submit.answer import compare
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink

_AROUND_BYTES = 4096  # {"proof_id", "envelope", anchor_ref}: what the server may put around our bytes
_WRITTEN_ANEW = 2  # its JSON may have spaces

_log = structlog.get_logger(__name__)


async def compare_with_collector(envelope: Envelope, *, client: HttpsClient, uplink: PacedUplink, audit: AuditLog) -> str:
    """Compare one confirmed envelope, within pace and budget; a difference is audited. Returns what `compare` says.

    A collector that cannot be asked says nothing: "".
    """
    largest_bytes = len(envelope.body) * _WRITTEN_ANEW + _AROUND_BYTES
    try:
        await uplink.take_turn(largest_bytes)
        found = compare(await client.fetch(envelope.proof_id, largest_bytes=largest_bytes), envelope)
    except TransientError:
        return ""
    if found in {"proof_missing", "proof_differs"}:
        audit.record(f"submit.{found}", proof_id=envelope.proof_id, payload_hash=envelope.payload_hash)
        _log.error("The collector does not hold a proof as it confirmed it.", finding=found, proof_id=envelope.proof_id)
    return found
