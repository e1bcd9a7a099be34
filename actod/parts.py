"""Builds every part from the configuration: the only place that knows what implements the roles of `actod/ports.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from actod import beside, configfile
from actod.audit.files import holds
from actod.audit.log import AuditLog
from actod.audit.retention import Retention
from actod.collect.admission import IntakeAdmission
from actod.collect.broker_drops import BrokerDrops
from actod.collect.contents import FOLDER as CONTENTS
from actod.collect.contents import Contents
from actod.collect.mqtt import MqttSource
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.config import Config
from actod.errors import TransientError
from actod.keys.client import SignerClient
from actod.keys.life import KeyLife
from actod.keys.listing import max_age_days
from actod.keys.ring import KeyRing, last_used_key
from actod.keys.sealer import TokenSealer
from actod.keys.supervisor import SignerProcess
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.ports import Clock, LossCounter, Masker
from actod.service import keyfile
from actod.service.alerts import Alerts
from actod.service.battery import BatteryWatch
from actod.service.clock import SystemClock
from actod.service.context import SealContextSource
from actod.service.disk import require_lasting
from actod.service.environment import hold_to_environment
from actod.service.events import EventTally
from actod.service.folder import own_folder
from actod.service.machine import host_facts
from actod.service.notify import Notifier
from actod.service.pseudonyms import PseudonymEpochs
from actod.service.records import OwnRecords
from actod.store.checkpoint import merged
from actod.store.spool import SqliteSpool
from actod.store.vault import FOLDER, SealedVault
from actod.submit.ages import FILE as AGES_FILE
from actod.submit.ages import CredentialAges, credential_files
from actod.submit.credentials import CredentialFile
from actod.submit.current import CurrentClient
from actod.submit.fleet import FleetReporter
from actod.submit.hold import Hold
from actod.submit.https import HttpsClient
from actod.submit.memory import FILE as SUBMIT_FILE
from actod.submit.tls import CollectorTls
from actod.submit.uplink import PacedUplink
from actod.submit.wire import Wire

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All that was built."""

    config: Config
    clock: Clock
    audit: AuditLog
    retention: Retention
    audit_cut: int  # the line that the store was told of last, where the log does not hold it; else 0
    spool: SqliteSpool
    masker: PolicyMasker
    own_masker: PolicyMasker
    pseudonyms: PseudonymEpochs
    vault: SealedVault | None
    router: PayloadRouter
    admission: IntakeAdmission
    source: MqttSource
    losses: tuple[LossCounter, ...]
    signer: SignerProcess | None
    signer_client: SignerClient  # not the sealer's: may choose another key, and is not held up by its requests
    sealer: TokenSealer
    current: CurrentClient
    context: SealContextSource
    key_life: KeyLife
    hold: Hold
    uplink: PacedUplink
    ages: CredentialAges
    alerts: Alerts
    events: EventTally  # in front of the alerts
    fleet: FleetReporter | None
    scope_keys: Mapping[str, CredentialFile]  # beside the one that submits
    collecting_masker: Masker  # the masker above, watched for the battery's charge where that is reported
    records: OwnRecords
    notifier: Notifier
    policy_digest: str

    @property
    def refused(self) -> str:
        """Return why nothing more is written: the disk's reason, or that the audit log waits for a receipt; else ""."""
        try:
            self.audit.require_room()
        except TransientError as exc:
            return exc.reason
        return self.spool.refused

    @property
    def tls(self) -> CollectorTls:
        """Return what is in force for connections to the collector."""
        return self.current.tls

    @property
    def client(self) -> HttpsClient:
        """Return the client in force."""
        return self.current.client


def collector_client(
    config: Config, *, clock: Clock, audit: AuditLog, hold: Hold, wire: Wire | None = None
) -> tuple[HttpsClient, CollectorTls]:
    """Make what speaks to the collector. Raises ConfigError."""
    collector, environment = config.collector, config.environment
    tls = CollectorTls(collector=collector, clock=clock, audit=audit, state_directory=config.state_directory)
    client = HttpsClient(
        collector=collector, environment=environment, clock=clock, audit=audit, tls=tls, hold=hold, wire=wire
    )
    return client, tls


