"""`actod queue retry` and `purge` at a daemon's control socket: what becomes of the bundles, and what the chain says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import orjson
import pytest

from actod.cli.main import main
from actod.config import MaskingConfig, StoreConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.operations import operations
from actod.service.control import ControlServer
from actod.service.records import OwnRecords
from actod.store.schema import OUTBOX, QUARANTINE
from actod.store.spool import SqliteSpool
from tests.config.parts import changed, write
from tests.store.parts import SEAL, HandClock, RememberedLog, group, sealed


class Audit(RememberedLog):
    def record(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    def witness(self, event: str, fields: Mapping[str, Any]) -> None:
        self(event, fields)

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Nobody asks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """There is always room."""

    def head(self) -> str:
        return "0" * 64


class Daemon:
    """A store with bundles that were set aside, and its control socket."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.audit = folder, HandClock(), Audit()
        self.proof_ids: list[str] = []

    async def __aenter__(self) -> Self:
        arguments: dict[str, Any] = {"clock": self.clock, "witness": self.audit.witness, "seal": SEAL}
        self.spool = await SqliteSpool.open(folder=self.folder / "state", store=StoreConfig(), **arguments)
        for number in range(4):
            await self.spool.commit(group(range(number * 10, number * 10 + 10), clock=self.clock))
            bundle = await self.spool.next_bundle()
            await self.spool.put(bundle, sealed(bundle))
            envelope = await self.spool.take(frozenset)
            await self.spool.set_aside(envelope, "http_422" if number else "http_400")
            self.proof_ids.append(envelope.proof_id)
        masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=bytes(32))
        records = OwnRecords(masker=masker, spool=self.spool, clock=self.clock)
        reloader: Any = SimpleNamespace(reload=None)
        meters: Any = SimpleNamespace(facts=None)
        parts: Any = SimpleNamespace(spool=self.spool, records=records, key_life=None)
        only = {name: each for name, each in operations(parts, reloader, meters).items() if name.startswith("queue.")}
        socket = self.folder / "control.sock"
        server = ControlServer(path=socket, operations=only, peers=frozenset({0, os.getuid()}), audit=self.audit)
        self.config = write(self.folder, changed("control.socket", str(socket)))
        self.task = asyncio.create_task(server.run())
        while not socket.exists():
            await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.spool.close()

    async def queue(self, *arguments: str) -> tuple[int, str]:
        """Run the command; return its exit code and what it printed."""

        def call() -> tuple[int, str]:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                return main(["queue", *arguments, "--config", str(self.config)]), out.getvalue()

        return await asyncio.to_thread(call)

    async def proof_ids_in(self, place: int) -> list[str]:
        rows = await self.spool._call(lambda: self.spool._store._outbox.first(place, limit=10))
        return [row.proof_id for row in rows]

    async def records(self) -> list[dict[str, Any]]:
        """Return what was journaled under the device's own task."""
        await self.spool.seal_now()
        bundle = await self.spool.next_bundle()
        return [event for event in orjson.loads(b"[" + bundle.events + b"]") if event["topic"].startswith("actod/")]


def test_a_retried_bundle_keeps_its_proof_id_and_the_chain_says_who_was_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Daemon(tmp_path) as daemon:
            code, said = await daemon.queue("retry", daemon.proof_ids[0])
            assert (code, said) == (0, "1 bundles wait for the collector again\n")
            assert await daemon.proof_ids_in(OUTBOX) == daemon.proof_ids[:1]
            code, said = await daemon.queue("retry", "--reason", "http_422")
            assert (code, said) == (0, "3 bundles wait for the collector again\n")
            assert await daemon.proof_ids_in(OUTBOX) == daemon.proof_ids
            assert await daemon.queue("retry", "--reason", "http_422") == (1, "0 bundles wait for the collector again\n")
            assert ("control.asked", {"command": "queue.retry", "uid": os.getuid()}) in daemon.audit.lines
            records = await daemon.records()
            assert [(event["topic"], event["data"]["bundles"]) for event in records] == [
                ("actod/retry", daemon.proof_ids[:1]),
                ("actod/retry", daemon.proof_ids[1:]),
            ]

    asyncio.run(scenario())


def test_a_purge_is_a_record_of_the_chain_beside_the_ledgers_count(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Daemon(tmp_path) as daemon:
            code, said = await daemon.queue("purge", "--reason", "http_422")
            assert (code, said) == (0, "3 bundles, 30 messages, are gone, and counted as purged\n")
            assert await daemon.proof_ids_in(QUARANTINE) == daemon.proof_ids[:1]
            told = 30  # messages, of which the ledgers of the purged bundles had told that they were withheld
            assert (await daemon.spool.status()).losses_pending["purged"] == 30 + told
            (record,) = await daemon.records()
            assert record["topic"] == "actod/purge"
            assert record["data"] == {"bundles": daemon.proof_ids[1:], "messages": 30}

    asyncio.run(scenario())


def test_what_is_in_hand_is_not_purged_for_it_may_leave_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with Daemon(tmp_path) as daemon:
            await daemon.queue("retry", daemon.proof_ids[0])
            envelope = await daemon.spool.take(frozenset)
            assert envelope.proof_id == daemon.proof_ids[0]
            assert await daemon.queue("purge", envelope.proof_id) == (1, "")
            assert "bundle_in_hand: it is about to be sent: actod incident lock" in capsys.readouterr().err
            await daemon.spool.give_back(envelope)
            code, said = await daemon.queue("purge", envelope.proof_id)
            assert (code, said) == (0, "1 bundles, 10 messages, are gone, and counted as purged\n")

    asyncio.run(scenario())


def test_without_a_daemon_nothing_is_changed_and_it_says_so(tmp_path: Path) -> None:
    config = write(tmp_path, changed("control.socket", str(tmp_path / "control.sock")))
    assert main(["queue", "purge", "0" * 32, "--config", str(config)]) == 1
