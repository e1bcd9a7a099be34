"""A backlog against the server's real behaviour: `python -m hil.drain --bundles 5000`.

The store, the submit loop, TLS and the collector are real. One bundle in a hundred is poison (500 on its own), the rate
limit answers 500 and resets, it falls to a quarter for a while (another robot uses the same key), and the token gate is
shut for some requests (403). Rates and pauses are those of the protocol and of the default configuration, `scale` times
as fast.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from nacl.signing import SigningKey

from actod import pipeline
from actod.audit.log import AuditLog
from actod.config import AuditConfig, CollectorConfig, SealConfig, StoreConfig
from actod.model import Envelope, Group, MaskedReading, PublicKeys, Stream, TrafficClass
from actod.proof import thumbprint
from actod.proof.envelope import SealContext, assemble, iso
from actod.service.clock import SystemClock
from actod.store.spool import SqliteSpool
from actod.store.status import SpoolStatus
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink
from hil.collector.client import Collector
from hil.parts.certificates import CertificateAuthority

RATE, BURST, PACE = 5, 20, 4.0  # the server's, and ours
POISON_EACH = 100
_STREAM = Stream("r-1", "drain", None, TrafficClass.NORMAL)
_GROUP = 100


@dataclass(frozen=True)
class Drained:
    """How a run ended. `requests` are those that reached the collector, `over` those that its rate limit refused."""

    bundles: int
    poison: frozenset[str]
    status: SpoolStatus
    aside: frozenset[str]
    held: int
    requests: int
    over: int
    gated: int
    seconds: float

    def problems(self) -> list[str]:
        """Say what is not as it must be."""
        good = self.bundles - len(self.poison)
        checks = {
            f"{self.status.outbox_bundles} bundles still wait": self.status.outbox_bundles == 0,
            f"the collector holds {self.held} of {good}": self.held == self.status.submitted == good,
            f"{len(self.aside ^ self.poison)} bundles are wrongly in or out of quarantine": self.aside == self.poison,
            f"the ledger says {dict(self.status.losses_pending)}": (
                dict(self.status.losses_pending) == ({"withheld": len(self.poison)} if self.poison else {})
            ),
            f"{self.requests} requests are a storm": self.requests <= 1.2 * self.bundles,
            "the rate limit was not met": self.over > 0,
            "the gate was not met": self.gated > 0,
        }
        return [problem for problem, holds in checks.items() if not holds]


class Drain:
    """One backlog and its collector in a folder."""

    def __init__(self, folder: Path, *, bundles: int, scale: float) -> None:
        self.folder, self.bundles, self.scale = folder, bundles, scale
        authority = CertificateAuthority.make(folder / "ca")
        self.api_key = "acto_" + secrets.token_urlsafe(32)
        key_file = folder / "api-key"
        key_file.touch(mode=0o600)
        key_file.write_text(self.api_key, encoding="ascii")
        self.collector = Collector(
            folder=folder / "collector", certificate=authority.issue("collector"), api_keys=[self.api_key]
        )
        self.collector.start()
        self.config = CollectorConfig(
            url=f"https://127.0.0.1:{self.collector.port}",
            pins=[authority.pin, authority.backup_pin],
            api_key_file=key_file,
            ca_file=authority.ca_file,
            requests_per_second=PACE * scale,
            backoff_min_seconds=1 / scale,
            backoff_max_seconds=300 / scale,
        )
        self.clock = SystemClock()
        self.audit = AuditLog(folder / "audit", clock=self.clock, config=AuditConfig())
        self.poison: frozenset[str] = frozenset()

    async def run(self) -> Drained:
        """Fill, drain, and say how it ended."""
        async with self._spool() as spool:
            ids = await self._fill(spool)
            self.poison = frozenset(ids[POISON_EACH // 3 :: POISON_EACH])
            client = HttpsClient(collector=self.config, environment="dev", clock=self.clock, audit=self.audit)
            uplink = PacedUplink(client=client, collector=self.config, clock=self.clock, audit=self.audit)
            self._limit(RATE)
            started = time.monotonic()
            parallel = self.config.max_parallel_requests
            task = asyncio.create_task(pipeline.submit(spool=spool, uplink=uplink, audit=self.audit, parallel=parallel))
            await self._script(spool, task)
            seconds = time.monotonic() - started
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await client.close()
            answered = self.collector.stats()
            return Drained(
                bundles=self.bundles,
                poison=self.poison,
                status=await spool.status(),
                aside=frozenset(await spool.quarantined("server_error", limit=self.bundles)),
                held=self.collector.count(),
                requests=answered["stats"]["requests"],
                over=answered["struck"].get("rate_limit", 0),
                gated=answered["stats"].get("status_403", 0),
                seconds=seconds,
            )

    async def _script(self, spool: SqliteSpool, task: asyncio.Task[None]) -> None:
        """Change the server's mood as the backlog shrinks."""
        await self._until(spool, task, 0.7)
        self._limit(RATE, gate=5)
        await self._until(spool, task, 0.5)
        self._limit(RATE / 4)
        await self._until(spool, task, 0.25)
        self._limit(RATE)
        await self._until(spool, task, 0.0)

    async def _until(self, spool: SqliteSpool, task: asyncio.Task[None], share: float) -> None:
        while (await spool.status()).outbox_bundles > share * self.bundles:
            if task.done():
                task.result()
            await asyncio.sleep(0.1)

    def _limit(self, per_second: float, *, gate: int = 0) -> None:
        limit = {"kind": "rate_limit", "per_second": per_second * self.scale, "burst": BURST}
        poison = {"kind": "status", "status": 500, "proof_ids": sorted(self.poison), "body": "Internal Server Error"}
        shut = {"kind": "status", "status": 403, "next": gate}
        self.collector.set_faults([*([shut] if gate else []), limit, poison])

    @contextlib.asynccontextmanager
    async def _spool(self) -> AsyncIterator[SqliteSpool]:
        spool = await SqliteSpool.open(
            folder=self.folder / "state",
            seal=SealConfig(max_events=1),
            store=StoreConfig(),
            clock=self.clock,
            witness=self.audit.witness,
        )
        try:
            yield spool
        finally:
            await spool.close()

    async def _fill(self, spool: SqliteSpool) -> list[str]:
        """Seal one bundle for each reading, with a key in memory; return the proof ids."""
        ids: list[str] = []
        for first in range(0, self.bundles, _GROUP):
            numbers = range(first, min(first + _GROUP, self.bundles))
            await spool.commit(Group(readings=[self._reading(number) for number in numbers]))
            for _number in numbers:
                bundle = await spool.next_bundle()
                unsigned = assemble(bundle, keys=_KEYS, context=self._context()).finish(None)
                envelope: Envelope = unsigned.sign(_KEY.sign(unsigned.payload_hash.encode()).signature)
                await spool.put(bundle, envelope)
                ids.append(envelope.proof_id)
        return ids

    def _reading(self, number: int) -> MaskedReading:
        event = b'{"data":{"n":%d},"topic":"robot/state","ts":"2026-01-01T00:00:00Z"}' % number
        return MaskedReading(_STREAM, event, {}, self.clock.now())

    def _context(self) -> SealContext:
        now = self.clock.now()
        clock = {
            "wall": iso(now.wall_ns),
            "monotonic_ms": now.monotonic_ns // 1_000_000,
            "synchronised": None,
            "server": None,
        }
        return SealContext(
            boot_id=self.clock.boot_id(),
            clock=clock,
            policy="0" * 64,
            config="0" * 64,
            audit=self.audit.head(),
            hash_alg="sha256",
            created_at=iso(now.wall_ns),
        )

    def close(self) -> None:
        """End the collector."""
        self.collector.close()
        self.audit.close()


