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
from actod.model import PublicKeys


class SignerClient:
    """Implements the Signer port over the socket of `actod signer`; connects when it is first needed."""

    def __init__(self, socket: Path, *, timeout_seconds: float) -> None:
        self._socket, self._timeout_seconds = socket, timeout_seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._lock = asyncio.Lock()

    async def public_keys(self) -> PublicKeys:
        """Ask for the public keys."""
        data = await self._ask(wire.KEYS)
        with self._understood():
            answer = orjson.loads(data)
            return PublicKeys(
                ed25519=base64.urlsafe_b64decode(answer["ed25519"] + "="),
                ed25519_thumbprint=answer["ed25519_thumbprint"],
                p256_thumbprint=answer["p256_thumbprint"],
                kind=answer["kind"],
            )

    async def sign_payload_hash(self, payload_hash: str) -> bytes:
        """Have 64 hex characters signed with Ed25519."""
        return await self._ask(wire.SIGN_BUNDLE, payload_hash.encode("ascii"))

    async def cosign(self, canonical_payload: bytes) -> bytes | None:
        """Return None: a token with Ed25519 of its own needs no second signature."""
        del canonical_payload
        return None

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
            self._streams = None

    async def _ask(self, operation: bytes, body: bytes = b"") -> bytes:
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    word, answer = await self._exchange(wire.pack(operation, body))
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
                raise TransientError(answer.decode("ascii", "replace"))
        return answer

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
