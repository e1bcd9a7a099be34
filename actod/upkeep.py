"""What runs beside the line: the heartbeat, the end of pseudonym epochs, the audit log's pace."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from actod.beside import MONITOR
from actod.errors import TransientError
from actod.model import Envelope
from actod.parts import Parts
from actod.proof.serverdate import trusted_time
from actod.reload import Reloader
from actod.service.records import heartbeat_facts
from actod.service.steps import ClockSteps
from actod.submit.sample import compare_with_collector
from actod.submit.tls import marks

_EPOCH_LOOK_SECONDS = 3600.0
_CLOCK_LOOK_SECONDS = 1.0
_FILES_LOOK_SECONDS = 2.0
_AGES_LOOK_SECONDS = 3600.0
_QUEUE_LOOK_SECONDS = 30.0
_RETENTION_LOOK_SECONDS = 5.0
_NEARLY_FULL_PERCENT, _WELL_BELOW_PERCENT = 80, 70

_log = structlog.get_logger(__name__)


async def heartbeat(parts: Parts) -> None:
    """Write an own record when nothing else was said, so that silence and absence differ."""
    said = -1
    while True:
        await asyncio.sleep(parts.config.seal.heartbeat_seconds)
        with suppress(TransientError):
            parts.audit.require_room()
            status = await parts.spool.status()
            if status.sealed == said or status.losses_pending:
                facts = heartbeat_facts(parts.uplink.state, parts.sealer.waiting, status)
                await parts.records.write("heartbeat", **facts, runs_overflowed=parts.router.overflowed)
            said = status.sealed


async def end_pseudonym_epochs(parts: Parts) -> None:
    """Erase the pseudonym key when its days are over; the erasure is a record of the device's chain."""
    while True:
        with suppress(OSError, TransientError):
            days = parts.pseudonyms.end_if_due()
            if days is not None:
                for masker in (parts.masker, parts.own_masker):
                    masker.rekey(parts.pseudonyms.key)
                parts.audit.record("pseudonyms.erased", after_days=days)
                await parts.records.write("pseudonyms_erased", after_days=days)
        await asyncio.sleep(_EPOCH_LOOK_SECONDS)


def rounds(parts: Parts) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return a round trip through each thread that the line needs, for the watchdog."""
    return {"store": parts.spool.status, "audit": lambda: asyncio.to_thread(parts.audit.flush)}


async def tell_status(parts: Parts, reloader: Reloader) -> None:
    """Keep the line of `systemctl status` true."""
    while True:
        parts.notifier.status(status_line(parts, reloader))
        await asyncio.sleep(1.0)


def status_line(parts: Parts, reloader: Reloader) -> str:
    """Say in one line what goes on and what is waited for."""
    source = parts.source.state
    said = ["collecting" if source == "connected" else f"the broker is not there ({source})"]
    if parts.sealer.waiting:
        said.append(f"sealing waits for token: {parts.sealer.waiting}")
    if parts.refused:
        said.append(f"nothing more is written: {parts.refused}")
    if parts.uplink.state != "ok":
        said.append(f"submission {parts.uplink.state}")
    if reloader.refused:
        said.append(f"the new configuration is refused ({reloader.refused}), the old one is in force")
    return "; ".join(said)


async def watch_clock(parts: Parts) -> None:
    """Record each step of the wall clock in the device's chain: it dates the bundles that were sealed before."""
    steps, unwritten = ClockSteps(parts.clock), []
    while True:
        await asyncio.sleep(_CLOCK_LOOK_SECONDS)
        if step := steps.look():
            parts.audit.record("clock.set", **step)
            unwritten.append(step)
        with suppress(TransientError):
            while unwritten:
                await parts.records.write("clock_set", **unwritten[0])
                del unwritten[0]


async def follow_files(parts: Parts) -> None:
    """Take changed pins, certificates and credentials, and try at once what waits for them; warn of old credentials."""
    seen, last_look_ns = marks(parts.ages.files.values()), None
    while True:
        files = tuple(parts.ages.files.values())  # a reload may name others
        changed = await asyncio.to_thread(parts.tls.refresh)
        if changed:
            await parts.client.close()
        before, seen = seen, marks(files)
        now_ns = parts.clock.now().monotonic_ns
        if seen != before or last_look_ns is None or now_ns - last_look_ns > _AGES_LOOK_SECONDS * 1e9:
            last_look_ns = now_ns
            await asyncio.to_thread(parts.ages.look, parts.tls.guard.trusted_now())
        if changed or seen != before:
            parts.uplink.wake()
        await asyncio.sleep(_FILES_LOOK_SECONDS)


async def sample_proofs(parts: Parts) -> None:
    """Have the collector show an own proof now and then, drawn from the whole archive."""
    while True:
        await asyncio.sleep(parts.config.collector.proof_sample_seconds * random.SystemRandom().uniform(0.5, 1.5))
        with suppress(TransientError):
            envelope = await parts.spool.sample(random.SystemRandom().random())
            if envelope is not None and parts.uplink.state == "ok":
                await _compare(parts, envelope)


async def _compare(parts: Parts, envelope: Envelope) -> None:
    """Compare one, with the key for that if there is one."""
    key = parts.scope_keys.get(MONITOR)
    client = parts.client.with_key(key) if key is not None else parts.client
    try:
        await compare_with_collector(envelope, client=client, uplink=parts.uplink, audit=parts.audit)
    finally:
        if key is not None:
            await client.close()


async def watch_the_queue(parts: Parts) -> None:
    """Say once when the queue has nearly filled its share, and again only after it was well below."""
    told = False
    while True:
        await asyncio.sleep(_QUEUE_LOOK_SECONDS)
        with suppress(TransientError):
            status = await parts.spool.status()
            percent = 100 * (status.journal_bytes + status.outbox_bytes) // parts.config.store.shares.database
            if percent >= _NEARLY_FULL_PERCENT and not told:
                parts.audit.record("store.nearly_full", percent=percent)
                _log.warning("The queue has nearly filled its share of store.max_bytes.", percent=percent)
            told = percent >= (_WELL_BELOW_PERCENT if told else _NEARLY_FULL_PERCENT)


async def keep_audit_log(parts: Parts) -> None:
    """Compress the files of the audit log that have ended, and remove the oldest that are due; the chain says so before."""
    while True:
        await asyncio.sleep(_RETENTION_LOOK_SECONDS)
        await asyncio.to_thread(parts.retention.pack)
        now = parts.clock.now()
        collector_now = trusted_time(parts.uplink.server_date, wall_ns=now.wall_ns, synchronised=parts.clock.synchronised())
        with suppress(TransientError):
            while removal := await asyncio.to_thread(parts.retention.due, collector_now):
                await parts.records.write("audit_removed", **dataclasses.asdict(removal))
                await asyncio.to_thread(parts.retention.remove, removal)


async def every_second(count: Callable[[], None], sync: Callable[[], None]) -> None:
    """Have the audit log count what was refused, and bring its lines to disk (on a thread: a slow disk holds nobody)."""
    while True:
        await asyncio.sleep(1.0)
        count()
        await asyncio.to_thread(sync)
