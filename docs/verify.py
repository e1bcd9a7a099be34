#!/usr/bin/env python3
"""Verify ACTO proof envelopes with OpenSSL and Python's standard library alone: python3 verify.py FILE...

Each FILE holds one envelope, or one a line. Needs hash_alg sha256, actod's default, and openssl 3.0 or newer.
"""

# ruff: noqa: PLR2004, S603, T201 - it stands alone, prints, and starts openssl
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SPKI = bytes.fromhex("302a300506032b6570032100")  # DER of an Ed25519 public key, before its 32 bytes (RFC 8410)


def number(value: float) -> str:
    """Write a float as orjson does: all digits from 1e-5 on, and an exponent without sign padding below."""
    text = repr(value)
    if "e-05" in text:
        return format(value, f".{len(text.split('e')[0].replace('-', '').replace('.', '')) + 4}f")
    return text.replace("e-0", "e-")


def canonical(value: object) -> bytes:
    """Write the JSON that was hashed: sorted keys, no spaces, UTF-8, floats below 1e16 only."""
    if isinstance(value, dict):
        members = (canonical(key) + b":" + canonical(value[key]) for key in sorted(value))
        return b"{" + b",".join(members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    if isinstance(value, float):
        if not abs(value) < 1e16:
            raise ValueError("a float with abs >= 1e16, or NaN: the verdict depends on the verifier")
        return number(value).encode()
    return json.dumps(value, ensure_ascii=False).encode()


def verify(envelope: dict) -> str:
    """Return the proof id. Raises ValueError."""
    payload = dict(envelope["payload"])
    claimed, telemetry = payload.pop("payload_hash"), payload["telemetry_normalized"]
    if hashlib.sha256(canonical(telemetry)).hexdigest() != payload["telemetry_hash"]:
        raise ValueError("telemetry_hash does not match")
    if payload["hash_alg"] != "sha256" or hashlib.sha256(canonical(payload)).hexdigest() != claimed:
        raise ValueError("payload_hash does not match")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (
            ("key", SPKI + base64.b64decode(envelope["signer_public_key_b64"])),
            ("signature", base64.b64decode(envelope["signature_b64"])),
            ("message", claimed.encode()),
        ):
            Path(folder, name).write_bytes(data)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in message -sigfile signature"
        if subprocess.run(command.split(), cwd=folder, capture_output=True, check=False).returncode:
            raise ValueError("the signature does not verify")
    return hashlib.sha256(claimed.encode()).hexdigest()[:32]


def main() -> int:
    """Print a line for each envelope; 1 if one does not verify."""
    code = 0
    for name in sys.argv[1:]:
        text = Path(name).read_text(encoding="utf-8")
        try:
            envelopes = [json.loads(text)]
        except ValueError:
            envelopes = [json.loads(line) for line in text.splitlines() if line.strip()]
        for envelope in envelopes:
            try:
                print("valid  ", verify(envelope))
            except (ValueError, KeyError, TypeError) as exc:
                print("INVALID", name, exc)
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
