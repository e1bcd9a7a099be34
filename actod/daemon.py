"""Builds the parts from the configuration, supervises them, and shuts them down.

Start: what lies downstream first, so that each stage finds its taker. Stop: upstream first, so that each drains into it:
stop reading, commit and acknowledge what was read, let the request in flight end, leave the queue on disk.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from actod import configfile, pipeline
from actod.audit.log import AuditLog
from actod.audit.refusals import RefusalSummary
from actod.collect.broker_drops import BrokerDrops
from actod.collect.mqtt import MqttSource
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.config import Config
from actod.errors import ActodError, TransientError
from actod.keys.client import SignerClient
from actod.keys.sealer import TokenSealer
from actod.keys.supervisor import SignerProcess
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.ports import Clock, LossCounter
from actod.service import keyfile
from actod.service.clock import SystemClock
from actod.service.context import SealContextSource
from actod.service.folder import own_folder
from actod.service.notify import Notifier
from actod.service.pseudonyms import PseudonymEpochs
from actod.service.records import OwnRecords, heartbeat_facts, inventory
from actod.store.checkpoint import merged
from actod.store.spool import SqliteSpool
from actod.store.vault import FOLDER, SealedVault, read_operator_key
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink

_DRAIN_SECONDS = 6.0  # of the 20 that a stop may take: commit and acknowledge what was read
_FINISH_SECONDS = 6.0  # and end the request in flight
_LAST_RECORD_SECONDS = 3.0
_EPOCH_LOOK_SECONDS = 3600.0
_RETRY_SECONDS = 2.0
_MAKE_ROOM = "make room on the disk of state_directory, and see that it can be written: `actod check`"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All that was built."""

    config: Config
    clock: Clock
    audit: AuditLog
    spool: SqliteSpool
    masker: PolicyMasker
    own_masker: PolicyMasker
    pseudonyms: PseudonymEpochs
    vault: SealedVault | None
    router: PayloadRouter
    source: MqttSource
    losses: tuple[LossCounter, ...]
    signer: SignerProcess | None
    sealer: TokenSealer
    uplink: PacedUplink
    records: OwnRecords
    notifier: Notifier
    policy_digest: str


def describe(config: Config) -> Iterator[str]:
    """Say what would run, after checking all that can be checked without broker, token or server."""
    routes = Routes.compile(config.routes)
    Policy.compile(config.masking)
    if config.masking.operator_key:
        read_operator_key(config.masking.operator_key)
    yield f"environment    {config.environment}"
    yield f"state folder   {config.state_directory}"
    yield f"broker         {config.mqtt.host}:{config.mqtt.port} as {config.mqtt.client_id!r}"
    yield f"collector      {config.collector.url} with {len(config.collector.pins)} pins"
    yield f"token          {config.token.uri}"
    for topic, qos in routes.subscriptions():
        yield f"subscribes     {topic} at QoS {qos}"
    yield f"configuration  sha256 {configfile.digest(config)}"


