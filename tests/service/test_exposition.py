"""The listener for metrics: who may ask, what, how long and how many; and the file for node_exporter."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from actod.errors import TransientError
from actod.service import exposition
from actod.service.exposition import LONGEST_REQUEST_BYTES, MOST_CALLERS, MetricsServer, TextFile

TEXT = b"actod_starts_total 1\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def text() -> bytes:
    return TEXT


def serving(
    use: Callable[[int], Coroutine[Any, Any, Any]], *, give: Callable[[], Awaitable[bytes]] = text
) -> tuple[Any, MetricsServer]:
    """Serve, and run `use` with the port beside it."""

    async def main() -> tuple[Any, MetricsServer]:
        port = free_port()
        server = MetricsServer(listen=f"127.0.0.1:{port}", text=give)
        task = asyncio.create_task(server.run())
        try:
            return await use(port), server
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(main())


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0)  # not listening yet


async def asked(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """Send a request; return status, headers and body, (0, b"", b"") if it was hung up on."""
    reader, writer = await opened(port)
    try:
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]) if head else 0, head, body


def request(port: int, *, line: str = "GET /metrics HTTP/1.1", host: str = "127.0.0.1:{port}", more: str = "") -> bytes:
    return f"{line}\r\nHost: {host.format(port=port)}\r\n{more}\r\n".encode()


ANSWERS = [
    ({}, 200),
    ({"host": "LocalHost:{port}"}, 200),
    ({"line": "GET /metrics HTTP/1.0"}, 200),
    ({"host": "evil.example"}, 421),  # a name that was made to point here
    ({"host": "evil.example:{port}"}, 421),
    ({"host": "127.0.0.1"}, 421),
    ({"host": "127.0.0.1:1"}, 421),
    ({"host": "127.0.0.1:{port}.evil.example"}, 421),
    ({"host": "127.0.0.1:{port}@evil.example"}, 421),
    ({"host": ""}, 421),
    ({"host": "evil.example", "more": "X-Forwarded-Host: 127.0.0.1:{port}\r\nForwarded: host=localhost\r\n"}, 421),
    ({"more": "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n"}, 200),
    ({"more": "Host: evil.example\r\n"}, 400),
    ({"line": "GET /metrics"}, 400),
    ({"line": "GET  /metrics HTTP/1.1"}, 400),
    ({"line": "GET /metrics HTTP/2"}, 400),
    ({"line": "POST /metrics HTTP/1.1"}, 405),
    ({"line": "HEAD /metrics HTTP/1.1"}, 405),
    ({"line": "OPTIONS /metrics HTTP/1.1"}, 405),
    ({"line": "GET / HTTP/1.1"}, 404),
    ({"line": "GET /metrics/ HTTP/1.1"}, 404),
    ({"line": "GET /../etc/passwd HTTP/1.1"}, 404),
    ({"line": "GET http://evil.example/metrics HTTP/1.1"}, 404),
]


def test_only_a_get_of_metrics_that_names_the_listener_is_answered_and_nothing_that_was_forwarded_is_believed() -> None:
    async def use(port: int) -> list[tuple[int, bytes, bytes]]:
        return [await asked(port, request(port, **how)) for how, _ in ANSWERS]

    answers, server = serving(use)
    assert [(how, status) for (how, _), (status, _, _) in zip(ANSWERS, answers, strict=True)] == ANSWERS
    assert {body == TEXT for status, _, body in answers if status == 200} == {True}
    assert {TEXT in body for status, _, body in answers if status != 200} == {False}
    assert sum(server.requests.values()) == len(ANSWERS)
    head = answers[0][1].lower()
    assert b"text/plain; version=0.0.4" in head
    assert b"access-control" not in head


def test_no_other_address_of_this_machine_is_listened_at() -> None:
    async def use(port: int) -> None:
        _, writer = await opened(port)
        writer.close()
        for family, address in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as other, pytest.raises(OSError, match=r"refused|assign"):
                other.connect((address, port))

    serving(use)


@pytest.mark.parametrize(
    "bytes_sent", [b"x" * (2 * LONGEST_REQUEST_BYTES), b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 4000]
)
def test_a_request_without_end_is_cut_off(bytes_sent: bytes) -> None:
    async def use(port: int) -> tuple[int, bytes, bytes]:
        await asked(port, bytes_sent)
        return await asked(port, request(port))

    answer, server = serving(use)
    assert answer[2] == TEXT
    assert server.requests == {431: 1, 200: 1}


def test_callers_beyond_the_bound_are_hung_up_on_and_the_loop_goes_on_meanwhile() -> None:
    async def use(port: int) -> tuple[int, int]:
        silent = [await opened(port) for _ in range(MOST_CALLERS)]
        for _, writer in silent:
            writer.write(b"GET /met")
        beyond = [await asked(port, request(port)) for _ in range(20)]
        for _, writer in silent:
            writer.transport.abort()
        while True:
            status, _, _ = await asked(port, request(port))
            if status:
                return sum(status for status, _, _ in beyond), status

    assert serving(use)[0] == (0, 200)


def test_who_says_nothing_is_hung_up_on_in_time_and_so_is_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "_REQUEST_SECONDS", 0.05)

    async def never() -> bytes:
        await asyncio.get_running_loop().create_future()
        return b""

    async def use(port: int) -> tuple[bytes, int]:
        reader, writer = await opened(port)
        said = await reader.read()
        writer.close()
        return said, (await asked(port, request(port)))[0]

    answers, server = serving(use, give=never)
    assert answers == (b"", 0)
    assert server.requests[408] == 2


def test_a_store_that_is_away_is_said_to_be() -> None:
    async def away() -> bytes:
        raise TransientError("store_away")

    async def use(port: int) -> int:
        return (await asked(port, request(port)))[0]

    assert serving(use, give=away)[0] == 503


def test_a_port_that_another_program_has_is_said_once_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exposition, "_RETRY_SECONDS", 0.01)

    async def main() -> int:
        taken = socket.create_server(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        task = asyncio.create_task(MetricsServer(listen=f"127.0.0.1:{port}", text=text).run())
        said = ""
        while "the port cannot be had" not in said:
            await asyncio.sleep(0)
            said += capsys.readouterr().out
        taken.close()
        status = 0
        while status != 200:
            status = (await asked(port, request(port)))[0]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return status

    assert asyncio.run(main()) == 200
    assert "the port cannot be had" not in capsys.readouterr().out  # once was enough


def test_the_file_is_whole_for_all_to_read_tried_again_and_gone_with_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "later"
    written: list[tuple[int, bytes]] = []

    async def main() -> None:
        file = TextFile(folder / "actod.prom", interval_seconds=0.01, text=text)
        task = asyncio.create_task(file.run())
        while "cannot be written" not in capsys.readouterr().out:
            await asyncio.sleep(0)
        folder.mkdir()
        while not (folder / "actod.prom").exists():
            await asyncio.sleep(0)
        written.append(((folder / "actod.prom").stat().st_mode & 0o777, (folder / "actod.prom").read_bytes()))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert written == [(0o644, TEXT)]
    assert list(folder.iterdir()) == []
