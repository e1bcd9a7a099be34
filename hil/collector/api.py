"""The API of the ACTO server: what each request is answered, in the documented shapes. No network here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from hil.collector.judge import Judge

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]
_TEXT = [("content-type", "text/plain")]
_HTML = b"<html><body>Please accept the terms of this network.</body></html>"


class Api:
    """Answers requests. Each accepted envelope becomes a line of `envelopes.jsonl`."""

    def __init__(self, *, folder: Path, api_keys: frozenset[str]) -> None:
        self.api_keys = api_keys
        self.judge = Judge(folder / "registry")
        self._envelopes = (folder / "envelopes.jsonl").open("ab", buffering=0)
        self.known = _held(folder / "envelopes.jsonl")  # a restarted server knows what it had, and no more

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:  # noqa: PLR0911 - a table
        """Answer one request; may block on verification and storage."""
        path = target.partition("?")[0]
        if path == "/health":
            return 200, [], b'{"status":"ok"}'
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.api_keys:
            return error(401, "Invalid or missing API key")
        if method == "POST":
            if headers.get("content-encoding") == "gzip":
                return error(400, "There was an error parsing the body")
            if not headers.get("content-type", "").startswith("application/json"):
                return invalid("model_attributes_type")
        exact: dict[tuple[str, str], Callable[[], Answer]] = {
            ("POST", "/v1/proofs"): lambda: self._submit(body, headers.get("x-wallet-address", "")),
            ("POST", "/v1/verify"): lambda: self._verify(body),
            ("GET", "/v1/proofs"): lambda: (200, [], orjson.dumps({"items": sorted(self.known)})),
        }
        if (method, path) in exact:
            return exact[method, path]()
        if method == "GET" and path.startswith("/v1/proofs/"):
            return self._get(path.rsplit("/", 1)[1])
        if method == "POST" and path.startswith("/v1/fleet/devices/") and path.endswith("/health"):
            return health(path.split("/")[4], body)
        return error(404, "Not Found")

    def _submit(self, body: bytes, wallet: str) -> Answer:
        try:
            envelope = self.judge.parse(body)
        except ValueError as exc:
            return 422, [], orjson.dumps({"detail": exc.args[0]}, default=str)
        try:
            reason = self.judge.verify(envelope)
        except Exception:  # noqa: BLE001 - as the server does: poison is a 500
            return 500, _TEXT, b"Internal Server Error"
        if reason:
            return error(400, reason)
        proof_id = self.judge.store(envelope, wallet)
        if proof_id not in self.known:
            self._envelopes.write(orjson.dumps(orjson.loads(body)["envelope"]) + b"\n")
            self.known.add(proof_id)
        return 200, [], orjson.dumps({"proof_id": proof_id})

    def _verify(self, body: bytes) -> Answer:
        try:
            reason = self.judge.verify(self.judge.parse(b'{"envelope":' + body + b"}"))
        except Exception:  # noqa: BLE001 - as above
            return 500, _TEXT, b"Internal Server Error"
        return 200, [], orjson.dumps({"valid": not reason, "reason": reason or None})

    def _get(self, proof_id: str) -> Answer:
        found = self.judge.get(proof_id)
        if found is None:
            return error(404, "Proof not found")
        return 200, [], orjson.dumps({"proof_id": proof_id, "envelope": found})


def _held(file: Path) -> set[str]:
    """Return the proof ids of what a file of envelopes holds; a line that a killed server did not end is taken away."""
    held = file.read_bytes()
    whole = held[: held.rfind(b"\n") + 1]
    os.truncate(file, len(whole))
    return {proof_id_of(orjson.loads(line)["payload"]["payload_hash"].encode()) for line in whole.splitlines()}


def proof_id_of(payload_hash: bytes) -> str:
    """Return the id that the server gives a proof."""
    return hashlib.sha256(payload_hash).hexdigest()[:32]


def faulty(fault: dict[str, Any], body: bytes) -> Answer | None:
    """Return what a fault answers in place of the API, None if it lets the API answer."""
    kind = fault.get("kind", "")
    if kind == "status":
        headers = [(name, str(value)) for name, value in fault.get("headers", {}).items()]
        return int(fault["status"]), headers, str(fault.get("body", '{"detail":"fault"}')).encode()
    if kind == "portal":
        html = [("content-type", "text/html")]
        moved = fault.get("status") == 302
        return (302, [("location", "http://portal.invalid/login"), *html], b"") if moved else (200, html, _HTML)
    if kind == "too_large":
        return error(413, "Request Entity Too Large") if len(body) > int(fault["bytes"]) else None
    fixed: dict[str, Answer] = {
        "rate_limit": (500, _TEXT, b"Internal Server Error"),
        "malformed": (200, [], b'{"proof_id": '),
        "wrong_receipt": (200, [], orjson.dumps({"proof_id": "0" * 32})),
    }
    if kind == "huge":
        return 200, [], b'{"proof_id": "' + b"0" * 10_000_000 + b'"}'
    return fixed.get(kind)


def health(device: str, body: bytes) -> Answer:
    """Take a device's health."""
    try:
        value = orjson.loads(body)
        wrong = not isinstance(value.get("memory_used_mb", 0), int) or float(value.get("cpu_percent", 0)) > 100
    except (orjson.JSONDecodeError, AttributeError, ValueError, TypeError):
        wrong = True
    if wrong:
        return invalid("value_error")
    return 200, [], orjson.dumps({"success": True, "device_id": device, "health": value})


def error(status: int, detail: str) -> Answer:
    """Make an error in the server's shape."""
    return status, [], orjson.dumps({"detail": detail})


def invalid(kind: str) -> Answer:
    """Make a 422 in the server's shape, which echoes the input."""
    return 422, [], orjson.dumps({"detail": [{"type": kind, "loc": ["body"], "msg": "invalid", "input": "..."}]})
