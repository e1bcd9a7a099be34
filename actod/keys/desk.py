r"""What the signer answers, and what it refuses. It is no oracle: it signs four things, each known by its form.

| operation | body | answer |
|---|---|---|
| keys | (empty) | {"keys": [an entry for each generation, oldest first]}, see `described` |
| use | an Ed25519 thumbprint | (empty): this key signs for this connection |
| make_next | a generation | its entry, made on the token if it is not there |
| sign_bundle | a payload_hash, 64 hex characters | an Ed25519 signature |
| cosign | a canonical payload without payload_hash and co-signature | ES256 as r\|\|s, or empty for an on-token key |
| sign_purpose | `actod:<purpose>:v1\n` and more, 16 KiB in all | {"ed25519", "p256"}, base64url |
| sign_attestation | DSSE's encoding of an in-toto statement about a bundle that verifies | {"ed25519", "p256"}, base64url |
| ping | (empty) | how many seconds the present call has been running |
| stats | (empty) | see `keeper.TokenKeeper.stats` |

Keys are base64url without padding; "p256" and its thumbprint are null for an on-token key. A
bundle's P-256 signature is made over bytes that are hashed here, never over a digest that somebody hands in, and only if
the payload names the very key that signs it.
"""

from __future__ import annotations

import re
from asyncio import IncompleteReadError, StreamReader, StreamWriter, get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import structlog

from actod.errors import ActodError, RejectedError
from actod.keys import wire
from actod.keys.healing import ChoiceError
from actod.keys.keeper import TokenKeeper
from actod.keys.token import Token
from actod.model import EnrolledKey
from actod.proof.attestation import is_pae
from actod.proof.canonical import canonical
from actod.proof.thumbprint import base64url
from actod.unixsocket import peer_uid

_PAYLOAD_HASH = re.compile(rb"[0-9a-f]{64}\Z")
_PURPOSE = re.compile(rb"actod:[a-z-]{1,32}:v1\n")
_THUMBPRINT = re.compile(rb"[A-Za-z0-9_-]{43}\Z")
_GENERATION = re.compile(rb"[1-9][0-9]{0,5}\Z")
_LONGEST_PURPOSE_BYTES = 16 * 1024
_PAYLOAD_MEMBERS = frozenset(
    (
        "created_at",
        "hash_alg",
        "meta",
        "signature_alg",
        "subject",
        "telemetry_hash",
        "telemetry_normalized",
        "version",
    )
)
_BEGINS = b'{"created_at":"'

_log = structlog.get_logger(__name__)


class Desk:
    """Answers one client after the other; the token's thread does one thing at a time."""

    def __init__(
        self,
        *,
        keeper: TokenKeeper,
        executor: ThreadPoolExecutor,
        peers: frozenset[int],
        give_up: Callable[[], None],
    ) -> None:
        self._keeper, self._executor, self._peers, self._give_up = keeper, executor, peers, give_up
        self._refused = 0

    async def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve one connection until it ends."""
        chosen = ""
        try:
            if peer_uid(writer.get_extra_info("socket")) not in self._peers:
                self._refused += 1
                _log.warning("A process of another user was refused.", refused=self._refused)
                writer.write(wire.pack(b"error", b"peer_refused"))
                await writer.drain()
                return
            while True:
                operation, body = await wire.receive(reader)
                if operation == wire.USE and _THUMBPRINT.match(body):
                    chosen = body.decode()
                writer.write(await self._reply(operation, body, chosen))
                await writer.drain()
                if self._keeper.in_vain():
                    _log.error("The token does not come back in this process; another is tried.")
                    self._give_up()
        except (IncompleteReadError, wire.ProtocolError, ConnectionError):
            return
        finally:
            writer.close()

    async def _reply(self, operation: bytes, body: bytes, chosen: str) -> bytes:
        if operation == wire.PING:
            return wire.pack(b"ok", repr(self._keeper.busy_seconds()).encode())
        if operation == wire.STATS:
            return wire.pack(b"ok", orjson.dumps(self._keeper.stats() | {"refused": self._refused}))
        work = self._work(operation, body, chosen)
        if work is None:
            self._refused += 1
            return wire.pack(b"error", b"request_refused")
        try:
            return wire.pack(b"ok", await get_running_loop().run_in_executor(self._executor, work))
        except ActodError as exc:
            if exc.reason == "request_refused":
                self._refused += 1
            sentence = str(exc).partition(": ")[2]
            return wire.pack(b"error", exc.reason.encode() + (b"\n" + sentence.encode() if sentence else b""))

    def _work(self, operation: bytes, body: bytes, chosen: str) -> Callable[[], bytes] | None:
        """Return what to do on the token's thread, or None for what this process does not do."""
        if operation == wire.MAKE_NEXT and _GENERATION.match(body):
            return lambda: orjson.dumps(described(self._keeper.make(int(body))))
        use = _use(operation, body, chosen)
        return None if use is None else lambda: self._keeper.call(use)


