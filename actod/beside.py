"""Builds what runs beside the line, and what it needs of the line: alerts and reports of health."""

from __future__ import annotations

from functools import partial

from actod.config import Config
from actod.ports import AuditLog
from actod.service.battery import BatteryWatch
from actod.service.vitals import Vitals
from actod.store.spool import SqliteSpool
from actod.submit.credentials import CredentialFile, api_key_file, keep_apart
from actod.submit.current import CurrentClient
from actod.submit.endpoint import check_proxy, host_of
from actod.submit.fleet import FleetReporter
from actod.submit.uplink import PacedUplink
from actod.submit.webhook import HttpsWebhook

MONITOR, FLEET = "collector.monitor_api_key_file", "fleet.api_key_file"


def admit(config: Config) -> None:
    """Refuse what can be known to be wrong. Raises ConfigError."""
    webhooks(config)
    scope_keys(config)
    if config.fleet.api_key_file is not None:
        Vitals(config.state_directory)


def webhooks(config: Config) -> list[HttpsWebhook]:
    """Return the channels of alerts. Raises ConfigError."""
    proxy = check_proxy(config.collector.proxy)
    return [HttpsWebhook(channel, proxy=proxy) for channel in config.alerts]


def scope_keys(config: Config) -> dict[str, CredentialFile]:
    """Return the API keys beside the one that submits, by the configuration keys that name their files.

    Raises ConfigError if one is not usable, or if two of all of them are the same.
    """
    host, environment = host_of(config.collector.url), config.environment
    files = {
        "collector.api_key_file": config.collector.api_key_file,
        MONITOR: config.collector.monitor_api_key_file,
        FLEET: config.fleet.api_key_file,
    }
    named = {key: path for key, path in files.items() if path is not None}
    if len(named) == 1:
        return {}  # whoever submits reads that one
    keys = {key: api_key_file(path, key=key, environment=environment, host=host) for key, path in named.items()}
    keep_apart(*keys.values())
    return {key: file for key, file in keys.items() if key in {MONITOR, FLEET}}


def fleet_reporter(
    config: Config,
    *,
    api_key: CredentialFile | None,
    current: CurrentClient,
    uplink: PacedUplink,
    spool: SqliteSpool,
    battery: BatteryWatch,
    audit: AuditLog,
) -> FleetReporter | None:
    """Return what reports the machine's health, None where no key is named for it. Raises ConfigError."""
    if api_key is None:
        return None
    vitals = Vitals(config.state_directory)
    return FleetReporter(
        client=lambda: current.client,
        api_key=api_key,
        device=spool.device,
        proofs_flow=lambda: uplink.state == "ok",
        health=lambda: {**vitals.read(), **battery.read()},
        counters=partial(_counters, spool),
        audit=audit,
        interval_seconds=config.fleet.interval_seconds,
    )


async def _counters(spool: SqliteSpool) -> dict[str, int | float]:
    """Return actod's own numbers for a report of health."""
    status = await spool.status()
    return {
        "actod_acknowledged": status.acknowledged,
        "actod_journal_messages": status.journal_messages,
        "actod_outbox_bundles": status.outbox_bundles,
        "actod_outbox_oldest_seconds": int(status.outbox_oldest_seconds or 0),
        "actod_quarantined_bundles": status.quarantined_bundles,
        "actod_submitted": status.submitted,
        "actod_losses_pending": sum(status.losses_pending.values()),
    }
