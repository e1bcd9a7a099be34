"""`actod check`: what is wrong, and the command that mends it, before a robot finds out."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import functools
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actod import configfile, parts
from actod.audit.verify import verify_log
from actod.cli.mask import search
from actod.cli.state import add_config_argument
from actod.collect.credentials import tls_context
from actod.collect.probe import probe_broker
from actod.config import Config, LogConfig, MaskingConfig
from actod.errors import EXIT_FAILED, ActodError, ConfigError, RejectedError, TransientError
from actod.keys import lockout, uri
from actod.keys.enquiry import ask_keys
from actod.keys.listing import age_days, max_age_days
from actod.keys.remedies import remedy
from actod.keys.ring import read_state
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.proof.envelope import iso
from actod.secretfile import read_secret
from actod.service import log
from actod.service.clock import SystemClock
from actod.service.disk import disk_of
from actod.service.folder import check_folder
from actod.store.inspection import inspect
from actod.store.schema import DATABASE_NAME
from actod.submit.credentials import api_key_file
from actod.submit.endpoint import host_of
from actod.submit.https import HttpsClient
from actod.submit.tls import CollectorTls
from actod.submit.verdict import VERDICTS

_CREDENTIAL = re.compile(rb'"credential:[A-Za-z0-9._-]+"')  # the name of a secret that lies elsewhere
_BROKER_REMEDIES = {
    "unreachable": "start the broker, and check mqtt.host and mqtt.port; under TLS mqtt.ca_file must hold its CA",
    "refused": "check mqtt.username, mqtt.password_file and the broker's access list",
    "no_answer": "check that mqtt.port speaks MQTT 5, and with TLS if mqtt.tls is set",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One check: level is ok, warn or fail; a remedy stands beside everything that is not ok."""

    name: str
    level: str
    detail: str
    remedy: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the root parser."""
    parser = subparsers.add_parser(
        "check",
        help="test configuration, token, broker, server and permissions",
        epilog="Exit codes: 0 all is well (warnings allowed), 1 something fails, 78 the configuration is refused.",
    )
    add_config_argument(parser)
    parser.add_argument("--offline", action="store_true", help="leave out broker and server")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run all checks; each prints its line as it ends."""
    config = configfile.load(args.config)
    log.configure(LogConfig(level="error"))  # the checks' own lines say it
    failed = False
    for line in checks(config, args.config, offline=args.offline):
        failed = failed or line.level == "fail"
        if args.json:
            print(json.dumps(dataclasses.asdict(line)), flush=True)
        else:
            remedy = f"\n        mend: {line.remedy}" if line.remedy else ""
            print(f"{line.level:5} {line.name}: {line.detail}{remedy}", flush=True)
    return EXIT_FAILED if failed else 0


def checks(config: Config, file: Path, *, offline: bool) -> Iterator[Line]:
    """Run the checks, and yield the line of each as it ends."""
    refused: set[str] = set()  # keys whose file or text is refused: what needs them is not asked
    for key, line in (("token.uri", _configuration(config, file)), *_secrets(config, file)):
        if line.level == "fail":
            refused.add(key)
        yield line
    yield _guarded("no secret in configuration", file, lambda: _no_secret(file))
    yield _guarded("state folder", file, lambda: _state_folder(config))
    yield _unless(refused, "token", {"token.uri", "token.pin_file"}) or _token(config, file)
    if any(word in config.token.uri for word in ("tpm2", "TPM2")):
        yield _lockout()
    yield _guarded("key age", file, lambda: _key_age(config))
    if not offline:
        yield _unless(refused, "broker", {"mqtt.password_file"}) or _guarded("broker", file, lambda: _broker(config))
        keys = {"collector.api_key_file", "collector.wallet_file"}
        yield _unless(refused, "server", keys) or _guarded("server", file, lambda: asyncio.run(_server(config)))
    yield _guarded("audit log", file, lambda: _audit(config))
    yield _guarded("store", file, lambda: _store(config))
    yield _clock()


def _guarded(name: str, file: Path, check: Callable[[], Line]) -> Line:
    """Make a line of what a check raises: one that fails must not keep the others from being made."""
    try:
        return check()
    except ConfigError as exc:
        where = configfile.located(exc, file)
        found = f", found {where.found}" if where.found else ""
        return Line(name, "fail", f"{where.file}: {where.key}: expected {where.expected}{found}", where.fix)
    except ActodError as exc:
        return Line(name, "fail", str(exc), "see above")
    except OSError as exc:
        return Line(name, "fail", f"{exc.filename or name}: {exc.strerror}", "run this as the user of actod")