_KEY = SigningKey.generate()
_KEYS = PublicKeys(bytes(_KEY.verify_key), thumbprint.ed25519(bytes(_KEY.verify_key)), None, "software")


def drain(folder: Path, *, bundles: int, scale: float) -> Drained:
    """Run one."""
    run = Drain(folder, bundles=bundles, scale=scale)
    try:
        return asyncio.run(run.run())
    finally:
        run.close()


def main() -> int:
    """Run the full form, and print the account."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, default=5000)
    parser.add_argument("--scale", type=float, default=50)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="actod-drain-"))
    print(f"drain: {options.bundles} bundles, {options.scale:g} times as fast as the server, in {folder}", flush=True)
    done = drain(folder, bundles=options.bundles, scale=options.scale)
    account = {
        "delivered": done.status.submitted,
        "poison": len(done.poison),
        "quarantined": done.status.quarantined_bundles,
        "ledger": dict(done.status.losses_pending),
        "requests": done.requests,
        "refused by the rate limit": done.over,
        "refused by the gate": done.gated,
        "seconds": round(done.seconds, 1),
    }
    print(json.dumps(account))
    print(f"{done.requests / done.bundles:.3f} requests for each bundle, {done.bundles / done.seconds:.0f} bundles a second")
    for problem in done.problems():
        print(f"FAIL {problem}")
    if not done.problems():
        shutil.rmtree(folder)
    return bool(done.problems())


if __name__ == "__main__":
    sys.exit(main())
