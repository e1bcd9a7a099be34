"""Builds every part from the configuration: the only place that knows what implements the roles of `actod/ports.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from actod import configfile
from actod.audit.log import AuditLog
from actod.collect.broker_drops import BrokerDrops
from actod.collect.credentials import tls_context
from actod.collect.mqtt import MqttSource
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.config import Config
from actod.keys import uri
from actod.keys.client import SignerClient
from actod.keys.sealer import TokenSealer
from actod.keys.supervisor import SignerProcess
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.ports import Clock, LossCounter
from actod.secretfile import SecretFileError, read_secret
from actod.service import keyfile
from actod.service.clock import SystemClock
from actod.service.context import SealContextSource
from actod.service.folder import own_folder
from actod.service.notify import Notifier
from actod.service.pseudonyms import PseudonymEpochs
from actod.service.records import OwnRecords
from actod.service.watchdog import WatchedUplink
from actod.store.checkpoint import merged
from actod.store.spool import SqliteSpool
from actod.store.vault import FOLDER, SealedVault, read_operator_key
from actod.submit.https import HttpsClient
from actod.submit.uplink import PacedUplink


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
    context: SealContextSource
    attempts: WatchedUplink
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


def admit(config: Config) -> list[str]:
    """Say what would run; refuse what can be known to be wrong before anything is made. Raises ConfigError."""
    uri.parse(config.token.uri)  # first: what is described holds the URI, and must not hold a PIN
    described = list(describe(config))
    submit_client(config, clock=SystemClock(), audit=None)  # it opens nothing
    if config.mqtt.password_file:
        read_secret(config.mqtt.password_file, key="mqtt.password_file")
    if config.mqtt.tls:
        tls_context(config.mqtt)
    if config.signer.spawn:
        _admit_pin(config)
    return described


def _admit_pin(config: Config) -> None:
    """Refuse a PIN that others can read. One that is away may come: no collection waits for what a TPM unseals."""
    try:
        read_secret(config.token.pin_file, key="token.pin_file")
    except SecretFileError as exc:
        if exc.fault != "unreadable":
            raise


def submit_client(config: Config, *, clock: Clock, audit: AuditLog | None) -> HttpsClient:
    """Make what speaks to the collector, and check all that can be checked without it. Raises ConfigError."""
    return HttpsClient(collector=config.collector, environment=config.environment, clock=clock, audit=audit)


def attempt_seconds(config: Config) -> float:
    """Return how long one attempt at submission may take: two requests (a 401 may be the old key's), and their ends."""
    return 2 * config.collector.request_timeout_seconds + 30.0


async def build(config: Config, *, config_file: Path, stack: AsyncExitStack, notifier: Notifier) -> Parts:
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
    attempts = WatchedUplink(submit_client(config, clock=clock, audit=audit), limit_seconds=attempt_seconds(config))
    stack.push_async_callback(attempts.close)
    uplink = PacedUplink(client=attempts, collector=config.collector, clock=clock, audit=audit)
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
        context=context,
        attempts=attempts,
        notifier=notifier,
        policy_digest=policy.digest,
    )


def _vault(config: Config) -> SealedVault | None:
    key = config.masking.operator_key
    return (
        SealedVault(config.state_directory / FOLDER, operator_key=key, max_bytes=config.store.max_bytes // 32)
        if key
        else None
    )
