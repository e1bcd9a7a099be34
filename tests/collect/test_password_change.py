"""The broker's password is read for each connection: a changed one needs no restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hil.parts.broker import Broker
from tests.collect.session import session


def test_a_changed_password_is_used_and_an_unreadable_one_keeps_us_away_until_it_is_mended(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", passwords={"robot": "first"})
    broker.start()
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("first\n", encoding="utf-8")

    async def run() -> None:
        async with session(port=broker.port, username="robot", password_file=secret) as told:
            secret.write_text("", encoding="utf-8")
            broker.passwords["robot"] = "second"
            broker.restart()
            assert (await told.event("broker.away"))["reason"] in {"credential", "network"}
            async with asyncio.timeout(15):
                while told.source.state != "away:credential":
                    await asyncio.sleep(0.01)
            told.events.clear()
            secret.write_text("second\n", encoding="utf-8")
            await told.event("broker.connected")

    try:
        asyncio.run(run())
    finally:
        broker.stop()
