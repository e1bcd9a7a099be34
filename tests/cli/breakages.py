"""How one thing of a healthy robot is broken: each function here breaks one, and nothing beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.audit.log import AuditLog
from actod.cli.state import ask_at
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.store.schema import DATABASE_NAME
from actod.submit.pinset import key_text, sign
from hil.parts import softhsm
from hil.parts.background import serving
from tests.cli.healthy import COLLECTOR, Case, SetClock, add_device, write_secret
from tests.store.parts import HandClock, RememberedLog, group, open_store, sealed_as_sent

Breakage = Callable[[Case], AbstractContextManager[None] | None]
ROBOT_CONF = "etc/mosquitto/conf.d/robot.conf"
SITE_CONF = "etc/systemd/system/actod.service.d/site.conf"


def setting(**changes: Any) -> Breakage:
    """Change the configuration: `table__key=value`; None removes it."""

    def change(each: Case) -> None:
        for path, value in changes.items():
            *tables, key = path.split("__")
            at: Any = each.config
            for table in tables:
                at = at[int(table)] if isinstance(at, list) else at.setdefault(table, {})
            if value is None:
                del at[key]
            else:
                at[key] = value

    return change


def written(place: str, text: str) -> Breakage:
    return lambda each: void(each.write(place, text))


def replaced(place: str, old: str, new: str) -> Breakage:
    return lambda each: each.replace(place, old, new)


def mode(place: str, bits: int) -> Breakage:
    """Change the mode of a file of the case: of its machine, its state folder or its credentials."""
    return lambda each: (each.folder / place).chmod(bits)


def secret(name: str, text: str) -> Breakage:
    return lambda each: void(each.secret(name, text))


def all_of(*breakages: Breakage) -> Breakage:
    @contextlib.contextmanager
    def broken(each: Case) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for breakage in breakages:
                do(breakage, each, stack)
            yield

    return broken


def void(_value: object) -> None:
    """Drop what a breakage has no use for."""


def nothing(_each: Case) -> None:
    """Leave a healthy robot as it is."""


def option(**options: Any) -> Breakage:
    return lambda each: each.options.update(options)


def drop_in(unit: str, *lines: str) -> Breakage:
    return written(f"etc/systemd/system/{unit}.service.d/90-looser.conf", "\n".join(["[Service]", *lines, ""]))


def mounted_on(kind: str, source: str, options: str = "rw") -> Breakage:
    """Have the state folder lie on a disk of its own."""
    return lambda each: each.mount(each.state, kind, source, options)


def machine_id_of_an_image(each: Case) -> None:
    each.write("etc/machine-id", "uninitialized\n")


def a_secret_in_a_comment(each: Case) -> None:
    each.above = "# gh" + "p_" + "a1B2" * 9 + "\n"


def configuration_open(each: Case) -> None:
    each.file.touch()
    each.file.chmod(0o666)


def plain_wallet(each: Case) -> None:
    each.config["collector"]["wallet_file"] = str(write_secret(each.folder / "wallet", "wallet-address"))


def wallet_is_a_link(each: Case) -> None:
    (each.folder / "wallet").rename(each.folder / "elsewhere")
    (each.folder / "wallet").symlink_to(each.folder / "elsewhere")


def one_key_for_everything(each: Case) -> None:
    shutil.copy(each.credentials / "api-key", each.credentials / "fleet-key")


def sealed_to_the_host_alone(each: Case) -> None:
    each.replace("etc/actod/report.json", "host+tpm2", "host")
    each.mount(each.root / "etc", "ext4", "/dev/null")


def signer_of_the_daemon(each: Case) -> None:
    each.secret("token-pin", each.robot.rig.token.pin)
    each.config["signer"]["spawn"] = True


def token_away(each: Case) -> None:
    """Let no signer be there, so that one is started, and let the token have another name."""
    signer_away(each)
    each.secret("token-pin", each.robot.rig.token.pin)
    each.config["token"]["uri"] = each.config["token"]["uri"].replace("token=actod;", "token=other;")


@contextlib.contextmanager
def software_beside(each: Case) -> Iterator[None]:
    """Let the URI name a token in software, while the signer that runs has the TPM's."""
    token = softhsm.make_token(each.folder / "softhsm")
    os.environ.update(token.environment)
    each.config["token"] = {"uri": token.uri, "pin_file": str(token.pin_file)}
    try:
        yield
    finally:
        for name in token.environment:
            del os.environ[name]


def signer_away(each: Case) -> None:
    each.config["signer"]["socket"] = str(each.folder / "none.sock")


@contextlib.contextmanager
def near_a_lockout(each: Case) -> Iterator[None]:
    token: Any = each.robot.rig.token
    token.fail()
    try:
        yield
    finally:
        token.unlock()


def key_of_last_year(each: Case) -> None:
    file = each.state / "keys.json"
    text = json.loads(file.read_text())
    file.write_text(json.dumps(text | {"since": "2025-01-01T00:00:00.000000Z"}))


def elsewhere(each: Case) -> None:
    """Have the broker be another machine, asked by nobody here."""
    each.config["mqtt"] |= {"host": "broker.example", "tls": True}
    del each.config["mqtt"]["password_file"]
    each.options["offline"] = True


def every_pin_is_of_the_chain(each: Case) -> None:
    each.config["collector"]["pins"] = [each.robot.rig.authority.pin, each.robot.certificate.pin]


