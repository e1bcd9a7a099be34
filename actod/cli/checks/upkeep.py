"""What must go on: the running daemon, credentials that are renewed, and somebody who is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from actod import __version__, beside
from actod.cli.checks.check import Check, Finding, doubt, ok, skip, trouble
from actod.cli.checks.site import Site
from actod.cli.state import NotRunningError
from actod.submit.ages import FILE as AGES
from actod.submit.ages import LIMIT_DAYS, WARN_SHARE, credential_files, known_since


def _daemon(site: Site) -> Finding:
    try:
        site.status()
    except NotRunningError as exc:
        return trouble(str(exc))
    return ok("it runs, and answers")


def _told(site: Site) -> dict[str, Any] | None:
    try:
        return site.status()
    except NotRunningError:
        return None


def _version(site: Site) -> Finding:
    status = _told(site)
    if status is None:
        return skip("no daemon runs")
    if status["version"] != __version__:
        return trouble(f"actod {status['version']} runs, and {__version__} is installed")
    return ok(f"actod {__version__} runs")


def _intake(site: Site) -> Finding:
    status = _told(site)
    if status is None:
        return skip("no daemon runs")
    if status["disk_refuses"]:
        return trouble(f"the disk refuses what comes in: {status['disk_refuses']}", "actod why")
    return ok("connected") if status["intake"] == "connected" else trouble(str(status["intake"]))


def _sealing(site: Site) -> Finding:
    status = _told(site)
    if status is None:
        return skip("no daemon runs")
    waits = status["sealing_waits_for"]
    return trouble(f"it waits for the token: {waits}") if waits else ok("it goes on")


def _submission(site: Site) -> Finding:
    status = _told(site)
    if status is None:
        return skip("no daemon runs")
    return ok("it goes on") if status["uplink"] == "ok" else trouble(str(status["uplink"]))


def _credential_age(site: Site) -> Finding:
    limit = LIMIT_DAYS[site.config.environment]
    since = known_since(site.config.state_directory / AGES)
    days = {
        key: (site.now - datetime.fromisoformat(since[key])).days for key in credential_files(site.config) if since.get(key)
    }
    if not days:
        return skip("no daemon with a synchronised clock has seen them yet")
    key = max(days, key=lambda key: days[key])
    scope = {"mqtt.password_file": "broker", "fleet.api_key_file": "fleet", "collector.monitor_api_key_file": "monitor"}
    detail, mend = f"{key}: {days[key]} of {limit} days", f"actod credentials rotate {scope.get(key, 'submit')} --new FILE"
    if min(days.values()) < 0:
        early = min(days, key=lambda key: days[key])
        return doubt(f"{early}: in use since {since[early][:10]}, by the clock to come", "timedatectl set-ntp true")
    if days[key] >= limit:
        return trouble(detail, mend)
    return doubt(detail, mend) if days[key] >= WARN_SHARE * limit else ok(detail)


def _alerts(site: Site) -> Finding:
    names = [alert.name for alert in site.config.alerts]
    return ok(", ".join(names)) if names else trouble("no [[alerts]]: nobody is told of what calls for a person")


def _channels(site: Site) -> Finding:
    webhooks = beside.webhooks(site.config)
    return ok(f"{len(webhooks)} channels: https, with usable secrets") if webhooks else skip("there is no channel")


def _monitoring(site: Site) -> Finding:
    metrics, fleet = site.config.metrics, site.config.fleet
    if metrics.listen or metrics.textfile:
        return ok(f"metrics at {metrics.listen or metrics.textfile}")
    if fleet.api_key_file is not None:
        return ok(f"the machine's health goes to the collector each {fleet.interval_seconds:g} s")
    return trouble("nobody sees how it fares: neither [metrics] nor [fleet]")


GROUP = "upkeep"
CHECKS = (
    Check(
        id="daemon",
        looks_at="whether a daemon answers at the control socket",
        run=_daemon,
        mend="systemctl start actod   # actod why reads how it ended",
        prod="warn",
    ),
    Check(
        id="daemon-version",
        looks_at="whether the daemon that runs is the one that is installed",
        run=_version,
        mend="systemctl restart actod",
        prod="warn",
        needs=("daemon",),
    ),
    Check(
        id="intake",
        looks_at="whether the daemon takes messages: broker connected, disk not refusing",
        run=_intake,
        mend="actod check --only broker   # then journalctl -u actod -x",
        needs=("daemon",),
    ),
    Check(
        id="sealing",
        looks_at="whether bundles are signed, or wait for the token",
        run=_sealing,
        mend="actod check --only token",
        needs=("daemon",),
    ),
    Check(
        id="submission",
        looks_at="whether bundles leave, or what blocks them",
        run=_submission,
        mend="actod why",
        needs=("daemon",),
    ),
    Check(
        id="credential-age",
        looks_at="days since API keys and the broker's password changed: 30 in prod, else 90; a warning from 80 % on",
        run=_credential_age,
        mend="actod credentials rotate submit --new FILE",
        prod="warn",
    ),
    Check(
        id="alerts",
        looks_at="whether anybody is told of what calls for a person",
        run=_alerts,
        mend="actod alert test NAME   # after [[alerts]]: docs/alerts.md",
        elsewhere="ok",
        prod="warn",
    ),
    Check(
        id="alert-channels",
        looks_at="each channel of alerts: https, URL and secret in files that only we can read",
        run=_channels,
        mend="actod alert test NAME",
        needs=("alerts",),
        elsewhere="fail",
    ),
    Check(
        id="monitoring",
        looks_at="whether somebody sees how it fares: metrics, or reports of the machine's health",
        run=_monitoring,
        mend='systemctl restart actod   # after listen = "127.0.0.1:9464" in [metrics]: docs/monitoring.md',
        elsewhere="ok",
        prod="warn",
    ),
)
