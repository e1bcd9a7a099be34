"""`actod export --dsse`: securesystemslib makes the envelopes, Rust's dsse crate and OpenSSL's curves verify them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from actod.proof.attestation import PREDICATE_TYPE, is_pae, pae, statement
from hil.parts import swtpm
from hil.parts.softhsm import SoftToken, make_token
from hil.rig import ROOT
from tests.keys.parts import write_config
from tests.proof.device import Device, Holder
from tests.proof.test_vectors import ENVELOPES, VERIFIED


@pytest.fixture(params=["softhsm", pytest.param("tpm", marks=pytest.mark.tpm)])
def token(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SoftToken]:
    with contextlib.ExitStack() as stack:
        if request.param == "tpm":
            yield stack.enter_context(contextlib.closing(swtpm.make_token(tmp_path / "token")))
        else:
            yield make_token(tmp_path / "token")


def actod(token: SoftToken, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    config = write_config(token.folder, token)
    return subprocess.run(
        [sys.executable, "-m", "actod", *map(str, arguments), "--config", str(config)],
        env=os.environ | token.environment | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def check_forms(keys: dict[str, Any]) -> None:
    """Hold PEM, JWK, ACTO form and thumbprint of each public key against each other, by another library."""
    ed25519: Any = load_pem_public_key(keys["ed25519"]["pem"].encode())
    assert ed25519.public_bytes_raw() == base64.b64decode(keys["ed25519"]["acto"])
    for one in filter(None, (keys["ed25519"], keys["p256"])):
        members = json.dumps(one["jwk"], sort_keys=True, separators=(",", ":")).encode()
        assert base64.urlsafe_b64encode(hashlib.sha256(members).digest()).decode() == one["thumbprint"] + "="
    if keys["p256"]:
        point = load_pem_public_key(keys["p256"]["pem"].encode()).public_numbers()  # type: ignore[union-attr]
        assert [point.x, point.y] == [
            int.from_bytes(base64.urlsafe_b64decode(keys["p256"]["jwk"][name] + "=")) for name in ("x", "y")
        ]


def test_a_librarys_envelopes_are_verified_by_another_library(token: SoftToken, tmp_path: Path) -> None:
    dsse = pytest.importorskip("jcs_admit.dsse", reason="no wheel for this machine")
    device = Device(Holder.make(sealed=True))
    chain = [device.seal(), device.seal()]
    (tmp_path / "bundles.json").write_text(json.dumps(chain))
    done = actod(token, "export", "--dsse", tmp_path / "bundles.json")
    assert done.returncode == 0, done.stderr
    keys = json.loads(actod(token, "keys", "export").stdout)
    check_forms(keys)
    verifier = dsse.Ed25519Verifier(base64.b64decode(keys["ed25519"]["acto"]), key_id=keys["ed25519"]["thumbprint"])
    for line, envelope in zip(done.stdout.splitlines(), chain, strict=True):
        verified = dsse.verify(line.encode(), verifier)
        assert verified.payload_type == "application/vnd.in-toto+json"
        said = json.loads(bytes(verified.payload))
        assert said["predicate"]["envelope"] == envelope
        assert said["subject"][0]["digest"] == {"sha256": envelope["payload"]["payload_hash"]}
        signatures = {one["keyid"]: base64.b64decode(one["sig"]) for one in json.loads(line)["signatures"]}
        assert len(signatures) == 1 + (keys["p256"] is not None)
        if keys["p256"]:
            public: Any = load_pem_public_key(keys["p256"]["pem"].encode())
            message = dsse.pae("application/vnd.in-toto+json", bytes(verified.payload))
            public.verify(signatures[keys["p256"]["thumbprint"]], bytes(message), ec.ECDSA(hashes.SHA256()))
        tampered = json.loads(line)
        tampered["payload"] = base64.b64encode(bytes(verified.payload).replace(b"1.5", b"2.5")).decode()
        with pytest.raises(dsse.DsseError):
            dsse.verify(json.dumps(tampered).encode(), verifier)


def test_a_bundle_that_does_not_verify_is_not_attested(tmp_path: Path) -> None:
    token = make_token(tmp_path / "token", keys=0)
    envelope = Device(Holder.make()).seal()
    envelope["payload"]["created_at"] = "2030-01-01T00:00:00+00:00"
    (tmp_path / "bundles.json").write_text(json.dumps(envelope))
    done = actod(token, "export", "--dsse", tmp_path / "bundles.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "not attested: payload_hash does not match the content" in done.stderr


def test_the_signer_knows_a_statement_about_a_bundle_that_verifies_and_signs_no_other() -> None:
    bundle = Device(Holder.make()).seal()
    body = statement(bundle)
    of_a_file = bundle | {"payload": bundle["payload"] | {"payload_hash": hashlib.sha256(b"a file").hexdigest()}}
    assert is_pae(pae(body))
    assert all(is_pae(pae(statement(ENVELOPES[name]["envelope"]))) for name in VERIFIED)
    for message in (
        b"",
        b"DSSEv1 ",
        body,
        pae(body)[:-1],
        pae(body) + b" ",
        pae(b" " + body),
        pae(body.replace(PREDICATE_TYPE.encode(), b"urn:other")),
        pae(body.replace(b'"predicate":', b'"more":1,"predicate":')),
        pae(b"{}"),
        pae(b"[]"),
        pae(b"null"),
        pae(statement({"payload": {"hash_alg": "sha256", "payload_hash": "a" * 64}})),
        pae(statement(of_a_file)),
        pae(statement(bundle | {"signature_b64": base64.b64encode(bytes(64)).decode()})),
        pae(body).replace(b"application/vnd.in-toto+json", b"application/vnd.other+json12"),
        b"actod:rotation:v1\n" + pae(body),
        b"0" * 64,
    ):
        assert not is_pae(message), message[:60]
