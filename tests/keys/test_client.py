"""The daemon's side: whatever is wrong behind the socket is an absence with a reason, and never another's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from actod.errors import TransientError
from actod.keys import wire
from actod.keys.client import SignerClient
from actod.proof.thumbprint import base64url

HASH = "0123456789abcdef" * 4
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def behind(socket: Path, serve: Serve) -> AsyncIterator[SignerClient]:
    """Put a server of our own behind the client."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(handle, socket)
    client = SignerClient(socket, timeout_seconds=0.3)
    try:
        yield client
    finally:
        client.close()
        server.close()


def answering(frame: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await wire.receive(reader)
            writer.write(frame)

    return serve


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (wire.pack(b"error", b"token_absent"), "token_absent"),
        (wire.pack(b"error", b""), "signer_protocol"),
        (wire.pack(b"error", b"Not a reason!"), "signer_protocol"),
        (wire.pack(b"error", b"\xff\xfe"), "signer_protocol"),
        (wire.pack(b"ok", b"{"), "signer_protocol"),
        (wire.pack(b"ok", b"{}"), "signer_protocol"),
        (wire.pack(b"ok", b"[1]"), "signer_protocol"),
        (wire.pack(b"ok", b'{"keys":[{"label":"k","generation":1,"ed25519":1}]}'), "signer_protocol"),
        (wire.pack(b"error", b"token_away\na sentence"), "token_away"),
        (b"\0\0\0\0", "signer_away"),
        (b"\xff\xff\xff\xff", "signer_away"),
        (b"\0\0\0\5hello", "signer_away"),
    ],
)
def test_what_is_no_answer_is_an_absence_with_a_reason(tmp_path: Path, frame: bytes, reason: str) -> None:
    async def scenario() -> str:
        async with behind(tmp_path / "s", answering(frame)) as client:
            with pytest.raises(TransientError) as caught:
                await client.keys()
            return caught.value.reason

    assert asyncio.run(scenario()) == reason


@pytest.mark.parametrize("said", [b"5", b"[1]", b"null", b"{"])
def test_statistics_that_are_no_object_are_an_absence(tmp_path: Path, said: bytes) -> None:
    async def scenario() -> None:
        async with behind(tmp_path / "s", answering(wire.pack(b"ok", said))) as client:
            with pytest.raises(TransientError, match="signer_protocol"):
                await client.stats()

    asyncio.run(scenario())


@pytest.mark.parametrize("said", [b"soon", b"", b"1 2"])
def test_a_ping_that_is_no_number_is_an_absence(tmp_path: Path, said: bytes) -> None:
    async def scenario() -> None:
        async with behind(tmp_path / "s", answering(wire.pack(b"ok", said))) as client:
            with pytest.raises(TransientError, match="signer_protocol"):
                await client.busy_seconds()

    asyncio.run(scenario())


def test_no_socket_no_server_and_no_answer_are_told_apart(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def scenario() -> list[str]:
        reasons = []
        client = SignerClient(tmp_path / "none", timeout_seconds=0.3)
        with pytest.raises(TransientError) as caught:
            await client.sign_payload_hash(HASH)
        reasons.append(caught.value.reason)
        async with behind(tmp_path / "s", silent) as client:
            with pytest.raises(TransientError) as caught:
                await client.sign_payload_hash(HASH)
            reasons.append(caught.value.reason)
        return reasons

    assert asyncio.run(scenario()) == ["signer_away", "signer_timeout"]


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_ones(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        came = asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Keep the first answer back until there is a second request."""
            _, body = await wire.receive(reader)
            if body == HASH.encode():
                came.set()
                await wire.receive(reader)
            writer.write(wire.pack(b"ok", body))

        async with behind(tmp_path / "s", late) as client:
            given_up = asyncio.create_task(client.sign_payload_hash(HASH))
            await came.wait()
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
            return await client.sign_payload_hash("f" * 64)

    assert asyncio.run(scenario()) == b"f" * 64


def test_two_requests_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await wire.receive(reader)
            writer.write(wire.pack(b"ok", body))

    async def scenario() -> list[bytes]:
        async with behind(tmp_path / "s", echo) as client:
            return list(await asyncio.gather(*(client.sign_payload_hash(f"{n:064x}") for n in range(20))))

    assert asyncio.run(scenario()) == [f"{n:064x}".encode() for n in range(20)]


def entry(number: int) -> dict[str, object]:
    """Return what a signer says of one generation, with a P-256 key."""
    key = base64url(bytes([number]) * 32)
    return {
        "label": f"k.{number}",
        "generation": number,
        "ed25519": key,
        "ed25519_thumbprint": f"thumbprint-{number}",
        "p256": {"x": key, "y": key},
        "p256_thumbprint": f"p256-{number}",
        "kind": "sealed",
    }


def test_the_choice_of_a_key_is_told_to_each_new_connection_before_that_key_is_asked_for(tmp_path: Path) -> None:
    asked: list[list[tuple[bytes, bytes]]] = []

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append([])
        while True:
            operation, body = await wire.receive(reader)
            asked[-1].append((operation, body))
            writer.write(wire.pack(b"ok", orjson.dumps({"keys": [entry(1), entry(2)]}) if operation == wire.KEYS else b""))

    async def scenario() -> None:
        async with behind(tmp_path / "s", noting) as client:
            keys = await client.keys()
            assert [(key.generation, key.p256) for key in keys] == [(n, b"\4" + bytes([n]) * 64) for n in (1, 2)]
            await client.sign_payload_hash(HASH)  # the signer's affair, as long as nothing was chosen
            await client.use("thumbprint-2")
            assert await client.cosign(b"{}") is None
            await client.sign_payload_hash(HASH)
            client.close()
            await client.sign_payload_hash(HASH)
            await client.sign_payload_hash(HASH)

    asyncio.run(scenario())
    use, sign = (wire.USE, b"thumbprint-2"), (wire.SIGN_BUNDLE, HASH.encode())
    assert asked[0] == [(wire.KEYS, b""), sign, use, use, (wire.COSIGN, b"{}"), sign]
    assert asked[1] == [use, sign, sign]


def test_a_key_that_is_not_there_is_kept_as_the_choice_and_nothing_is_signed_with_another(tmp_path: Path) -> None:
    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            operation, _ = await wire.receive(reader)
            known = operation != wire.USE
            writer.write(wire.pack(b"ok", b"x" * 64) if known else wire.pack(b"error", b"key_unknown\nnone of 2"))

    async def scenario() -> None:
        async with behind(tmp_path / "s", refusing) as client:
            for ask in (client.use("gone"), client.sign_payload_hash(HASH), client.cosign(b"{}")):
                with pytest.raises(TransientError, match="key_unknown: none of 2"):
                    await ask

    asyncio.run(scenario())