def _use(operation: bytes, body: bytes, chosen: str) -> Callable[[Token], bytes] | None:
    if operation == wire.KEYS and not body:
        return lambda token: orjson.dumps({"keys": [described(key) for key in token.keys]})
    if operation == wire.USE and _THUMBPRINT.match(body):
        return lambda token: _choose(token, chosen)
    if operation == wire.SIGN_BUNDLE and _PAYLOAD_HASH.match(body):
        return lambda token: token.pair(chosen).sign_ed25519(body)
    if _has_purpose(operation, body):
        return lambda token: _sign_with_all(token, chosen, body)
    if operation == wire.COSIGN and body.startswith(_BEGINS):
        return lambda token: _cosign(token, chosen, body)
    return None


def _has_purpose(operation: bytes, body: bytes) -> bool:
    """Whether a message says by its own form what its signature is for."""
    if operation == wire.SIGN_PURPOSE:
        return bool(_PURPOSE.match(body)) and len(body) <= _LONGEST_PURPOSE_BYTES
    return operation == wire.SIGN_ATTESTATION and is_pae(body)


def _choose(token: Token, chosen: str) -> bytes:
    token.pair(chosen)
    return b""


def _sign_with_all(token: Token, chosen: str, message: bytes) -> bytes:
    pair = token.pair(chosen)
    p256 = pair.sign_p256(message)
    answer = {"ed25519": base64url(pair.sign_ed25519(message)), "p256": None if p256 is None else base64url(p256)}
    return orjson.dumps(answer)


def _cosign(token: Token, chosen: str, payload: bytes) -> bytes:
    pair = token.pair(chosen)
    if not is_payload(payload, pair.key):
        raise ChoiceError("request_refused", "no canonical payload that names this key")
    return pair.sign_p256(payload) or b""


def is_payload(body: bytes, key: EnrolledKey) -> bool:
    """Whether these are the canonical bytes of a bundle's payload, not yet hashed nor co-signed, that names this key."""
    try:
        payload = orjson.loads(body)
        actod = payload["meta"]["actod"]
        named = actod["key"]
        return (
            payload.keys() == _PAYLOAD_MEMBERS
            and "cosign" not in actod
            and (named["ed25519"], named["p256"]) == (key.ed25519_thumbprint, key.p256_thumbprint)
            and canonical(payload) == body
        )
    except (ValueError, TypeError, KeyError, AttributeError, RejectedError):
        return False


def described(key: EnrolledKey) -> dict[str, Any]:
    """Describe a key's public parts for JSON."""
    point = key.p256
    return {
        "label": key.label,
        "generation": key.generation,
        "ed25519": base64url(key.ed25519),
        "ed25519_thumbprint": key.ed25519_thumbprint,
        "p256": None if point is None else {"x": base64url(point[1:33]), "y": base64url(point[33:])},
        "p256_thumbprint": key.p256_thumbprint,
        "kind": key.kind,
    }
