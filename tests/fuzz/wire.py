r"""The socket between daemon and signer, spoken to by anybody.

The signer signs only what it is for, and the daemon takes whatever answers for an absence with a reason.

`<stream>`: what the other side sends. A stream that begins with `=` is framed here: its lines are the frames' bodies, with
the operation before the first space.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import struct
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

from actod.errors import TransientError
from actod.keys import wire
from actod.keys.client import SignerClient
from actod.keys.desk import Desk, is_payload
from actod.model import EnrolledKey, PurposeSignature
from actod.proof.attestation import is_pae

_US = 1000
_SIGNABLE = re.compile(rb"[0-9a-f]{64}\Z|actod:[a-z0-9-]+:v1\n", re.DOTALL)
_LARGEST = wire.MAX_FRAME_BYTES + 4


def one_input(data: bytes) -> None:
    if data[:1] == b"=":
        data = b"".join(wire.pack(*line.split(b" ", 1)) for line in data[1:].split(b"\n"))
    asyncio.run(_speak(data[:_LARGEST]))


async def _speak(data: bytes) -> None:
    frames = await _frames(data)
    writer = _Writer()
    await Desk(
        keeper=cast("Any", _Keeper()), executor=cast("Any", _Executor()), peers=frozenset({_US}), give_up=_never
    ).answer(_reader(data), cast("Any", writer))
    answers = await _frames(bytes(writer.written))
    assert len(answers) == len(frames)
    assert writer.closed
    assert all(word in {b"ok", b"error"} for word, _ in answers)
    for ask in (SignerClient.keys, SignerClient.stats, SignerClient.busy_seconds, _sign, _sign_purpose, _make_next):
        client = SignerClient(Path("/nowhere"), timeout_seconds=5)
        client._streams = (_reader(data), cast("Any", _Writer()))
        try:
            answer = await cast("Callable[[SignerClient], Any]", ask)(client)
        except TransientError:
            continue
        assert isinstance(answer, tuple | PurposeSignature | dict | float | bytes)


async def _sign(client: SignerClient) -> bytes:
    return await client.sign_payload_hash("a" * 64)


async def _sign_purpose(client: SignerClient) -> PurposeSignature:
    return await client.sign_purpose(b"actod:witness:v1\n")


async def _make_next(client: SignerClient) -> EnrolledKey:
    return await client.make_next(2)


async def _frames(data: bytes) -> list[tuple[bytes, bytes]]:
    reader, frames = _reader(data), []
    try:
        while True:
            frames.append(await wire.receive(reader))
    except (wire.ProtocolError, asyncio.IncompleteReadError):
        return frames


def _reader(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def _never() -> None:
    raise AssertionError("nothing is in vain here")


class _Pair:
    key = EnrolledKey("k", 1, bytes(32), "t" * 43, b"\4" + bytes(64), "u" * 43, "sealed")

    @staticmethod
    def sign_ed25519(message: bytes) -> bytes:
        assert _SIGNABLE.match(message) or is_pae(message), "the signer signs what it is not for"
        return bytes(64)

    @classmethod
    def sign_p256(cls, message: bytes) -> bytes:
        assert message.startswith(b"actod:") or is_pae(message) or is_payload(message, cls.key), (
            "the signer signs what it is not for"
        )
        return bytes(64)


class _Token:
    keys = (_Pair.key,)

    @staticmethod
    def pair(_thumbprint: str) -> _Pair:
        return _Pair()


class _Keeper:
    @staticmethod
    def call(use: Callable[[Any], bytes]) -> bytes:
        return use(_Token())

    @staticmethod
    def make(generation: int) -> EnrolledKey:
        return dataclasses.replace(_Pair.key, generation=generation)

    @staticmethod
    def in_vain() -> bool:
        return False

    @staticmethod
    def busy_seconds() -> float:
        return 0.0

    @staticmethod
    def stats() -> dict[str, Any]:
        return {}


class _Executor:
    """Works at once, on the caller's thread."""

    @staticmethod
    def submit(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*arguments))
        return done


class _Socket:
    @staticmethod
    def getsockopt(*_: int) -> bytes:
        return struct.pack("3i", 1, _US, _US)


class _Writer:
    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False

    @staticmethod
    def get_extra_info(_name: str) -> _Socket:
        return _Socket()

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self.closed = True