def _unless(refused: set[str], name: str, keys: set[str]) -> Line | None:
    """Return a line for what cannot be asked because of what was refused above, if anything."""
    needed = sorted(refused & keys)
    return Line(name, "warn", f"not asked: {', '.join(needed)} is refused", "mend that first") if needed else None


def _configuration(config: Config, file: Path) -> Line:
    def check() -> Line:
        uri.parse(config.token.uri)
        list(parts.describe(config))
        return Line("configuration", "ok", f"{file} is valid, sha256 {configfile.digest(config)}")

    return _guarded("configuration", file, check)


def _no_secret(file: Path) -> Line:
    """Search the configuration's files with the detectors that mask telemetry."""
    name, files = "no secret in configuration", configfile.files(file)
    masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=secrets.token_bytes(32))
    for one in files:
        for place, decision in search(masker, _CREDENTIAL.sub(b'""', one.read_bytes()), profile="secrets-only"):
            detail = f"{one}, line {place.rstrip(':') or '?'}: looks like a secret ({decision.type})"
            return Line(name, "fail", detail, "move it to a file of mode 0600, name that file's path, and change the secret")
    return Line(name, "ok", f"{len(files)} files searched")


def _state_folder(config: Config) -> Line:
    folder = config.state_directory
    if not folder.exists():
        return Line("state folder", "warn", f"{folder} is not there yet", f"install -d -m 0700 -o $(id -un) {folder}")
    check_folder(folder)
    free = os.statvfs(folder)
    disk = disk_of(folder)
    crypt = {True: "encrypted", False: "not encrypted", None: "encryption unknown"}[disk.encrypted]
    detail = f"{folder}, mode 0700, {free.f_bavail * free.f_frsize // 2**20} MiB free, {disk.kind}, {crypt}"
    trouble, mend = disk.trouble
    if trouble:
        return Line("state folder", "fail", f"{detail}, {trouble}", mend)
    if disk.volatile:
        level = "fail" if config.environment == "prod" and not config.store.allow_volatile else "warn"
        return Line("state folder", level, f"{detail}: {disk.volatile}", "put state_directory on a disk or a volume")
    if disk.encrypted is not True and config.environment == "prod":
        level = "warn" if disk.encrypted is None else "fail"
        return Line("state folder", level, detail, "put state_directory on an encrypted disk (LUKS)")
    return Line("state folder", "ok", detail)


def _secrets(config: Config, file: Path) -> Iterator[tuple[str, Line]]:
    files = {
        "token.pin_file": config.token.pin_file if config.signer.spawn else None,  # else it is the signer's unit's alone
        "collector.api_key_file": config.collector.api_key_file,
        "collector.wallet_file": config.collector.wallet_file,
        "collector.monitor_api_key_file": config.collector.monitor_api_key_file,
        "fleet.api_key_file": config.fleet.api_key_file,
        "mqtt.password_file": config.mqtt.password_file,
    }
    for key, path in files.items():
        if path is not None:
            yield key, _guarded(f"secret {key}", file, functools.partial(_secret, config, key, path))


def _secret(config: Config, key: str, path: Path) -> Line:
    if key.endswith("api_key_file"):
        host = host_of(config.collector.url)
        api_key_file(path, key=key, environment=config.environment, host=host)
    else:
        read_secret(path, key=key)
    return Line(f"secret {key}", "ok", f"{path}, mode {path.stat().st_mode & 0o777:04o}")


def _token(config: Config, file: Path) -> Line:
    try:
        keys = asyncio.run(ask_keys(config, config_file=file))
        state = read_state(config.state_directory)
    except (TransientError, RejectedError) as exc:
        return Line("token", "fail", str(exc), remedy(exc.reason))
    current = state.current.ed25519 if state and state.current else keys[-1].ed25519_thumbprint
    for key in keys:
        if key.ed25519_thumbprint == current:
            return Line("token", "ok", f"{key.kind} key {current}")
    return Line("token", "fail", f"the key in use, {current}, is not on this token", remedy("key_gone"))


