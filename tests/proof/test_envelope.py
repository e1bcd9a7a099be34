"""The envelope: spliced bytes are canonical bytes, and one that does not verify cannot exist."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from actod.errors import IntegrityError
from actod.model import Stream, TrafficClass
from actod.proof import thumbprint
from actod.proof.canonical import canonical
from actod.proof.envelope import Draft, assemble, iso
from actod.proof.verify import Verdict, verify_envelope
from tests.proof.conftest import bundle_of, context_of, keys_of
from tests.proof.test_p256 import sign

KEY = SigningKey(bytes(range(32)))
TOKEN_KEY = ec.derive_private_key(12345, ec.SECP256R1())
TOKEN_THUMBPRINT = thumbprint.p256(TOKEN_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
members = st.recursive(
    st.none() | st.booleans() | words | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
events = st.fixed_dictionaries({"data": st.dictionaries(words, members, max_size=3), "topic": words, "ts": words})
sealed_values = st.fixed_dictionaries(
    {
        "stream": st.builds(Stream, st.none() | words, words, st.none() | words, st.sampled_from(TrafficClass)),
        "masked": st.dictionaries(words, st.integers(0, 99), max_size=3),
        "replaces": st.none() | st.just("d" * 64),
        "sealed_late": st.booleans(),
    }
)


@given(st.lists(events, min_size=1, max_size=4), sealed_values, st.sampled_from(["sha256", "blake3"]))
def test_spliced_bytes_are_the_canonical_bytes_of_what_they_say(
    content: list[Any], values: dict[str, Any], hash_alg: str
) -> None:
    draft = assemble(bundle_of(content, **values), keys=keys_of(KEY), context=context_of(hash_alg=hash_alg))
    unsigned = draft.finish(None)
    envelope = unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature)
    parsed = orjson.loads(envelope.body)
    assert envelope.body == canonical(parsed)
    payload = parsed["payload"]
    assert draft.canonical == canonical({name: value for name, value in payload.items() if name != "payload_hash"})
    assert payload["telemetry_normalized"]["events"] == content
    assert payload["telemetry_normalized"]["meta"] == {}
    assert verify_envelope(parsed).verdict is Verdict.VALID
    assert (envelope.proof_id, envelope.payload_hash) == (unsigned.proof_id, payload["payload_hash"])


def test_meta_says_what_the_design_lists_and_nothing_else() -> None:
    bundle = bundle_of([{"data": {}, "topic": "t", "ts": "s"}], seq=2, device_seq=7, previous="e" * 64)
    meta = assemble(bundle, keys=keys_of(KEY), context=context_of()).head["meta"]
    assert meta.keys() == {"actod", "dependencies", "dependency_count"}
    assert (meta["dependencies"], meta["dependency_count"]) == (["e" * 64], 1)
    assert meta["actod"] == {
        "v": 1,
        "device": "device-1",
        "epoch": 1,
        "seq": 2,
        "device_seq": 7,
        "boot_id": "6b7f3c1e-0000-4000-8000-000000000001",
        "clock": {"wall": "2026-01-02T03:04:05.678901+00:00", "monotonic_ms": 12345, "synchronised": None},
        "policy": "a" * 64,
        "config": "b" * 64,
        "audit": "c" * 64,
        "masked": {"email": 2},
        "sampled": {},
        "loss": [
            {
                "reason": "duplicate_key",
                "class": "normal",
                "route": "lidar",
                "count": 3,
                "first": "2026-01-02T03:03:20.000000+00:00",
                "last": "2026-01-02T03:03:21.000000+00:00",
            }
        ],
        "replaces": None,
        "sealed_late": False,
        "key": {"ed25519": keys_of(KEY).ed25519_thumbprint, "p256": None, "kind": "software"},
        "class": "normal",
        "received": {
            "first": "2026-01-02T03:04:05.678901+00:00",
            "last": "2026-01-02T03:04:06.000000+00:00",
            "boot_id": "6b7f3c1e-0000-4000-8000-000000000001",
        },
        "marks": {"redelivered": [0]},
    }


def _sealed_draft() -> Draft:
    keys = keys_of(KEY, p256=TOKEN_THUMBPRINT, kind="sealed")
    return assemble(bundle_of([{"data": {}, "topic": "t", "ts": "s"}]), keys=keys, context=context_of())


def test_a_sealed_key_is_accepted_only_with_the_token_s_own_signature() -> None:
    draft = _sealed_draft()
    with pytest.raises(IntegrityError, match="cosign_missing"):
        draft.finish(None)
    for wrong in (bytes(64), sign(TOKEN_KEY, b"else"), sign(ec.derive_private_key(9, ec.SECP256R1()), draft.canonical)):
        with pytest.raises(IntegrityError, match="bad_cosign"):
            draft.finish(wrong)
    cosign = sign(TOKEN_KEY, draft.canonical)
    unsigned = draft.finish(cosign)
    parsed = orjson.loads(unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature).body)
    meta = parsed["payload"]["meta"]["actod"]
    assert base64.urlsafe_b64decode(meta["cosign"] + "==") == cosign
    assert verify_envelope(parsed).problems == []
    assert verify_envelope(parsed).signers == (keys_of(KEY).ed25519_thumbprint, TOKEN_THUMBPRINT)


def test_a_verifier_demands_the_token_s_signature_even_if_the_stolen_sealed_key_signs() -> None:
    draft = _sealed_draft()
    unsigned = draft.finish(sign(TOKEN_KEY, draft.canonical))
    for cosign in (None, "AA", 5, "A" * 86, base64.urlsafe_b64encode(sign(TOKEN_KEY, b"else")).decode().rstrip("=")):
        parsed = orjson.loads(unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature).body)
        payload = parsed["payload"]
        if cosign is None:
            del payload["meta"]["actod"]["cosign"]
        else:
            payload["meta"]["actod"]["cosign"] = cosign
        del payload["payload_hash"]
        payload["payload_hash"] = hashlib.sha256(canonical(payload)).hexdigest()
        parsed["signature_b64"] = base64.b64encode(KEY.sign(payload["payload_hash"].encode()).signature).decode()
        problems = verify_envelope(parsed).problems
        assert problems, cosign
        assert "signature does not verify" not in problems[0], cosign


def test_an_envelope_with_a_wrong_signature_cannot_exist() -> None:
    content = [{"data": {}, "topic": "t", "ts": "s"}]
    unsigned = assemble(bundle_of(content), keys=keys_of(KEY), context=context_of()).finish(None)
    good = KEY.sign(unsigned.payload_hash.encode()).signature
    other = SigningKey(bytes(32)).sign(unsigned.payload_hash.encode()).signature
    digest = KEY.sign(bytes.fromhex(unsigned.payload_hash)).signature
    for wrong in (b"", good[:-1], good[:-1] + bytes([good[-1] ^ 1]), other, digest):
        with pytest.raises(IntegrityError, match="bad_signature"):
            unsigned.sign(wrong)
    assert unsigned.sign(good).body


def test_the_key_named_inside_must_be_the_signer_s() -> None:
    content = [{"data": {}, "topic": "t", "ts": "s"}]
    keys = keys_of(KEY)
    stranger = type(keys)(keys.ed25519, keys_of(SigningKey(bytes(32))).ed25519_thumbprint, None, "software")
    unsigned = assemble(bundle_of(content), keys=stranger, context=context_of()).finish(None)
    with pytest.raises(IntegrityError, match="key_mismatch"):
        unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature)


def test_no_repr_shows_content() -> None:
    content = [{"data": {"canary": 1}, "topic": "canary", "ts": "canary"}]
    draft = assemble(bundle_of(content), keys=keys_of(KEY), context=context_of())
    unsigned = draft.finish(None)
    envelope = unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature)
    for thing in (bundle_of(content), draft, unsigned, envelope):
        assert "canary" not in repr(thing)


def test_thumbprints_are_those_of_the_rfcs() -> None:
    # RFC 8037, A.3
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert thumbprint.ed25519(raw) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_times_are_utc_with_microseconds() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000000+00:00"
    assert iso(1_767_323_045_678_901_999) == "2026-01-02T03:04:05.678901+00:00"
