"""A backlog of single-message bundles over TLS to a collector, against the bare posting of the same bytes.

The store, the submit loop and the pinned TLS client are the daemon's, without budgets (environment dev). The floor posts the
same bodies over as many kept TLS connections with http.client, and stores nothing; it runs before and after.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from actod import pipeline
from actod.cli import main
from actod.model import Envelope
from actod.store.spool import SqliteSpool
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink
from bench.content import unsynced
from bench.figure import Figure
from bench.machine import say
from hil.drain import Drain

BUNDLES = 10_000
_BARE = 2_000
_SLICES, _WARM_UP = 5, 200
FLOOR_NAME = "http.client over TLS"


def backlog(folder: Path, *, bundles: int = BUNDLES) -> list[Figure]:
    """Fill, post the first bundles barely, then have all of them submitted."""
    for unused in main._NOT_FOR_DAEMONS:  # noqa: SLF001 - as in the daemon
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    folder.mkdir(mode=0o700, exist_ok=True)
    drain = Drain(folder, bundles=bundles, scale=50)
    drain.config = replace(drain.config, budgets=False)
    try:
        return asyncio.run(_measured(drain))
    finally:
        drain.close()


async def _measured(drain: Drain) -> list[Figure]:
    async with drain._spool() as spool:  # noqa: SLF001 - the same rig, without its script
        say(f"sealing {drain.bundles:,} bundles")
        with unsynced():
            await _synchronous(spool, "OFF")
            await drain._fill(spool)  # noqa: SLF001
            await _synchronous(spool, "FULL")
        bodies = []
        while len(bodies) < min(_BARE, drain.bundles):
            envelope = await spool.take(frozenset)
            bodies.append(envelope)
        for envelope in bodies:
            await spool.give_back(envelope)
        say("posting some of them barely")
        await asyncio.to_thread(_bare, drain, bodies[:_WARM_UP])
        bare = [await asyncio.to_thread(_bare, drain, bodies)]
        say("draining")
        client = HttpsClient(collector=drain.config, environment="dev", clock=drain.clock, audit=drain.audit)
        uplink = PacedUplink(client=client, collector=drain.config, clock=drain.clock, audit=drain.audit)
        parallel = drain.config.max_parallel_requests
        task = asyncio.create_task(pipeline.submit(spool=spool, uplink=uplink, audit=drain.audit, parallel=parallel))
        slices = await _slices(spool, drain.bundles)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.close()
        say("posting some of them barely, again")
        bare.append(await asyncio.to_thread(_bare, drain, bodies))
    name = f"drain of {drain.bundles:,} bundles over TLS, "
    return [
        Figure(
            name=name + "CPU a bundle",
            unit="us",
            values=[cpu / count * 1e6 for count, _wall, cpu in slices],
            floors=[cpu / len(bodies) * 1e6 for _wall, cpu in bare],
            floor_name=FLOOR_NAME,
        ),
        Figure(
            name=name + "pace",
            unit="bundles/s",
            values=[count / wall for count, wall, _cpu in slices],
            floors=[len(bodies) / wall for wall, _cpu in bare],
            floor_name=FLOOR_NAME,
            kind="wall",
        ),
    ]


async def _slices(spool: SqliteSpool, bundles: int) -> list[tuple[int, float, float]]:
    """Look on until nothing waits; return (bundles, wall clock, CPU) of each fifth or so, in seconds."""
    slices = []
    left, then, busy = bundles, time.perf_counter(), time.process_time()
    while left:
        await asyncio.sleep(0.2)
        waiting = (await spool.status()).outbox_bundles
        if not waiting or left - waiting >= bundles / _SLICES:
            now, cpu = time.perf_counter(), time.process_time()
            slices.append((left - waiting, now - then, cpu - busy))
            left, then, busy = waiting, now, cpu
    return slices


async def _synchronous(spool: SqliteSpool, mode: str) -> None:
    await spool._call(lambda: spool._store._db.execute(f"PRAGMA synchronous={mode}"))  # noqa: SLF001 - while it is filled


def _bare(drain: Drain, envelopes: list[Envelope]) -> tuple[float, float]:
    """Post over as many connections; return wall clock and CPU in seconds."""
    lanes = drain.config.max_parallel_requests
    context = ssl.create_default_context(cafile=str(drain.config.ca_file))
    headers = {"Authorization": f"Bearer {drain.api_key}", "Content-Type": "application/json"}

    def post(lane: list[Envelope]) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", drain.collector.port, context=context)
        for envelope in lane:
            connection.request("POST", "/v1/proofs", b'{"envelope":' + envelope.body + b"}", headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"the collector answers {answer.status}")
        connection.close()

    began, busy = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(post, [envelopes[lane::lanes] for lane in range(lanes)]))
    return time.perf_counter() - began, time.process_time() - busy