def _lockout() -> Line:
    """Say how near the TPM is to locking itself: each wrong PIN counts, and each power cut."""
    protection = lockout.ask_tpm()
    if protection is None:
        return Line(
            "tpm lockout", "warn", "not known: the TPM does not answer tpm2_getcap", "install tpm2-tools, run as root"
        )
    failures, most = protection.failures, protection.most
    detail = f"{failures} failures of {most} count, one is forgiven every {protection.interval_seconds} s"
    if protection.locked:
        return Line(
            "tpm lockout", "fail", f"{detail}: locked for at most {protection.seconds_left:.0f} s", remedy("pin_locked")
        )
    if 2 * failures >= most:
        return Line("tpm lockout", "warn", detail, "stop the robot in order: an unclean stop counts as a wrong PIN")
    return Line("tpm lockout", "ok", detail)


def _key_age(config: Config) -> Line:
    state = read_state(config.state_directory)
    if state is None or state.current is None:
        return Line("key age", "ok", "no key was in use yet")
    days, allowed = age_days(state.since, iso(SystemClock().now().wall_ns)), max_age_days(config)
    detail = f"in use for {days if days is not None else '?'} of {allowed} days"
    if state.pending is not None:
        return Line("key age", "warn", f"a {state.pending.statement.purpose} is under way", remedy("key_change_pending"))
    if days is None or days >= allowed:
        return Line("key age", "warn", detail, "actod keys rotate")
    return Line("key age", "ok", detail)


def _broker(config: Config) -> Line:
    where = f"{config.mqtt.host}:{config.mqtt.port}"
    if config.mqtt.tls:
        tls_context(config.mqtt)
    try:
        detail = probe_broker(config.mqtt)
    except TransientError as exc:
        return Line("broker", "fail", f"{where}: {exc}", _BROKER_REMEDIES.get(exc.reason, "see the broker's log"))
    return Line("broker", "ok", f"{where} accepts MQTT 5, {detail}")


async def _server(config: Config) -> Line:
    clock = SystemClock()
    tls = CollectorTls(collector=config.collector, clock=clock, state_directory=config.state_directory, writes=False)
    client = HttpsClient(collector=config.collector, environment=config.environment, clock=clock, tls=tls)
    try:
        status = await client.health()
    except TransientError as exc:
        what = VERDICTS[exc.reason].remedy if exc.reason in VERDICTS else "see the log"
        return Line("server", "fail", f"{config.collector.url}: {exc.reason}", what)
    finally:
        await client.close()
    if status != 200:  # noqa: PLR2004 - OK
        return Line("server", "fail", f"{config.collector.url}/health answers {status}", "check collector.url")
    if tls.guard.report_only:
        detail, end = f"{config.collector.url} answers; pins only report", config.collector.pins_report_only_until
        return Line("server", "warn", detail, f"compare pins.would_refuse in the audit log with collector.pins before {end}")
    pins = f"; pin set {tls.pin_set.version}, until {tls.pin_set.expires:%Y-%m-%d}" if tls.pin_set is not None else ""
    return Line("server", "ok", f"{config.collector.url} answers under a pinned key{pins}")


def _audit(config: Config) -> Line:
    folder = config.state_directory / "audit"
    if not folder.exists():
        return Line("audit log", "ok", "there is none yet")
    report = verify_log(folder)
    if report.problem:
        detail = f"{report.file}, line {report.line}: {report.problem}"
        return Line("audit log", "fail", detail, "treat it as an incident: keep a copy of the folder before anything else")
    return Line("audit log", "ok", f"{report.lines} lines, no line was changed")


def _store(config: Config) -> Line:
    if not (config.state_directory / DATABASE_NAME).exists():
        return Line("store", "ok", "there is none yet")
    try:
        with inspect(config.state_directory) as store:
            status = store.status(wall_ns=SystemClock().now().wall_ns)
    except ConfigError:
        raise
    except ActodError as exc:
        return Line("store", "fail", str(exc), "start actod: it repairs its store by itself, and says what is gone")
    waiting = f"{status.journal_messages} messages journaled, {status.outbox_bundles} bundles wait"
    if status.quarantined_bundles:
        detail = f"{waiting}, {status.quarantined_bundles} set aside"
        return Line("store", "warn", detail, "actod queue list shows why they were refused")
    return Line("store", "ok", waiting)


def _clock() -> Line:
    if SystemClock().synchronised():
        return Line("clock", "ok", "the kernel holds it to be synchronised")
    return Line("clock", "warn", "not synchronised: bundles say so", "timedatectl set-ntp true")
