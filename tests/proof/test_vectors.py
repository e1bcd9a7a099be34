"""The vectors of the ACTO protocol.

Their source is tests/vectors/acto.json, measured from actobotics 1.0.0 under orjson 3.13.0 and 3.11.5.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from nacl.signing import SigningKey

from actod.errors import RejectedError
from actod.proof.canonical import canonical, digest
from actod.proof.chain import verify_set
from actod.proof.decode import parse_json
from actod.proof.envelope import draft, proof_id, telemetry_bytes
from actod.proof.verify import Verdict, _unsigned_exponents, verify_envelope
from tests.proof.conftest import keys_of

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/acto.json").read_text(encoding="utf-8"))
ROWS = VECTORS["json_vectors"]
ENVELOPES = {row["name"]: row for row in VECTORS["envelope_vectors"]}
REPRODUCED = [name for name in ENVELOPES if name.startswith(("minimal", "robot"))]
VERIFIED = REPRODUCED + [name for name in ENVELOPES if name.startswith("NaN in data")]
FLOATS = [name for name in ENVELOPES if name.startswith("float")]
NANS = [name for name in ENVELOPES if name.startswith("NaN in meta")]

# Rows outside of the domain, by the protocol's own words, and the reason that names each.
OUTSIDE = {
    "int 18446744073709551616": "integer_range",
    "int -9223372036854775809": "integer_range",
    "str lone high surrogate": "lone_surrogate",
    "str lone low surrogate": "lone_surrogate",
    "keys: lone surrogate key": "lone_surrogate",
    "duplicate keys, last wins": "duplicate_key",
    "nesting 200": "too_deep",
    "nesting 300": "too_deep",
    **dict.fromkeys([row["name"] for row in ROWS if "orjson_le_3_11_6" in row], "float_too_large"),
    **dict.fromkeys(["float 1e999", "float -1e999", "float NaN", "float Infinity", "float -Infinity"], "nan"),
}


def test_the_vectors_are_all_here() -> None:
    assert len(ROWS) == 70
    assert [len(group) for group in (ENVELOPES, REPRODUCED, VERIFIED, FLOATS, NANS)] == [10, 4, 6, 2, 2]
    assert OUTSIDE.keys() <= {row["name"] for row in ROWS}
    assert {row["name"] for row in ROWS if "error" in row} <= OUTSIDE.keys()


def test_the_vectors_are_those_of_the_protocol() -> None:
    original = Path(__file__).parents[3] / "shared/acto/vectors.json"
    if not original.exists() and not os.environ.get("CI"):
        pytest.skip("the protocol's own folder is not on this machine")
    assert json.loads(original.read_text(encoding="utf-8")) == VECTORS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_each_row_inside_the_domain_gives_its_bytes_and_hashes_and_each_outside_is_refused(row: dict[str, Any]) -> None:
    wire = row["wire_json"].encode()
    if row["name"] in OUTSIDE:
        with pytest.raises(RejectedError) as caught:
            parse_json(wire)
        assert caught.value.reason == OUTSIDE[row["name"]]
        if OUTSIDE[row["name"]] != "duplicate_key":  # a Python dict cannot hold the pair
            with pytest.raises(RejectedError) as caught:
                canonical(json.loads(wire))
            assert caught.value.reason == OUTSIDE[row["name"]]
        return
    for value in (parse_json(wire), json.loads(wire)):
        body = canonical(value)
        assert body == bytes.fromhex(row["canonical_hex"])
        assert digest(body, "sha256") == row["sha256"]
        assert digest(body, "blake3") == row["blake3"]


@pytest.mark.parametrize("name", REPRODUCED)
def test_the_four_envelopes_inside_the_domain_are_reproduced_byte_for_byte(name: str) -> None:
    vector = ENVELOPES[name]
    payload = vector["envelope"]["payload"]
    telemetry, subject = payload["telemetry_normalized"], payload["subject"]
    key = SigningKey(base64.b64decode(vector["private_seed_b64"]))
    built = telemetry_bytes(
        events=b",".join(canonical(event) for event in telemetry["events"]), meta=telemetry["meta"], **subject
    )
    assert built == vector["telemetry_canonical"].encode()
    start = draft(
        telemetry=built,
        subject=subject,
        meta=payload["meta"],
        created_at=payload["created_at"],
        hash_alg=payload["hash_alg"],
        keys=keys_of(key),
    )
    assert start.canonical == vector["payload_canonical"].encode()
    unsigned = start.finish(None)
    assert unsigned.payload_hash == vector["signed_message_ascii"] == payload["payload_hash"]
    assert unsigned.proof_id == vector["proof_id"]
    envelope = unsigned.sign(key.sign(unsigned.payload_hash.encode()).signature)
    assert envelope.body == orjson.dumps(vector["envelope"], option=orjson.OPT_SORT_KEYS)
    assert envelope.proof_id == vector["proof_id"]


@pytest.mark.parametrize("name", VERIFIED)
def test_the_six_envelopes_that_verify_everywhere_are_valid(name: str) -> None:
    checked = verify_envelope(ENVELOPES[name]["envelope"])
    assert (checked.verdict, checked.problems, checked.dependent) == (Verdict.VALID, [], "")
    assert checked.proof_id == ENVELOPES[name]["proof_id"]
    assert verify_set([ENVELOPES[name]["envelope"]]).chains == []  # a plain ACTO envelope is in no chain


@pytest.mark.parametrize("name", FLOATS + NANS)
def test_inputs_with_large_floats_or_nan_cannot_be_built_and_the_reason_names_them(name: str) -> None:
    payload = ENVELOPES[name]["envelope"]["payload"]
    telemetry = payload["telemetry_normalized"]
    reason = "float_too_large" if name in FLOATS else "nan"

    def build() -> None:
        events = b",".join(canonical(event) for event in telemetry["events"])
        draft(
            telemetry=telemetry_bytes(events=events, meta=telemetry["meta"], **payload["subject"]),
            subject=payload["subject"],
            meta=payload["meta"],
            created_at=payload["created_at"],
            hash_alg=payload["hash_alg"],
            keys=keys_of(SigningKey(bytes(32))),
        ).finish(None)

    with pytest.raises(RejectedError) as caught:
        build()
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", FLOATS + NANS)
def test_where_the_verdict_depends_on_the_verifier_the_report_says_why(name: str) -> None:
    checked = verify_envelope(ENVELOPES[name]["envelope"])
    assert checked.verdict is Verdict.VERIFIER_DEPENDENT
    if name in FLOATS:
        assert "1e16" in checked.dependent
        assert "only with orjson >= 3.11.7" in checked.dependent
    else:
        assert "NaN" in checked.dependent
        assert "strict JSON" in checked.dependent


def test_the_bytes_of_an_old_orjson_are_made_from_those_of_a_new_one() -> None:
    rows = [row for row in ROWS if "orjson_le_3_11_6" in row]
    assert len(rows) == 10
    for row in rows:
        old = _unsigned_exponents(bytes.fromhex(row["canonical_hex"]))
        assert old.decode() == row["orjson_le_3_11_6"]["canonical_utf8"]
        assert digest(old, "sha256") == row["orjson_le_3_11_6"]["sha256"]


def test_an_envelope_made_with_an_old_orjson_is_dependent_too_and_not_called_tampered() -> None:
    vector = ENVELOPES[FLOATS[0]]
    envelope = json.loads(json.dumps(vector["envelope"]))
    payload = envelope["payload"]
    payload["telemetry_normalized"]["events"][0]["data"] = {'e+"\\': 'e+\\"', "ns": 1.7672256e18}
    payload["hash_alg"] = "sha256"

    def as_old(value: Any) -> bytes:
        body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        assert body.count(b"1.7672256e+18") == 1
        return body.replace(b"1.7672256e+18", b"1.7672256e18")

    payload["telemetry_hash"] = hashlib.sha256(as_old(payload["telemetry_normalized"])).hexdigest()
    del payload["payload_hash"]
    payload["payload_hash"] = hashlib.sha256(as_old(payload)).hexdigest()
    key = SigningKey(base64.b64decode(vector["private_seed_b64"]))
    envelope["signature_b64"] = base64.b64encode(key.sign(payload["payload_hash"].encode()).signature).decode()
    checked = verify_envelope(envelope)
    assert checked.verdict is Verdict.VERIFIER_DEPENDENT
    assert "only with orjson <= 3.11.6" in checked.dependent


def test_the_proof_id_is_known_before_submitting() -> None:
    for vector in ENVELOPES.values():
        assert proof_id(vector["envelope"]["payload"]["payload_hash"]) == vector["proof_id"]