async def run(config: Config, *, config_file: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises StopError (configuration, lock, integrity); anything else is healed inside."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        parts = await _build_when_possible(config, config_file=config_file, stack=stack, stop=stop)
        try:
            if parts is not None:
                await supervise(parts, stop)
        except BaseExceptionGroup as group:
            raise _first_of_ours(group) from group


async def _build_when_possible(
    config: Config, *, config_file: Path, stack: AsyncExitStack, stop: asyncio.Event
) -> Parts | None:
    """Build, however long the disk refuses: a full one must not keep the robot from coming back. None if told to stop."""
    refused = ""
    while not stop.is_set():
        attempt = AsyncExitStack()
        try:
            parts = await build(config, config_file=config_file, stack=attempt)
        except TransientError as exc:
            await attempt.aclose()
            if str(exc) != refused:
                refused = str(exc)
                _log.error("The state folder cannot be opened; it is tried again.", reason=refused, fix=_MAKE_ROOM)
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


async def build(config: Config, *, config_file: Path, stack: AsyncExitStack) -> Parts:
    """Make every part; what was opened is closed by the stack, newest first."""
    state = config.state_directory
    own_folder(state)
    clock = SystemClock()
    audit = AuditLog(state / "audit", clock=clock, config=config.audit)
    stack.callback(audit.close)
    spool = await SqliteSpool.open(
        folder=state,
        seal=config.seal,
        store=config.store,
        clock=clock,
        witness=audit.witness,
        known=merged(audit.lines(back_to="device")),  # which stands in a full checkpoint only
        device_id=config.device.id,
    )
    stack.push_async_callback(spool.close)
    policy = Policy.compile(config.masking)
    pseudonyms = PseudonymEpochs(state / "pseudonym.key", clock=clock, days=config.masking.pseudonym_epoch_days)
    masker = PolicyMasker(policy=policy, pseudonym_key=pseudonyms.key)
    own_masker = PolicyMasker(policy=policy, pseudonym_key=pseudonyms.key)  # the other may be at work on another thread
    routes = Routes.compile(config.routes)
    router = PayloadRouter(
        routes=routes,
        device=config.device,
        intake=config.intake,
        identities=dict(spool.identities),
        digest_key=keyfile.read_or_make(state / "digest.key"),
    )
    broker_drops = BrokerDrops()
    source = MqttSource(
        mqtt=config.mqtt,
        intake=config.intake,
        subscriptions=routes.subscriptions(),
        clock=clock,
        on_event=audit.record,
        broker_drops=broker_drops,
    )
    client = HttpsClient(collector=config.collector, environment=config.environment, clock=clock, audit=audit)
    stack.push_async_callback(client.close)
    uplink = PacedUplink(client=client, collector=config.collector, clock=clock, audit=audit)
    socket = config.signer_socket
    signer = SignerClient(socket, timeout_seconds=config.signer.timeout_seconds)
    stack.callback(signer.close)
    child = None
    if config.signer.spawn:
        child = SignerProcess(
            config_file=config_file,
            socket=socket,
            timeout_seconds=config.signer.timeout_seconds,
            on_event=audit.record,
        )
    context = SealContextSource(
        config_digest=configfile.digest(config),
        hash_alg=config.seal.hash_alg,
        policy=policy.digest,
        clock=clock,
        audit=audit,
        uplink=uplink,
    )
    return Parts(
        config=config,
        clock=clock,
        audit=audit,
        spool=spool,
        masker=masker,
        pseudonyms=pseudonyms,
        vault=_vault(config),
        router=router,
        source=source,
        losses=(source, router, broker_drops),
        signer=child,
        sealer=TokenSealer(signer=signer, context=context.now, audit=audit),
        uplink=uplink,
        own_masker=own_masker,
        records=OwnRecords(masker=own_masker, spool=spool, clock=clock),
        notifier=Notifier(),
        policy_digest=policy.digest,
    )


def _vault(config: Config) -> SealedVault | None:
    key = config.masking.operator_key
    return (
        SealedVault(config.state_directory / FOLDER, operator_key=key, max_bytes=config.store.max_bytes // 32)
        if key
        else None
    )


async def supervise(parts: Parts, stop: asyncio.Event) -> None:
    """Run all tasks until `stop`, then shut down upstream first. A task that fails takes all with it."""
    spool, audit = parts.spool, parts.audit
    refusals = RefusalSummary(audit=audit, clock=parts.clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(parts.signer.run(), name="signer")] if parts.signer else []
        tasks += [
            group.create_task(pipeline.submit(spool=spool, uplink=parts.uplink, audit=audit), name="submit"),
            group.create_task(pipeline.seal(spool=spool, sealer=parts.sealer, audit=audit), name="seal"),
            group.create_task(_heartbeat(parts), name="heartbeat"),
            group.create_task(_end_pseudonym_epochs(parts), name="pseudonyms"),
            group.create_task(_every_second(refusals.tick, audit.flush), name="audit"),
            group.create_task(parts.source.run(), name="mqtt"),
        ]
        await _record_start(parts)
        collecting = group.create_task(
            pipeline.collect(
                source=parts.source,
                router=parts.router,
                masker=parts.masker,
                spool=spool,
                audit=audit,
                losses=parts.losses,
                refusals=refusals,
                vault=parts.vault,
                largest_event_bytes=parts.config.collector.largest_event_bytes,
            ),
            name="collect",
        )
        parts.notifier.send(READY="1", STATUS="collecting")
        await stop.wait()
        parts.notifier.send(STOPPING="1")
        await _shut_down(parts, collecting, refusals)
        for task in (*tasks, collecting):
            task.cancel()


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
        if parts.spool.genesis or untold:
            await parts.records.write("genesis", device=parts.spool.device, epoch=parts.spool.epoch)
        await parts.records.write("start", **facts, software=inventory())
    _log.info("Collecting.", device=parts.spool.device, config=digest)


async def _heartbeat(parts: Parts) -> None:
    """Write an own record when nothing else was said, so that silence and absence differ."""
    said = -1
    while True:
        await asyncio.sleep(parts.config.seal.heartbeat_seconds)
        with suppress(TransientError):
            status = await parts.spool.status()
            if status.sealed == said or status.losses_pending:
                facts = heartbeat_facts(parts.uplink.state, parts.sealer.waiting, status)
                await parts.records.write("heartbeat", **facts, runs_overflowed=parts.router.overflowed)
            said = status.sealed


async def _end_pseudonym_epochs(parts: Parts) -> None:
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


async def _every_second(count: Callable[[], None], sync: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1.0)
        count()
        await asyncio.to_thread(sync)


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
