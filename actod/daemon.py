"""Builds the parts from the configuration, supervises them, and shuts them down.

Start: what lies downstream first, so that each stage finds its taker. Stop: upstream first, so that each drains into it:
stop reading, commit and acknowledge what was read, let the request in flight end, leave the queue on disk.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from actod import configfile
from actod.audit.log import AuditLog
from actod.collect.mqtt import MqttSource
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.config import Config
from actod.keys.client import SignerClient
from actod.keys.sealer import TokenSealer
from actod.keys.supervisor import SignerProcess
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.ports import Clock
from actod.service import keyfile
from actod.service.clock import SystemClock
from actod.service.notify import Notifier
from actod.service.records import OwnRecords
from actod.store.spool import SqliteSpool
from actod.submit.uplink import PatientUplink

_DRAIN_SECONDS = 6.0  # of the 20 that a stop may take: commit and acknowledge what was read
_FINISH_SECONDS = 6.0  # and end the request in flight
_LAST_RECORD_SECONDS = 3.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All that was built."""

    config: Config
    clock: Clock
    audit: AuditLog
    spool: SqliteSpool
    masker: PolicyMasker
    router: PayloadRouter
    source: MqttSource
    signer: SignerProcess | None
    sealer: TokenSealer
    uplink: PatientUplink
    records: OwnRecords
    notifier: Notifier


def describe(config: Config) -> Iterator[str]:
    """Say what would run, after checking all that can be checked without broker, token or server."""
    routes = Routes.compile(config.routes)
    Policy.compile(config.masking)
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
        parts = await build(config, config_file=config_file, stack=stack)
        try:
            await supervise(parts, stop)
        except BaseExceptionGroup as group:
            raise _first_of_ours(group) from group


async def build(config: Config, *, config_file: Path, stack: AsyncExitStack) -> Parts:
    """Make every part; what was opened is closed by the stack, newest first."""
    state = config.state_directory
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    audit = AuditLog(state / "audit", clock=clock, config=config.audit)
    stack.callback(audit.close)
    spool = await SqliteSpool.open(
        folder=state,
        seal=config.seal,
        store=config.store,
        clock=clock,
        witness=audit.witness,
        known=audit.last_checkpoint(),
        device_id=config.device.id,
    )
    stack.push_async_callback(spool.close)
    policy = Policy.compile(config.masking)
    masker = PolicyMasker(policy=policy, pseudonym_key=keyfile.read_or_make(state / "pseudonym.key"))
    routes = Routes.compile(config.routes)
    router = PayloadRouter(
        routes=routes,
        device=config.device,
        intake=config.intake,
        identities=spool.identities,
        digest_key=keyfile.read_or_make(state / "digest.key"),
        clock=clock,
    )
    source = MqttSource(
        mqtt=config.mqtt,
        intake=config.intake,
        subscriptions=routes.subscriptions(),
        clock=clock,
        on_event=audit.record,
    )
    socket = config.signer.socket or _runtime_folder(state) / "signer.sock"
    client = SignerClient(socket, timeout_seconds=config.signer.timeout_seconds)
    signer = SignerProcess(config_file=config_file, socket=socket, client=client, on_event=audit.record)
