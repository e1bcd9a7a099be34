"""`actod credentials list|rotate|finish|fetch`: API keys and the broker's password."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hmac
import sys
import time
from pathlib import Path
from typing import Any

from actod import configfile
from actod.cli.state import add_config_argument, ask, count
from actod.collect.probe import probe_broker
from actod.config import Config, LogConfig
from actod.durable import write_whole
from actod.errors import EXIT_FAILED, ActodError, ConfigError, RejectedError, TransientError
from actod.secretfile import read_labelled
from actod.service import log
from actod.service.clock import SystemClock
from actod.submit import rotation
from actod.submit.ages import credential_files
from actod.submit.endpoint import host_of
from actod.submit.https import HttpsClient
from actod.submit.secretstores import stores
from actod.submit.tls import CollectorTls

_KEYS = {
    "submit": "collector.api_key_file",
    "monitor": "collector.monitor_api_key_file",
    "fleet": "fleet.api_key_file",
    "broker": "mqtt.password_file",
}
_POLL_SECONDS = 0.2
_OK, _UNAUTHORISED, _NOT_ITS_SCOPE = 200, 401, 403


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the root parser."""
    parser = subparsers.add_parser("credentials", help="list or rotate API keys and the broker's password")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="how old each credential is, as the running daemon knows it")
    rotate = actions.add_parser(
        "rotate",
        help="try a new credential, put it in place, and check that the old one is refused",
        epilog="Exit codes: 0 done, 1 not done or not at its end (what to do is said), 78 a file is refused.",
    )
    rotate.add_argument("scope", choices=sorted(_KEYS))
    rotate.add_argument("--new", type=Path, required=True, metavar="FILE", help="holds the new one; mode 0600")
    rotate.add_argument("--wait", type=count, default=60, metavar="SECONDS", help="for its first use (default 60)")
    finish = actions.add_parser("finish", help="check that the old credential is refused, and remove it")
    finish.add_argument("scope", choices=sorted(_KEYS))
    fetch = actions.add_parser(
        "fetch",
        help="write the files that [vault] and [aws] name; for a timer",
        epilog="Exit codes: 0 all are as the store says, 1 some could not be fetched, 78 the configuration is refused.",
    )
    for action in (listing, rotate, finish, fetch):
        add_config_argument(action)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    config = configfile.load(args.config)
    log.configure(LogConfig(level="error"))
    if args.action == "list":
        return _list(config)
    if args.action == "fetch":
        return _fetch(config)
    key = _KEYS[args.scope]
    path = credential_files(config).get(key)
    if path is None:
        raise ConfigError(key=key, expected="a file", found="none", fix=f"set {key}, or rotate another credential")
    if args.action == "rotate":
        _rotate(config, args, key, path)
    return _finish(config, args.scope, key, path)


def _list(config: Config) -> int:
    for key, facts in sorted(ask(config, "credentials").items()):
        days = "age not known yet" if facts["days"] is None else f"{facts['days']} of {facts['limit_days']} days"
        used = {True: "in use", False: "not used yet", None: ""}[facts["proven"]]
        print(f"{key:<26} {days:<20} {facts['stage'] or 'ok':<8} {used}".rstrip())
    return 0


