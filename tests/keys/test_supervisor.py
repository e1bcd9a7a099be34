"""The signer as a child: killed when it makes no progress, started again with back-off, left alone by Ctrl-C."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actod.errors import TransientError
from actod.keys.client import SignerClient
from actod.keys.supervisor import SignerProcess
from hil.parts.softhsm import SoftToken
from tests.keys.parts import Spy, write_config

TIMEOUT_SECONDS = 0.6
HASH = "0123456789abcdef" * 4


class Child:
    """A supervised signer, the events that its supervisor tells, and a client."""

    def __init__(self, config_file: Path, socket: Path) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.supervisor = SignerProcess(
            config_file=config_file,
            socket=socket,
            timeout_seconds=TIMEOUT_SECONDS,
            on_event=self._note,
            start_seconds=2.0,
        )
        self.client = SignerClient(socket, timeout_seconds=TIMEOUT_SECONDS)

    def _note(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    def started(self) -> list[int]:
        return [fields["pid"] for event, fields in self.events if event == "signer.started"]

    def ended(self) -> list[str]:
        return [fields["why"] for event, fields in self.events if event == "signer.ended"]

    async def signs(self) -> bytes:
        """Return a signature, waiting for it as the sealer does."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.client.sign_payload_hash(HASH)
                except TransientError:
                    await asyncio.sleep(0.05)

    async def starts(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.started()) < count:
                await asyncio.sleep(0.02)


@pytest.fixture
def supervised(tmp_path: Path, token: SoftToken, spy: Spy, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name, value in (token.environment | spy.environment).items():
        monkeypatch.setenv(name, value)
    config_file = write_config(tmp_path, token, uri=spy.uri)

    @asynccontextmanager
    async def supervise(*, config: Path = config_file) -> AsyncIterator[Child]:
        child = Child(config, tmp_path / "run" / "signer.sock")
        task = asyncio.create_task(child.supervisor.run())
        try:
            yield child
        finally:
            child.client.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return supervise


def test_a_signer_whose_token_call_hangs_is_killed_and_the_next_one_signs(supervised: Callable[..., Any], spy: Spy) -> None:
    async def scenario() -> None:
        async with supervised() as child:
            first = await child.signs()
            spy.on("hang")
            with pytest.raises(TransientError, match="signer_timeout"):
                await child.client.sign_payload_hash(HASH)
            await child.starts(2)
            assert child.ended() == ["token call does not come back"]
            spy.off("hang")
            assert await child.signs() == first

    asyncio.run(scenario())


def test_a_stopped_signer_is_killed_and_started_again(supervised: Callable[..., Any]) -> None:
    async def scenario() -> None:
        async with supervised() as child:
            await child.signs()
            (pid,) = child.started()
            os.kill(pid, signal.SIGSTOP)
            await child.starts(2)
            assert child.ended() == ["no answer"]
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
            await child.signs()

    asyncio.run(scenario())


def test_a_signer_that_cannot_start_is_tried_with_growing_pauses(supervised: Callable[..., Any], tmp_path: Path) -> None:
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        async with supervised(config=tmp_path / "missing.toml") as child:
            for count in range(1, 5):
                await child.starts(count)
                times.append(loop.time())
            assert child.ended() == ["exit 78"] * 3
            with pytest.raises(TransientError, match="signer_away"):
                await child.client.public_keys()
        return times

    times = asyncio.run(scenario())
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert [pause >= least for pause, least in zip(pauses, (0.1, 0.5, 1.0), strict=True)] == [True, True, True]


def test_ctrl_c_at_the_daemons_terminal_does_not_reach_the_signer(supervised: Callable[..., Any]) -> None:
    async def scenario() -> None:
        async with supervised() as child:
            await child.signs()
            (pid,) = child.started()
            assert os.getpgid(pid) == os.getsid(pid) == pid != os.getpgid(0)

    asyncio.run(scenario())


def test_cancelling_the_supervisor_ends_the_child(supervised: Callable[..., Any]) -> None:
    async def scenario() -> int:
        async with supervised() as child:
            await child.signs()
        return int(child.started()[0])

    pid = asyncio.run(scenario())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_what_the_signer_refused_is_told_to_the_audit_log_with_its_count(supervised: Callable[..., Any]) -> None:
    async def scenario() -> None:
        async with supervised() as child:
            await child.signs()
            for _ in range(3):
                with pytest.raises(TransientError, match="request_refused"):
                    await child.client.sign_payload_hash("anything else")
            async with asyncio.timeout(10):
                while sum(fields["count"] for event, fields in child.events if event == "access.denied") < 3:
                    await asyncio.sleep(0.02)
            assert all(fields["where"] == "signer" for event, fields in child.events if event == "access.denied")

    asyncio.run(scenario())
