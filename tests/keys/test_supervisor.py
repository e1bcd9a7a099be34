"""The signer as a child: killed when it makes no progress, started again with back-off, left alone by Ctrl-C."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actod.errors import TransientError
from tests.keys.parts import HASH, Spy


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
                await child.client.keys()
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
