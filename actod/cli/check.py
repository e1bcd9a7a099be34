"""`actod check`: what is wrong, and the command that mends it, before a robot finds out."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from actod import configfile, daemon
from actod.audit.verify import verify_log
from actod.cli.state import DEFAULT_CONFIG
from actod.collect.probe import probe_broker
from actod.config import Config
from actod.errors import ActodError, TransientError
from actod.keys.client import SignerClient
from actod.keys.supervisor import SignerProcess
from actod.model import PublicKeys
from actod.service.clock import SystemClock
from actod.service.folder import own_folder
from actod.store.inspection import inspect
from actod.store.schema import DATABASE_NAME
from actod.submit.https import HttpsClient
from actod.submit.verdict import VERDICTS

_TOKEN_SECONDS = 20.0
_TOKEN_REMEDIES = {
    "token_absent": "check token.uri, and that the token is there: pkcs11-tool --module MODULE -L",
    "token_count": "make token.uri name exactly one token, by label and serial",
    "key_count": "make exactly one key with the label of token.uri: actod keys init",
    "key_open": "use a key that is sensitive and not extractable: actod keys init",
    "key_kind": "use an Ed25519 key: actod keys init",
    "pin_incorrect": "put the right PIN into token.pin_file; it is not tried again until the file changes",
    "pin_locked": "unlock the token with its SO PIN",
    "pin_open": "chmod 600 the file of token.pin_file",
    "pin_unreadable": "write the PIN to the file of token.pin_file, mode 0600",
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
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    parser.add_argument("--offline", action="store_true", help="leave out broker and server")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run all checks; each prints its line as it ends."""
    config = configfile.load(args.config)
    failed = False
    for line in _checks(config, args.config, offline=args.offline):
        failed = failed or line.level == "fail"
        if args.json:
            print(json.dumps(dataclasses.asdict(line)), flush=True)
        else:
            remedy = f"\n        mend: {line.remedy}" if line.remedy else ""
            print(f"{line.level:5} {line.name}: {line.detail}{remedy}", flush=True)
    return 1 if failed else 0


def _checks(config: Config, file: Path, *, offline: bool) -> Iterator[Line]:
    yield _attempt("configuration", lambda: f"{file} is valid, {len(list(daemon.describe(config)))} facts")
    yield _attempt("state folder", lambda: _state_folder(config))
    yield from _secrets(config)
    yield _token(config, file)
    if not offline:
        yield _broker(config)
        yield asyncio.run(_server(config))
    yield _audit(config)
    yield _store(config)
    yield _clock()


def _attempt(name: str, check: Callable[[], str]) -> Line:
    try:
        return Line(name, "ok", check())
    except ActodError as exc:
        return Line(name, "fail", str(exc), getattr(exc, "fix", "see above"))


def _state_folder(config: Config) -> str:
    own_folder(config.state_directory)
    free = os.statvfs(config.state_directory)
    return f"{config.state_directory}, mode 0700, {free.f_bavail * free.f_frsize // 2**20} MiB free on its disk"


def _secrets(config: Config) -> Iterator[Line]:
    files = {
        "token.pin_file": config.token.pin_file,
        "collector.api_key_file": config.collector.api_key_file,
        "collector.wallet_file": config.collector.wallet_file,
        "mqtt.password_file": config.mqtt.password_file,
    }
    for key, path in files.items():
        if path is None:
            continue
        name = f"secret {key}"
        try:
            seen = path.stat()
        except OSError as exc:
            yield Line(name, "fail", f"{path}: {exc.strerror}", f"write it to {path}, mode 0600")
            continue
        if seen.st_mode & 0o077:
            yield Line(name, "fail", f"{path} can be read by others", f"chmod 600 {path}")
        elif not seen.st_size:
            yield Line(name, "fail", f"{path} is empty", f"write the secret to {path}")
        else:
            yield Line(name, "ok", f"{path}, mode {seen.st_mode & 0o777:04o}")


def _token(config: Config, file: Path) -> Line:
    try:
        keys = asyncio.run(_ask_signer(config, file))
    except TransientError as exc:
        remedy = _TOKEN_REMEDIES.get(exc.reason, "see the signer's log: actod signer --config ...")
        return Line("token", "fail", exc.reason, remedy)
    detail = f"{keys.kind} key {keys.ed25519_thumbprint}"
    if keys.kind == "software" and config.environment == "prod" and not config.token.allow_software_token_in_prod:
        return Line("token", "fail", f"{detail} in prod", "use a TPM or HSM, or set token.allow_software_token_in_prod")
    return Line("token", "ok", detail)


async def _ask_signer(config: Config, file: Path) -> PublicKeys:
    """Ask the running daemon's signer; where there is none, start one for the question."""
    running = config.signer.socket or config.state_directory / "run" / "signer.sock"
    client = SignerClient(running, timeout_seconds=config.signer.timeout_seconds)
    try:
        return await client.public_keys()
    except TransientError as exc:
        if exc.reason != "signer_away":
            raise
    finally:
        client.close()
    with tempfile.TemporaryDirectory(prefix="actod-check-") as folder:
        socket = Path(folder) / "signer.sock"
        timeout = config.signer.timeout_seconds
        child = SignerProcess(config_file=file, socket=socket, timeout_seconds=timeout, on_event=lambda *_, **__: None)
        own = SignerClient(socket, timeout_seconds=timeout)
        task = asyncio.create_task(child.run())
        try:
            return await _patiently(own)
        finally:
            own.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _patiently(client: SignerClient) -> PublicKeys:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TOKEN_SECONDS
    while True:
        try:
            return await client.public_keys()
        except TransientError as exc:
            if exc.reason != "signer_away" or loop.time() > deadline:
                raise
            await asyncio.sleep(0.1)


def _broker(config: Config) -> Line:
    where = f"{config.mqtt.host}:{config.mqtt.port}"
    try:
        detail = probe_broker(config.mqtt)
    except ActodError as exc:
        return Line("broker", "fail", f"{where}: {exc}", "check [mqtt], the broker's log, and that it listens there")
    return Line("broker", "ok", f"{where} accepts MQTT 5, {detail}")


async def _server(config: Config) -> Line:
    try:
        client = HttpsClient(collector=config.collector, environment=config.environment, clock=SystemClock())
    except ActodError as exc:
        return Line("server", "fail", str(exc), getattr(exc, "fix", ""))
    try:
        status = await client.health()
    except TransientError as exc:
        remedy = VERDICTS[exc.reason].remedy if exc.reason in VERDICTS else "see the log"
        return Line("server", "fail", f"{config.collector.url}: {exc.reason}", remedy)
    finally:
        await client.close()
    if status != 200:  # noqa: PLR2004 - OK
        return Line("server", "fail", f"{config.collector.url}/health answers {status}", "check collector.url")
    return Line("server", "ok", f"{config.collector.url} answers under a pinned key")


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
