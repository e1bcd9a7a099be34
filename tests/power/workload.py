"""One life of the daemon's disk work, under the recorder: `python -m tests.power.workload ROOT LIFE STEPS END [PAGES]`.

Everything that the store can do, in an order drawn from the life's number; END is `close` or `kill`. Before it begins,
so many PAGES of the store's file are damaged. Each fact is noted as a marker before it is begun ("offer", "settle") or
once the store has returned it ("ack", "left", "settled").
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from pathlib import Path

import orjson

from actod.errors import TransientError
from actod.model import Envelope
from actod.store import schema
from tests.power.daemon import Daemon, group_of, open_daemon, quiet
from tests.power.trace import MARK
from tests.store.parts import receipt, sealed

CHECKPOINT_PAGES = 40  # so that the WAL starts over many times in one trace


class Life:
    """One opening of the store, and what is done with it."""

    def __init__(self, daemon: Daemon, marks: int, life: int) -> None:
        self._daemon, self._spool, self._marks = daemon, daemon.spool, marks
        self._chance = random.Random(life)  # noqa: S311 - no secret
        self._next = life * 10_000

    def mark(self, kind: str, **fields: object) -> None:
        os.write(self._marks, orjson.dumps({"kind": kind, **fields}))

    async def step(self) -> None:
        """Do one thing, with the weights of a robot's day."""
        work = self._chance.choices((self.commit, self.seal, self.send, self.say), (5, 2, 2, 1))[0]
        await work()

    async def commit(self) -> None:
        first, count, refused = self._next, self._chance.randint(0, 9), self._chance.choice((0, 0, 1, 3))
        if not count + refused:
            return
        self._next += count
        if refused:
            self._daemon.audit.record("refused", reason="not_json", count=refused)
        made = group_of(first, count, refused, self._daemon.clock)
        self.mark("offer", first=first, count=count, refused=refused, identities=made.identities)
        await self._spool.commit(made)
        self.mark("ack", head=self._daemon.audit.head())

    async def seal(self) -> None:
        """Cut and put what is due: everything, now and then."""
        if self._chance.random() < 0.5:
            await self._spool.seal_now()
        for _ in range(self._chance.randint(1, 3)):
            if not (await self._spool.status()).journal_messages:
                return
            try:
                async with asyncio.timeout(0.02):
                    bundle = await self._spool.next_bundle()
            except TimeoutError:
                return
            with contextlib.suppress(TransientError):  # the store was repaired since it was cut: it is cut anew
                await self._spool.put(bundle, sealed(bundle))

    async def send(self) -> None:
        """Hand out an envelope; it has left from then on. Then settle it, or not."""
        if not (await self._spool.status()).outbox_bundles:
            return
        envelope = await self._spool.take(frozenset)
        self.mark("left", proof=envelope.proof_id, hash=envelope.payload_hash, body=envelope.body.decode())
        await self._settle(envelope)

    async def _settle(self, envelope: Envelope) -> None:
        verdict = self._chance.choices(("archive", "quarantine", "split", "defer", ""), (6, 2, 2, 1, 1))[0]
        if envelope.count == 1 and verdict == "split":  # it cannot be cut
            verdict = ""
        if verdict == "defer":
            await self._spool.defer(envelope)
        elif not verdict:
            await self._spool.give_back(envelope)
        if verdict not in ("archive", "quarantine", "split"):
            return
        self.mark("settle", proof=envelope.proof_id, place=verdict)
        if verdict == "archive":
            daemon = self._daemon
            daemon.audit.carried(daemon.audit.head(), proof_id=envelope.proof_id, date=None)
            await self._spool.receipt(envelope, receipt(envelope))
            daemon.retention.pack()
            while removal := daemon.retention.due(None):
                daemon.retention.remove(removal)
        elif verdict == "split":
            assert await self._spool.split(envelope, most_bytes=2000)
        else:
            await self._spool.set_aside(envelope, "http_422")
        self.mark("settled", proof=envelope.proof_id, place=verdict)

    async def say(self) -> None:
        """Record lines that nobody waits for."""
        for number in range(self._chance.randint(1, 4)):
            self._daemon.audit.record("mqtt.connected", attempt=number, note="x" * self._chance.choice((3, 200)))
        if self._chance.random() < 0.3:
            self._daemon.audit.flush()
        self._daemon.clock.advance(1)


def damage(file: Path, life: int, pages: int) -> None:
    """Fill some pages with what nobody wrote, and bring that to disk."""
    chance = random.Random(life)  # noqa: S311 - no secret
    size = file.stat().st_size
    with file.open("r+b") as opened:
        for _ in range(pages):
            opened.seek(chance.randrange(1, size // schema.PAGE_BYTES) * schema.PAGE_BYTES)
            opened.write(chance.randbytes(schema.PAGE_BYTES))
        opened.flush()
        os.fsync(opened.fileno())


async def live(root: Path, life: int, steps: int, end: str, pages: int = 0) -> None:
    """Open, work, and end as told."""
    marks = os.open(root / MARK, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if pages:
        os.write(marks, orjson.dumps({"kind": "damage"}))
        damage(root / "state" / schema.DATABASE_NAME, life, pages)
    daemon = await open_daemon(root / "state", life=life)
    worker = Life(daemon, marks, life)
    worker.mark("open", device=daemon.spool.device, epoch=daemon.spool.epoch)
    for _ in range(steps):
        await worker.step()
    if end == "kill":
        os._exit(0)  # what a kill leaves: nothing is flushed, nothing closed
    await daemon.close()
    os.close(marks)


if __name__ == "__main__":
    quiet()
    schema.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    asyncio.run(live(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:])))