async def build(config: Config, *, config_file: Path, stack: AsyncExitStack, notifier: Notifier) -> Parts:
    """Make every part; what was opened is closed by the stack, newest first."""
    state, clock = config.state_directory, SystemClock()
    own_folder(state)
    require_lasting(state, environment=config.environment, allowed=config.store.allow_volatile)
    hold_to_environment(state, config.environment)
    alerts = Alerts(webhooks=beside.webhooks(config), environment=config.environment, clock=clock)
    events = EventTally(alerts)
    audit = _audit_log(config, clock=clock, alerts=events, stack=stack)
    spool = await _store(config, clock=clock, audit=audit, stack=stack)
    alerts.device = spool.device
    audit_cut = await asyncio.to_thread(_audit_cut, audit, spool)
    if changed := await spool.claim(host_facts(state)):
        audit.record("store.host_changed", changed=changed, epoch=spool.epoch)
    pseudonyms = PseudonymEpochs(state / "pseudonym.key", clock=clock, days=config.masking.pseudonym_epoch_days)
    policy = Policy.compile(config.masking)
    masker, own_masker = (PolicyMasker(policy=policy, pseudonym_key=pseudonyms.key) for _ in range(2))
    digest_key = keyfile.read_or_make(state / "digest.key")
    source, router, admission, broker_drops = _collecting(
        config, clock=clock, audit=audit, spool=spool, digest_key=digest_key
    )
    hold = Hold(state)
    current, uplink = await _submitting(config, clock=clock, audit=audit, hold=hold, spool=spool, stack=stack)
    context = SealContextSource(
        config_digest=configfile.digest(config),
        hash_alg=config.seal.hash_alg,
        policy=policy.digest,
        clock=clock,
        audit=audit,
        uplink=uplink,
    )
    records = OwnRecords(masker=own_masker, spool=spool, clock=clock)
    sealer, signer_client, key_life = _sealing(
        config, clock=clock, audit=audit, spool=spool, context=context, records=records, stack=stack
    )
    scope_keys = beside.scope_keys(config)
    battery = BatteryWatch(masker, fleet=config.fleet, clock=clock)
    return Parts(
        config=config,
        clock=clock,
        audit=audit,
        retention=Retention(audit, config=config.audit_within_share),
        audit_cut=audit_cut,
        spool=spool,
        masker=masker,
        own_masker=own_masker,
        pseudonyms=pseudonyms,
        vault=_vault(config),
        router=router,
        admission=admission,
        source=source,
        losses=(source, router, broker_drops, admission),
        signer=_signer_process(config, config_file=config_file, audit=audit),
        signer_client=signer_client,
        sealer=sealer,
        current=current,
        context=context,
        key_life=key_life,
        hold=hold,
        uplink=uplink,
        ages=_ages(config, digest_key=digest_key, audit=audit),
        alerts=alerts,
        events=events,
        fleet=beside.fleet_reporter(
            config,
            api_key=scope_keys.get(beside.FLEET),
            current=current,
            uplink=uplink,
            spool=spool,
            battery=battery,
            audit=audit,
        ),
        scope_keys=scope_keys,
        collecting_masker=battery if config.fleet.battery_route else masker,
        records=records,
        notifier=notifier,
        policy_digest=policy.digest,
    )


def _audit_log(config: Config, *, clock: Clock, alerts: EventTally, stack: AsyncExitStack) -> AuditLog:
    limits, share = config.audit_within_share, config.store.shares.audit
    audit = AuditLog(config.state_directory / "audit", clock=clock, config=limits, alerts=alerts, share_bytes=share)
    stack.callback(audit.close)
    return audit


async def _store(config: Config, *, clock: Clock, audit: AuditLog, stack: AsyncExitStack) -> SqliteSpool:
    spool = await SqliteSpool.open(
        folder=config.state_directory,
        seal=config.seal,
        store=config.store,
        clock=clock,
        witness=audit.witness,
        known=merged(audit.lines(back_to="device")),  # which stands in a full checkpoint only
        device_id=config.device.id,
    )
    stack.push_async_callback(spool.close)
    return spool


