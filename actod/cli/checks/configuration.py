"""The configuration: whether it would be taken, and what in it is weaker than it could be."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

from actod import configfile, dryrun, facts
from actod.cli.checks.check import Check, Finding, ok, trouble
from actod.cli.checks.site import Site
from actod.cli.mask import search
from actod.collect.routes import Routes
from actod.config import Config, LimitConfig, MaskingConfig
from actod.errors import ConfigError
from actod.keys import uri
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.service.environment import hold_to_environment
from actod.submit.endpoint import is_loopback

MEASURED = "0.02 %"  # docs/masking.md, Measuring: what the masker leaves of a corpus of made-up messages
_SERVERS_REQUESTS_PER_SECOND = 5.0  # it answers 500 beyond
_CREDENTIAL = re.compile(rb'"credential:[A-Za-z0-9._-]+"')  # the name of a secret that lies elsewhere
_OTHERS_MAY_WRITE = 0o022


def _configuration(site: Site) -> Finding:
    uri.parse(site.config.token.uri)
    list(dryrun.describe(site.config))
    return ok(f"{site.file} is valid, sha256 {configfile.digest(site.config)}")


def _secrets(site: Site) -> Finding:
    """Search the configuration's files with the detectors that mask telemetry."""
    files = configfile.files(site.file)
    masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=secrets.token_bytes(32))
    for one in files:
        for place, decision in search(masker, _CREDENTIAL.sub(b'""', one.read_bytes()), profile="secrets-only"):
            return trouble(f"{one}, line {place.rstrip(':') or '?'}: looks like a secret ({decision.type})")
    return ok(f"{len(files)} files searched")


def _files(site: Site) -> Finding:
    places = {place for file in configfile.files(site.file) for place in (file, file.parent)}
    for place in sorted(places):
        seen = place.stat()
        if seen.st_mode & _OTHERS_MAY_WRITE and not seen.st_mode & 0o1000:
            return trouble(f"{place}, mode {seen.st_mode & 0o7777:04o}: others can change it", f"chmod go-w {place}")
    return ok(f"{len(places)} files and folders, written by their owner alone")


def _environment(site: Site) -> Finding:
    folder = site.config.state_directory
    if not (folder / "environment").exists():
        return ok(f"{site.config.environment}; the state folder knows none yet")
    hold_to_environment(folder, site.config.environment)
    return ok(f"{site.config.environment}, as the state folder")


def _limits(site: Site) -> Finding:
    config = site.config
    if not config.intake.limits or not config.collector.budgets:
        off = "intake.limits" if not config.intake.limits else "collector.budgets"
        return trouble(f"{off} is false: a flood is not stopped", f"actod reload   # after {off} = true in {site.file}")
    rate = config.collector.requests_per_second
    if rate > _SERVERS_REQUESTS_PER_SECOND:
        return trouble(
            f"collector.requests_per_second is {rate:g}: the server allows {_SERVERS_REQUESTS_PER_SECOND:g}, and answers "
            "500 beyond",
            f"actod reload   # after collector.requests_per_second = 4.0 in {site.file}",
        )
    largest = max(_per_second(config))
    return ok(f"at most {largest} messages and {rate:g} requests a second, {config.store.max_bytes // 2**20} MiB on disk")


def _per_second(config: Config) -> Iterator[int]:
    limits: list[LimitConfig] = [config.intake.robot_limit, *(route.limit for route in config.routes)]
    return (limit.per_second for limit in limits)


def _masking(site: Site) -> Finding:
    profiles = {route.name: route.mask_profile for route in Routes.compile(site.config.routes)}
    where = ", ".join(f"{name} {profile}" for name, profile in profiles.items())
    weak = [f"route {name} masks secrets only" for name, profile in profiles.items() if profile == "secrets-only"]
    kept = [rule for rule in site.config.masking.rules if rule.operator == "keep"]
    weak += [f"a rule keeps {rule.type or 'everything'} at {rule.path or 'every place'}" for rule in kept]
    detail = f"{where}; of made-up messages {MEASURED} of the values leak"
    if weak:
        return trouble(f"{'; '.join(weak)} ({detail})")
    return ok(detail)


def _device_id(site: Site) -> Finding:
    config = site.config
    own = _facts(site)
    if config.device.id and not any(fact in config.device.id for fact in own):
        return trouble(
            f"device.id is {config.device.id!r}: each robot with this file has the same",
            f'actod run --dry-run   # after removing device.id, or id = "amr-{{machine_id}}", in {site.file}',
        )
    if not is_loopback(config.mqtt.host) and not any(fact in config.mqtt.client_id for fact in own):
        return trouble(
            f"mqtt.client_id is {config.mqtt.client_id!r}, and the broker is not this robot's: robots with one name take "
            "the session from each other",
            f'actod run --dry-run   # after client_id = "actod-{{machine_id}}" in {site.file}',
        )
    return ok(f"device {config.device.id or 'drawn at genesis'}, broker's client {config.mqtt.client_id}")


def _facts(site: Site) -> list[str]:
    """Return what is this machine's alone."""
    found = []
    for fact in ("{machine_id}", "{hostname}"):
        try:
            text = facts.fill_in(fact, key="mqtt.client_id", file="", machine_id_file=site.path("etc/machine-id"))
        except ConfigError:
            continue
        if text:
            found.append(text)
    return found


def _machine_id(site: Site) -> Finding:
    text = site.text("etc/machine-id").strip()
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        return trouble(
            f"/etc/machine-id holds {text[:16]!r}: a cloned card is not told from its original, {{machine_id}} has no value"
        )
    return ok("this machine has an id of its own")


GROUP = "configuration"
CHECKS = (
    Check(
        id="configuration-valid",
        looks_at="whether the daemon would take it: token's URI, routes, masking policy",
        run=_configuration,
        mend="actod run --dry-run",
        elsewhere="fail",
    ),
    Check(
        id="configuration-secrets",
        looks_at="secrets that were written into its files, found by the detectors that mask telemetry",
        run=_secrets,
        mend="install -m 0600 /dev/stdin FILE   # put it there, name FILE in its place, and change the secret",
        elsewhere="fail",
    ),
    Check(
        id="configuration-files",
        looks_at="whether others than their owner can change its files and folders",
        run=_files,
        mend="chmod go-w FILE",
    ),
    Check(
        id="environment",
        looks_at="whether the state folder was made in this environment",
        run=_environment,
        mend="install -d -m 0700 -o actod FOLDER   # and name it as state_directory",
        elsewhere="fail",
    ),
    Check(
        id="limits",
        looks_at="limits of intake, requests and disk: in force, and below the server's",
        run=_limits,
        mend="actod reload",
        prod="warn",
    ),
    Check(
        id="masking",
        looks_at="which profile applies where; profile secrets-only and keep rules are named; the measured figure",
        run=_masking,
        needs=("configuration-valid",),
        mend="actod mask --explain --profile balanced < messages.jsonl   # and keep one type at one path: docs/masking.md",
        prod="warn",
    ),
    Check(
        id="device-id",
        looks_at="whether the names of the robot are its own: drawn, or from facts of the machine",
        run=_device_id,
        mend="actod run --dry-run",
        prod="warn",
    ),
    Check(
        id="machine-id",
        looks_at="/etc/machine-id: names, and how a cloned card is known, come from it",
        run=_machine_id,
        mend="systemd-machine-id-setup",
    ),
)
