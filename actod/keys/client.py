"""The daemon's side of the signer: it may be away for any time, and every absence is a TransientError with its reason."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from actod.errors import TransientError
from actod.keys import wire
from actod.model import EnrolledKey, PurposeSignature

_SIGNATURE_BYTES = 64
_CHOOSERS = {wire.SIGN_BUNDLE, wire.SIGN_PURPOSE, wire.SIGN_ATTESTATION, wire.COSIGN}  # what the chosen key does


class SignerClient:
    """Implements the Signer port over the socket of `actod signer`; connects when it is first needed."""

    def __init__(self, socket: Path, *, timeout_seconds: float) -> None:
        self._socket, self._timeout_seconds = socket, timeout_seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()
        self._chosen = ""
        self._told = ""  # which choice this connection knows

    async def keys(self) -> tuple[EnrolledKey, ...]:
        """Return the generations of the key family, oldest first."""
        data = await self._ask(wire.KEYS)
        with self._understood():
            return tuple(_key(entry) for entry in orjson.loads(data)["keys"])

    async def use(self, ed25519_thumbprint: str) -> None:
        """Choose the key that signs from now on, also over later connections. Raises TransientError("key_unknown")."""
        self._chosen = ed25519_thumbprint
        await self._ask(wire.USE, ed25519_thumbprint.encode("ascii"))

    async def sign_payload_hash(self, payload_hash: str) -> bytes:
        """Have 64 hex characters signed with Ed25519."""
        return await self._ask(wire.SIGN_BUNDLE, payload_hash.encode("ascii"))

    async def cosign(self, canonical_payload: bytes) -> bytes | None:
        """Have a payload signed with the token's P-256; None where the Ed25519 key is on the token itself."""
        return await self._ask(wire.COSIGN, canonical_payload) or None

    async def sign_purpose(self, message: bytes) -> PurposeSignature:
        """Have a message that begins with its purpose signed with all that the chosen key has."""
        return await self._ask_for_both(wire.SIGN_PURPOSE, message)

    async def sign_attestation(self, message: bytes) -> PurposeSignature:
        """Have DSSE's encoding of a statement about a bundle signed with all that the chosen key has."""
        return await self._ask_for_both(wire.SIGN_ATTESTATION, message)

    async def _ask_for_both(self, operation: bytes, message: bytes) -> PurposeSignature:
        data = await self._ask(operation, message)
        with self._understood():
            answer = orjson.loads(data)
            p256 = answer["p256"]
            return PurposeSignature(_bytes(answer["ed25519"], _SIGNATURE_BYTES), p256 and _bytes(p256, _SIGNATURE_BYTES))

    async def make_next(self, generation: int) -> EnrolledKey:
        """Have this generation made on the token, or get it if it is there."""
        data = await self._ask(wire.MAKE_NEXT, str(generation).encode("ascii"))
        with self._understood():
            return _key(orjson.loads(data))

    async def stats(self) -> dict[str, Any]:
        """Return the signer's latencies and error counts."""
        data = await self._ask(wire.STATS)
        with self._understood():
            answer: dict[str, Any] = orjson.loads(data)
            if not isinstance(answer, dict):
                raise TypeError
            return answer

    async def busy_seconds(self) -> float:
        """Return how long the signer's present call has been running."""
        data = await self._ask(wire.PING)
        with self._understood():
            return float(data)

    def close(self) -> None:
        """Drop the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams, self._told = None, ""

    async def _ask(self, operation: bytes, body: bytes = b"") -> bytes:
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    word, answer = await self._choose_and_exchange(operation, body)
            except TimeoutError as exc:
                self.close()
                raise TransientError("signer_timeout") from exc
            except (OSError, asyncio.IncompleteReadError, wire.ProtocolError) as exc:
                self.close()
                raise TransientError("signer_away") from exc
            except asyncio.CancelledError:
                self.close()  # an answer may still come: it must not be taken for the next one
                raise
        if word != b"ok":
            with self._understood():
                reason, _, sentence = answer.decode("ascii", "replace").partition("\n")
                raise TransientError(reason, sentence)
        return answer

    async def _choose_and_exchange(self, operation: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Tell a new connection which key was chosen, before that key is asked for."""
        if self._streams is not None and self._streams[0].at_eof():
            self.close()  # that signer has ended, and another may be there: nothing was asked of it yet
        if self._streams is None:
            self._told = ""
        chosen = self._chosen
        if operation in _CHOOSERS and self._told != chosen:
            word, answer = await self._exchange(wire.pack(wire.USE, chosen.encode("ascii")))
            if word != b"ok":
                return word, answer
            self._told = chosen
        return await self._exchange(wire.pack(operation, body))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Whatever listens there instead of our signer, or is older or newer than we are, is an absence too."""
        try:
            yield
        except (ValueError, KeyError, TypeError) as exc:
            self.close()
            raise TransientError("signer_protocol") from exc

    async def _exchange(self, frame: bytes) -> tuple[bytes, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._socket)
        reader, writer = self._streams
        writer.write(frame)
        await writer.drain()
        return await wire.receive(reader)


def _key(entry: dict[str, Any]) -> EnrolledKey:
    point = entry["p256"]
    return EnrolledKey(
        label=str(entry["label"]),
        generation=int(entry["generation"]),
        ed25519=_bytes(entry["ed25519"], 32),
        ed25519_thumbprint=str(entry["ed25519_thumbprint"]),
        p256=None if point is None else b"\x04" + _bytes(point["x"], 32) + _bytes(point["y"], 32),
        p256_thumbprint=None if point is None else str(entry["p256_thumbprint"]),
        kind=str(entry["kind"]),
    )


def _bytes(text: str, length: int) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(data) != length:
        raise ValueError
    return data