def _collecting(
    config: Config, *, clock: Clock, audit: AuditLog, spool: SqliteSpool, digest_key: bytes
) -> tuple[MqttSource, PayloadRouter, IntakeAdmission, BrokerDrops]:
    state, routes, broker_drops = config.state_directory, Routes.compile(config.routes), BrokerDrops()
    router = PayloadRouter(
        routes=routes,
        device=config.device,
        intake=config.intake,
        identities=dict(spool.identities),
        digest_key=digest_key,
    )
    admission = IntakeAdmission(
        config=config,
        routes=routes,
        router=router,
        broker_drops=broker_drops,
        contents=Contents(state / CONTENTS, max_bytes=config.store.shares.contents, on_event=audit.record),
        clock=clock,
        digest_key=digest_key,
        memory=spool.memory,
        on_event=audit.record,
    )
    source = MqttSource(
        mqtt=config.mqtt,
        intake=config.intake,
        subscriptions=routes.subscriptions(),
        clock=clock,
        on_event=audit.record,
        broker_drops=broker_drops,
        describe=routes.describe,
        had_session=bool(spool.memory),
    )
    return source, router, admission, broker_drops


async def _submitting(
    config: Config, *, clock: Clock, audit: AuditLog, hold: Hold, spool: SqliteSpool, stack: AsyncExitStack
) -> tuple[CurrentClient, PacedUplink]:
    client, tls = collector_client(config, clock=clock, audit=audit, hold=hold)
    current = CurrentClient(client, tls, request_timeout_seconds=config.collector.request_timeout_seconds)
    stack.push_async_callback(current.close)
    file = config.state_directory / SUBMIT_FILE
    uplink = PacedUplink(client=current, collector=config.collector, clock=clock, audit=audit, hold=hold, file=file)
    stack.callback(uplink.close)
    if uplink.lowered_bytes is not None:
        await spool.limit(uplink.lowered_bytes)
    return current, uplink


def _sealing(
    config: Config,
    *,
    clock: Clock,
    audit: AuditLog,
    spool: SqliteSpool,
    context: SealContextSource,
    records: OwnRecords,
    stack: AsyncExitStack,
) -> tuple[TokenSealer, SignerClient, KeyLife]:
    sealers, signer_client = (
        SignerClient(config.signer_socket, timeout_seconds=config.signer.timeout_seconds) for _ in range(2)
    )
    stack.callback(sealers.close)
    stack.callback(signer_client.close)
    ring = KeyRing(
        config.state_directory,
        signer=sealers,
        audit=audit,
        clock=clock,
        last_used=lambda: last_used_key(audit.lines()),
    )
    key_life = KeyLife(
        ring=ring, signer=signer_client, chain=spool, records=records, audit=audit, max_age_days=max_age_days(config)
    )
    return TokenSealer(signer=sealers, ring=ring, context=context.now, audit=audit), signer_client, key_life


def _signer_process(config: Config, *, config_file: Path, audit: AuditLog) -> SignerProcess | None:
    if not config.signer.spawn:
        return None
    timeout_seconds = config.signer.timeout_seconds
    return SignerProcess(
        config_file=config_file, socket=config.signer_socket, timeout_seconds=timeout_seconds, on_event=audit.record
    )


def _ages(config: Config, *, digest_key: bytes, audit: AuditLog) -> CredentialAges:
    return CredentialAges(
        config.state_directory / AGES_FILE,
        files=credential_files(config),
        digest_key=digest_key,
        environment=config.environment,
        audit=audit,
    )


def _audit_cut(audit: AuditLog, spool: SqliteSpool) -> int:
    """Hold the audit log against what the store was told of last; return that line's number where it is gone, else 0."""
    n, mark = spool.heard
    if not n or holds(audit.folder, n=n, mark=mark):
        return 0
    audit.record("audit.cut", told_n=n)
    _log.error("The audit log lost lines that were on disk: it was cut, written anew, or damaged.", told_n=n)
    return n


def _vault(config: Config) -> SealedVault | None:
    key = config.masking.operator_key
    return (
        SealedVault(config.state_directory / FOLDER, operator_key=key, max_bytes=config.store.shares.vault) if key else None
    )