def pin_set(days: int) -> Breakage:
    def signed(each: Case) -> None:
        keys = [SigningKey(bytes([number]) * 32) for number in (1, 2)]
        expires = datetime.now(UTC) + timedelta(days=days)
        document = json.dumps(
            {
                "signed": {
                    "type": "actod-pin-set",
                    "host": COLLECTOR,
                    "version": 1,
                    "expires": f"{expires:%Y-%m-%d}",
                    "pins": each.config["collector"]["pins"],
                },
                "signatures": [],
            }
        ).encode()
        for key in keys:
            document = sign(document, key)
        (each.folder / "pins.json").write_bytes(document)
        names = [key_text(bytes(key.verify_key)) for key in keys]
        each.config["collector"]["pin_set"] = {"file": str(each.folder / "pins.json"), "keys": names}

    return signed


def ending() -> dict[str, datetime]:
    """Return the days of a certificate that was good for three months and is so for three days more."""
    now = datetime.now(UTC)
    return {"not_before": now - timedelta(days=87), "not_after": now + timedelta(days=3)}


@contextlib.contextmanager
def certificate_ends(each: Case) -> Iterator[None]:
    rig = each.robot.rig
    rig.collector.serve(rig.authority.issue("ending", san=("127.0.0.1", "localhost", COLLECTOR), **ending()))
    yield
    rig.collector.serve(each.robot.certificate)


def client_certificate_ends(each: Case) -> None:
    client = each.robot.rig.authority.issue("ending-client", client=True, **ending())
    each.config["collector"]["certificate_file"] = str(client.cert_file)
    each.secret("client-key", client.key_file.read_text())


@contextlib.contextmanager
def disk_without_inodes(each: Case) -> Iterator[None]:
    shutil.rmtree(each.state)
    each.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "nr_inodes=500,mode=0700", "tmpfs", str(each.state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.fail("mounting needs root") if "CI" in os.environ else pytest.skip("mounting needs root")
    try:
        shutil.copytree(each.robot.state, each.state, dirs_exist_ok=True)
        add_device(each.root, each.state, "CRYPT-LUKS2-0f-root")
        yield
    finally:
        subprocess.run(["umount", "-l", each.state], check=True)


def store_is_none(each: Case) -> None:
    (each.state / DATABASE_NAME).write_bytes(b"no database " * 1000)


def new_store(each: Case, clock: HandClock, **changes: Any) -> Any:
    shutil.rmtree(each.state)
    each.state.mkdir(mode=0o700)
    return open_store(each.state, clock=clock, log=RememberedLog(), **changes)


def bundle_set_aside(each: Case) -> None:
    clock = HandClock()
    clock.wall_ns = time.time_ns()
    store = new_store(each, clock)
    store.run(partial(store.commit, group(range(10), clock=clock)))
    bundle = store.run(store.next_bundle)
    store.run(partial(store.put, bundle, sealed_as_sent(bundle)))
    store.run(partial(store.set_aside, store.run(store.next_envelope), "http_422"))
    store.close()


def message_of_last_week(each: Case) -> None:
    clock = HandClock()
    clock.wall_ns = time.time_ns() - 7 * 86_400 * 10**9
    store = new_store(each, clock)
    store.run(partial(store.commit, group([1], clock=clock)))
    store.close()


def queue_nearly_full(each: Case) -> None:
    clock = HandClock()
    clock.wall_ns = time.time_ns()
    each.config["store"] = {"max_bytes": 8 << 20}
    store = new_store(each, clock, store=StoreConfig(max_bytes=8 << 20), seal=SealConfig())
    for number in range(40):
        store.run(partial(store.commit, group([number], clock=clock, size=50_000)))
    store.close()


def messages_were_refused(each: Case) -> None:
    log = AuditLog(each.state / "audit", clock=SetClock(), config=AuditConfig())
    log.record("refused", reason="rate_limited", route="vda", count=41, **{"class": "normal"})
    log.close()


def audit_line_changed(each: Case) -> None:
    file = min((each.state / "audit").glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"daemon.started"', b'"daemon.Started"', 1))


def no_units(each: Case) -> None:
    shutil.rmtree(each.root / "usr/lib/systemd/system")
    each.write("proc/sys/kernel/core_pattern", "|/bin/false\n")


def unlinked(place: str) -> Breakage:
    return lambda each: (each.root / place).unlink()


def says(**changes: Any) -> Breakage:
    """Have the daemon that answers be one that says something else, at a socket of the same protocol."""

    @contextlib.contextmanager
    def broken(each: Case) -> Iterator[None]:
        rig = each.robot.rig
        answer = json.dumps({"ok": ask_at(rig.state / "run" / "control.sock", "status") | changes}).encode() + b"\n"
        socket = each.folder / "c.sock"
        each.config["control"]["socket"] = str(socket)

        async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                await reader.readline()
                writer.write(answer)
                await writer.drain()

        with serving(lambda: asyncio.start_unix_server(reply, path=socket), name="control"):
            yield

    return broken


def credential_of_last_quarter(each: Case) -> None:
    since = datetime.now(UTC) - timedelta(days=40)
    noted = {"collector.api_key_file": {"digest": "00", "since": since.isoformat(), "told": ""}}
    (each.state / "credentials.json").write_text(json.dumps(noted))


def credential_of_yesterday(each: Case) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    noted = {"collector.api_key_file": {"digest": "00", "since": since.isoformat(), "told": ""}}
    (each.state / "credentials.json").write_text(json.dumps(noted))


def do(breakage: Breakage, each: Case, stack: contextlib.ExitStack) -> None:
    if (block := breakage(each)) is not None:
        stack.enter_context(block)
