#!/usr/bin/env python3
"""Verify ACTO envelopes, one in each line, with OpenSSL 3: python3 verify.py [P256.pem] FILE..."""
import base64, decimal, fileinput, hashlib, json, pathlib, subprocess, sys, tempfile

def canonical(value):  # what was hashed: sorted keys, no spaces, and numbers as orjson writes them
    if isinstance(value, dict): return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list): return "[" + ",".join(map(canonical, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, float): return text
    return f"{decimal.Decimal(text):f}" if "e-05" in text else text.replace("e-0", "e-")

def sha256(value): return hashlib.sha256(canonical(value).encode()).hexdigest()

def openssl(command, **files):
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items(): pathlib.Path(folder, name).write_bytes(data)
        return subprocess.run(["openssl", *command.split()], cwd=folder, capture_output=True).returncode == 0

def checks(envelope, p256):
    claimed, payload = envelope["payload"]["payload_hash"], {k: v for k, v in envelope["payload"].items() if k != "payload_hash"}
    yield "telemetry_hash", payload["telemetry_hash"] == sha256(payload["telemetry_normalized"])
    yield "payload_hash", payload["hash_alg"] == "sha256" and claimed == sha256(payload)
    key = bytes.fromhex("302a300506032b6570032100") + base64.b64decode(envelope["signer_public_key_b64"])  # DER: RFC 8410
    command = "pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in text -sigfile sig"
    yield "signature", openssl(command, key=key, text=claimed.encode(), sig=base64.b64decode(envelope["signature_b64"]))
    if p256:  # the token's own signature: ES256, r and s of 32 bytes each, over all but itself and payload_hash
        actod = dict(payload["meta"]["actod"])
        raw = base64.urlsafe_b64decode(actod.pop("cosign", "A" * 86) + "==")
        numbers = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
        der = b"".join(bytes([2, n.bit_length() // 8 + 1]) + n.to_bytes(n.bit_length() // 8 + 1, "big") for n in numbers)
        text = canonical(payload | {"meta": payload["meta"] | {"actod": actod}}).encode()
        yield "cosign", openssl("dgst -sha256 -verify key -signature sig text", key=p256, text=text, sig=bytes([48, len(der)]) + der)

if __name__ == "__main__":
    p256, faults = pathlib.Path(sys.argv.pop(1)).read_bytes() if sys.argv[1].endswith(".pem") else b"", 0
    for line in fileinput.input(encoding="utf-8"):
        wrong = [name for name, right in checks(json.loads(line), p256) if not right]
        print(f"{fileinput.filename()}:{fileinput.filelineno()}:", f"INVALID: {', '.join(wrong)}" if wrong else "valid")
        faults += len(wrong)
    sys.exit(faults > 0)
