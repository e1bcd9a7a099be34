"""The control socket: who is answered, what a caller gets, and what the audit log says of it."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from actod.cli.state import NotRunningError, RefusedError, ask
from actod.config import CollectorConfig, Config, ControlConfig, TokenConfig
from actod.errors import TransientError
from actod.service.control import LONGEST_REQUEST_BYTES, ControlServer, Operation
from tests.memory_audit import Audit

STRANGER = """
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sys.stdout.buffer.write(sock.recv(1000))
"""


def config_of(folder: Path) -> Config:
    nowhere = folder / "nothing"
    return Config(
        environment="dev",
        state_directory=folder,
        token=TokenConfig(uri="pkcs11:", pin_file=nowhere),
        collector=CollectorConfig(url="https://localhost", pins=[], api_key_file=nowhere),
        routes=[],
        control=ControlConfig(socket=folder / "control.sock"),
    )


async def _turn(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    if arguments.get("wrong"):
        raise TransientError("disk_full", "make room")
    return {"turned": arguments.get("degrees", 0)}


async def _broken(_arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    raise KeyError("a secret that must not leave")


OPERATIONS = {
    "turn": Operation(run=_turn, changes=True),
    "look": Operation(run=_turn, changes=False),
    "broken": Operation(run=_broken, changes=False),
}


def serving(folder: Path, use: Callable[[Config], Any]) -> tuple[Any, Audit]:
    """Serve in `folder`, and run `use` on a thread beside it."""
    audit = Audit()

    async def main() -> Any:
        path = folder / "control.sock"
        server = ControlServer(path=path, operations=OPERATIONS, peers=frozenset({0, os.getuid()}), audit=audit)
        task = asyncio.create_task(server.run())
        while not path.exists():
            await asyncio.sleep(0)
        try:
            return await asyncio.to_thread(use, config_of(folder))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return asyncio.run(main()), audit


def test_a_command_is_done_and_a_change_is_audited_before_and_after(tmp_path: Path) -> None:
    def use(config: Config) -> Any:
        return ask(config, "turn", degrees=90), ask(config, "look"), stat.S_IMODE(config.control_socket.stat().st_mode)

    answer, audit = serving(tmp_path, use)
    assert answer == ({"turned": 90}, {"turned": 0}, 0o660)
    mine = {"command": "turn", "uid": os.getuid()}
    assert audit.lines == [("control.asked", mine), ("control.done", mine)]
    assert not (tmp_path / "control.sock").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [("turn", {"wrong": True}, "disk_full"), ("nothing", {}, "command_unknown"), ("broken", {}, "defect")],
)
def test_what_is_not_done_says_why_and_shows_nothing_else(
    tmp_path: Path, command: str, arguments: dict[str, Any], reason: str
) -> None:
    def use(config: Config) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            ask(config, command, **arguments)
        return caught.value

    refusal, audit = serving(tmp_path, use)
    assert refusal.reason == reason
    assert "secret" not in str(refusal)
    assert [event for event, _ in audit.lines] == (["control.asked", "control.refused"] if command == "turn" else [])


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b'{"arguments":{}}\n', b'{"command":1,"arguments":[1]}\n', b"\xff\n"])
def test_a_malformed_request_is_answered_as_one(tmp_path: Path, line: bytes) -> None:
    def use(config: Config) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(config.control_socket))
            connection.sendall(line)
            return orjson.loads(connection.makefile("rb").readline())

    assert serving(tmp_path, use)[0]["error"] == "request_malformed"


def test_a_caller_who_floods_or_leaves_takes_nothing_with_him(tmp_path: Path) -> None:
    def use(config: Config) -> Any:
        for text in (b"x" * (2 * LONGEST_REQUEST_BYTES), b'{"comm'):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(config.control_socket))
                try:
                    connection.sendall(text)
                except OSError:
                    continue
        return ask(config, "look")

    assert serving(tmp_path, use)[0] == {"turned": 0}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused_and_audited() -> None:
    def use(config: Config) -> subprocess.CompletedProcess[bytes]:
        config.control_socket.chmod(0o666)  # as if the mode did not hold
        command = [sys.executable, "-c", STRANGER, str(config.control_socket)]
        return subprocess.run(command, capture_output=True, check=False, timeout=30)

    with tempfile.TemporaryDirectory(prefix="control-") as folder:
        Path(folder).chmod(0o755)  # as the test's own folder is not
        done, audit = serving(Path(folder), use)
    assert b"peer_refused" in done.stdout
    assert audit.lines == [("access.denied", {"where": "control", "uid": 65534})]


@pytest.mark.parametrize("left", [False, True])
def test_without_a_daemon_the_caller_is_told_so(tmp_path: Path, *, left: bool) -> None:
    if left:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "control.sock"))
        listener.close()
    with pytest.raises(NotRunningError):
        ask(config_of(tmp_path), "look")