def _rotate(config: Config, args: argparse.Namespace, key: str, path: Path) -> None:
    """Try the new credential, and put it in place. Raises ActodError, with everything as it was."""
    ask(config, "status")  # a daemon must run: it is the one whose log shows the change
    secret, _ = read_labelled(args.new, key="--new")
    if hmac.compare_digest(secret.encode(), read_labelled(path, key=key)[0].encode()):
        raise RejectedError("credential_unchanged", f"{args.new} holds the one that is in place")
    host = host_of(config.collector.url)
    label = "" if args.scope == "broker" else f"{config.environment} {host}"
    staged = rotation.begin(path, key=key, secret=secret, label=label)
    try:
        verdict = _tried(config, args.scope, staged)
        if verdict != "accepted":
            raise RejectedError("credential_not_accepted", f"the new one was tried: {verdict}. Nothing was changed")
        rotation.swap(path)
    finally:
        rotation.abandon(path)
    ask(config, "credential_rotated", key=key, old="kept")
    print(f"{path}: the new credential was accepted and is in place", flush=True)
    deadline = time.monotonic() + args.wait
    while not _is_used(config, key) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _finish(config: Config, scope: str, key: str, path: Path) -> int:
    old = rotation.previous(path)
    if not old.exists():
        print(f"actod credentials: no rotation of {scope} is under way", file=sys.stderr)
        return EXIT_FAILED
    if not _is_used(config, key):
        print(f"The daemon has not used it yet, so {old} is kept. Later: actod credentials finish {scope}", file=sys.stderr)
        return EXIT_FAILED
    verdict = _tried(config, scope, old)
    ask(config, "credential_rotated", key=key, old=verdict if verdict in {"accepted", "refused"} else "unknown")
    if verdict != "refused":
        why = "is still accepted: revoke it there" if verdict == "accepted" else f"could not be tried ({verdict})"
        print(f"The old one {why}, then: actod credentials finish {scope}", file=sys.stderr)
        return EXIT_FAILED
    rotation.end(path)
    print("The old credential is refused, and removed here.")
    return 0


def _fetch(config: Config) -> int:
    """Write what changed. A store that is away leaves the files as they are."""
    files, failed = credential_files(config), False
    for store, wanted in stores(config):
        for key, name in wanted.items():
            if key not in files:
                known = ", ".join(files)
                raise ConfigError(key=key, expected=f"a credential that is set ({known})", fix="correct the key in fetch")
            try:
                secret = store.fetch(name)
            except TransientError as exc:
                failed = True
                print(f"actod credentials fetch: {key}: {exc}", file=sys.stderr)
                continue
            label = "" if key == _KEYS["broker"] else f"{config.environment} {host_of(config.collector.url)}"
            text = rotation.text_of(secret, label)
            if _differs(files[key], text):
                write_whole(files[key], text, like=files[key] if files[key].exists() else None)
                print(f"{key}: written")
    return EXIT_FAILED if failed else 0


def _differs(path: Path, text: bytes) -> bool:
    try:
        return not hmac.compare_digest(path.read_bytes(), text)
    except FileNotFoundError:
        return True


def _is_used(config: Config, key: str) -> bool:
    """Whether the daemon has used what the file holds; nothing is known of the broker's, which was tried in its place."""
    facts: dict[str, Any] = ask(config, "credentials").get(key, {})
    return facts.get("proven") is not False


def _tried(config: Config, scope: str, file: Path) -> str:
    """Use a credential for something that changes nothing. Returns accepted, refused, or why that is not known."""
    try:
        if scope == "broker":
            probe_broker(dataclasses.replace(config.mqtt, password_file=file))
            return "accepted"
        status = asyncio.run(_asked(config, file))
    except TransientError as exc:
        return "refused" if exc.reason == "refused" else exc.reason
    except ConfigError:
        raise
    except ActodError as exc:
        return exc.reason
    if scope == "fleet" and status == _NOT_ITS_SCOPE:  # a server that knows scopes knows this key, and lets it read nothing
        return "accepted"
    return {_OK: "accepted", _UNAUTHORISED: "refused"}.get(status, f"the server answers {status}")


async def _asked(config: Config, file: Path) -> int:
    """List one proof: the answer is not looked at."""
    clock, collector = SystemClock(), dataclasses.replace(config.collector, api_key_file=file)
    tls = CollectorTls(collector=collector, clock=clock, state_directory=config.state_directory, writes=False)
    client = HttpsClient(collector=collector, environment=config.environment, clock=clock, tls=tls)
    try:
        return (await client.ask("GET", "/v1/proofs?limit=1")).status
    finally:
        await client.close()
