"""Supervises the parts that `actod/parts.py` builds, and shuts them down.

Start: what lies downstream first, so that each stage finds its taker. Stop: upstream first, so that each drains into it:
stop reading, commit and acknowledge what was read, let the request in flight end, leave the queue on disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import structlog

from actod import configfile, incidents, operations, pipeline, upkeep
from actod.audit.refusals import RefusalSummary
from actod.config import Config
from actod.errors import ActodError, TransientError
from actod.meters import Meters
from actod.parts import Parts, build
from actod.reload import Reloader
from actod.service.control import ControlServer
from actod.service.notify import Notifier
from actod.service.records import inventory
from actod.service.watchdog import Pulse, Watchdog

_DRAIN_SECONDS = 6.0  # of the 20 that a stop may take: commit and acknowledge what was read
_FINISH_SECONDS = 6.0  # and end the request in flight
_LAST_RECORD_SECONDS = 3.0
_RETRY_SECONDS = 2.0
_MORE_TIME_USEC = "60000000"  # a start that waits for the disk is none that hangs
_PULSE_SECONDS = 60.0  # the longest that the collecting task may be about one message
_MAKE_ROOM = "make room on the disk of state_directory, and see that it can be written: `actod check`"

_log = structlog.get_logger(__name__)


async def run(config: Config, *, config_file: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises StopError (configuration, lock, integrity); anything else is healed inside."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # until it can be served: what is read now is the newest
    async with AsyncExitStack() as stack:
        parts = await _build_when_possible(config, config_file=config_file, stack=stack, stop=stop)
        try:
            if parts is not None:
                reloader = Reloader(parts, config_file=config_file)
                loop.add_signal_handler(signal.SIGHUP, reloader.ask)
                await supervise(parts, stop, reloader)
        except BaseExceptionGroup as group:
            raise _first_of_ours(group) from group


async def _build_when_possible(
    config: Config, *, config_file: Path, stack: AsyncExitStack, stop: asyncio.Event
) -> Parts | None:
    """Build, however long the disk refuses: a full one must not keep the robot from coming back. None if told to stop."""
    refused, notifier = "", Notifier()
    while not stop.is_set():
        attempt = AsyncExitStack()
        try:
            parts = await build(config, config_file=config_file, stack=attempt, notifier=notifier)
        except TransientError as exc:
            await attempt.aclose()
            if str(exc) != refused:
                refused = str(exc)
                _log.error("The state folder cannot be opened; it is tried again.", reason=refused, fix=_MAKE_ROOM)
            notifier.send(STATUS=f"the disk refuses: {exc.reason}", EXTEND_TIMEOUT_USEC=_MORE_TIME_USEC)
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS):
                    await stop.wait()
        except BaseException:
            await attempt.aclose()
            raise
        else:
            stack.push_async_callback(attempt.aclose)
            return parts
    return None


async def supervise(parts: Parts, stop: asyncio.Event, reloader: Reloader) -> None:
    """Run all tasks until `stop`, then shut down upstream first. A task that fails takes all with it."""
    spool, audit, pulse = parts.spool, parts.audit, Pulse(limit_seconds=_PULSE_SECONDS)
    refusals = RefusalSummary(audit=audit, clock=parts.clock)
    meters = Meters(parts, reloader)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(parts.signer.run(), name="signer")] if parts.signer else []
        tasks += [
            group.create_task(
                pipeline.submit(
                    spool=spool, uplink=parts.uplink, audit=audit, parallel=parts.config.collector.max_parallel_requests
                ),
                name="submit",
            ),
            group.create_task(pipeline.seal(spool=spool, sealer=parts.sealer, audit=audit), name="seal"),
            group.create_task(upkeep.heartbeat(parts), name="heartbeat"),
            group.create_task(upkeep.follow_files(parts), name="files"),
            group.create_task(upkeep.watch_the_queue(parts), name="queue"),
            group.create_task(parts.alerts.run(audit), name="alerts"),
            group.create_task(upkeep.end_pseudonym_epochs(parts), name="pseudonyms"),
            group.create_task(upkeep.sample_proofs(parts), name="samples"),
            group.create_task(upkeep.watch_clock(parts), name="clock"),
            group.create_task(upkeep.keep_audit_log(parts), name="retention"),
            group.create_task(upkeep.every_second(refusals.tick, audit.flush), name="audit"),
            group.create_task(parts.key_life.run(), name="keys"),
            group.create_task(_control(parts, reloader, meters).run(), name="control"),
            group.create_task(meters.run(), name="meters"),
            group.create_task(reloader.run(), name="reload"),
            group.create_task(parts.source.run(), name="mqtt"),
        ]
        if parts.fleet is not None:
            tasks.append(group.create_task(parts.fleet.run(), name="fleet"))
        await _record_start(parts)
        # Behind the genesis: what an operator did before the first start is no chain's first word.
        tasks.append(group.create_task(incidents.follow(parts), name="incident"))
        collecting = group.create_task(
            pipeline.collect(
                source=parts.source,
                router=parts.router,
                admission=parts.admission,
                masker=parts.collecting_masker,
                spool=spool,
                audit=audit,
                losses=parts.losses,
                refusals=refusals,
                vault=parts.vault,
                largest_event_bytes=parts.config.largest_event_bytes,
                pulse=pulse,
                admitting=reloader.admitting,
            ),
            name="collect",
        )
        parts.notifier.send(READY="1")
        watchdog = Watchdog(
            notifier=parts.notifier,
            rounds=upkeep.rounds(parts),
            stuck={"collect": pulse.stuck, "submit": parts.current.stuck},
        )
        tasks += [
            group.create_task(watchdog.run(), name="watchdog"),
            group.create_task(upkeep.tell_status(parts, reloader), name="status"),
        ]
        await stop.wait()
        parts.notifier.send(STOPPING="1")
        await _shut_down(parts, collecting, refusals)
        await meters.save(last=True)
        for task in (*tasks, collecting):
            task.cancel()


def _control(parts: Parts, reloader: Reloader, meters: Meters) -> ControlServer:
    return ControlServer(
        path=parts.config.control_socket,
        operations=operations.operations(parts, reloader, meters),
        peers=frozenset({0, os.getuid()}),
        audit=parts.audit,
    )


async def _shut_down(parts: Parts, collecting: asyncio.Task[None], refusals: RefusalSummary) -> None:
    """Stop reading, commit and acknowledge what was read, let the request in flight end; the queue stays on disk."""
    _log.info("Stopping: what was read is committed and acknowledged.")
    parts.source.stop_reading()
    await asyncio.wait({collecting}, timeout=_DRAIN_SECONDS)
    await parts.source.close()
    refusals.flush()
    with suppress(TransientError, TimeoutError):
        async with asyncio.timeout(_LAST_RECORD_SECONDS):
            await parts.records.write("stop", reason="signal")
    await parts.uplink.drain(_FINISH_SECONDS)
    parts.audit.record("daemon.stopped")


async def _record_start(parts: Parts) -> None:
    """Journal what starts here: genesis once, then versions and digests. A disk that refuses delays this, not the rest."""
    digest = configfile.digest(parts.config)
    facts: dict[str, Any] = {"config": digest, "policy": parts.policy_digest, "environment": parts.config.environment}
    parts.audit.record("daemon.started", **facts, genesis=parts.spool.genesis)
    with suppress(TransientError):
        untold = (await parts.spool.status()).acknowledged == 0 and parts.spool.epoch == 1  # a kill came before the record
        if parts.audit_cut:
            await parts.records.write("audit_cut", told_n=parts.audit_cut)
        if parts.spool.genesis or untold:
            await parts.records.write("genesis", device=parts.spool.device, epoch=parts.spool.epoch)
        epoch = {"number": parts.spool.epoch, "began": dict(parts.spool.began)}
        await parts.records.write("start", **facts, epoch=epoch, software=inventory())
    _log.info("Collecting.", device=parts.spool.device, config=digest)


def _first_of_ours(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the failure that an operator can act on, out of a group; else the first."""
    leaves: list[BaseException] = []
    stack: list[BaseException] = [group]
    while stack:
        exc = stack.pop()
        if isinstance(exc, BaseExceptionGroup):
            stack.extend(exc.exceptions)
        else:
            leaves.append(exc)
    return next((exc for exc in leaves if isinstance(exc, ActodError)), leaves[0])
