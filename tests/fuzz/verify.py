"""Envelopes of anybody: the verifier has a verdict on everything, and accepts nothing that the stock one refuses.

`<flags><JSON>` in any of the wrappings that the command takes. With the low bit of flags each envelope is hashed and
signed anew first, so that what lies behind the signature is reached.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from nacl.signing import SigningKey

from actod.cli.verify import _envelopes, _lines
from actod.errors import RejectedError
from actod.proof import thumbprint
from actod.proof.canonical import canonical, digest
from actod.proof.chain import verify_set
from actod.proof.verify import Verdict, _ambiguous

_KEY = SigningKey(bytes(range(32)))
_MOST = 16


def one_input(data: bytes) -> None:
    envelopes = [envelope for _, envelope in _envelopes(data[1:])][:_MOST]
    if data[:1] and data[0] & 1:
        for envelope in envelopes:
            with suppress(KeyError, TypeError, AttributeError, RejectedError):
                _sign_again(envelope)
    before = repr(envelopes)
    report = verify_set(envelopes, sources=[f"item {number}" for number in range(len(envelopes))])
    assert repr(envelopes) == before, "the verifier changed what it verified"
    json.dumps({"verdict": report.verdict, "losses": report.losses} | dataclasses.asdict(report))
    assert list(_lines(report))
    for envelope, one in zip(envelopes, report.envelopes, strict=True):
        if one.verdict is Verdict.VALID:
            assert not _ambiguous(envelope)
            canonical(envelope["payload"])
            assert _stock()(envelope), "the stock verifier refuses what ours accepts"


def _sign_again(envelope: Any) -> None:
    payload, public_key = envelope["payload"], bytes(_KEY.verify_key)
    with suppress(KeyError, TypeError):
        payload["meta"]["actod"]["key"]["ed25519"] = thumbprint.ed25519(public_key)
    with suppress(KeyError, TypeError):
        payload["telemetry_hash"] = digest(canonical(payload["telemetry_normalized"]), payload["hash_alg"])
    bare = {name: value for name, value in payload.items() if name != "payload_hash"}
    payload["payload_hash"] = digest(canonical(bare), payload["hash_alg"])
    envelope["signer_public_key_b64"] = base64.b64encode(public_key).decode()
    envelope["signature_b64"] = base64.b64encode(_KEY.sign(payload["payload_hash"].encode()).signature).decode()


@cache
def _stock() -> Callable[[Any], bool]:
    from acto.proof.engine import _verify_proof_internal  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to load
    from acto.proof.models import ProofEnvelope  # type: ignore[import-untyped]  # noqa: PLC0415 - likewise

    return lambda envelope: bool(_verify_proof_internal(ProofEnvelope.model_validate(copy.deepcopy(envelope))))
