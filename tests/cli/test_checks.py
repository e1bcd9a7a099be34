"""Each check of `actod check` fails where its own thing is broken, for its own reason alone; in health none does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from actod.audit.log import AuditLog
from actod.cli.checks.check import Line
from actod.cli.checks.registry import CHECKS, PROGRAMS
from actod.config import AuditConfig, SealConfig, StoreConfig
from actod.service.control import ControlServer, Operation
from actod.store.schema import DATABASE_NAME
from actod.submit.pinset import key_text, sign
from hil.parts import softhsm
from hil.parts.background import serving
from hil.parts.broker import free_port
from tests.cli.healthy import COLLECTOR, Case, Robot, SetClock, add_device, case, running, write_secret
from tests.store.parts import HandClock, RememberedLog, group, open_store, sealed_as_sent

Breakage = Callable[[Case], AbstractContextManager[None] | None]
ROBOT_CONF = "etc/mosquitto/conf.d/robot.conf"
SITE_CONF = "etc/systemd/system/actod.service.d/site.conf"


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with running(tmp_path_factory.mktemp("robot")) as healthy:
        yield healthy


@pytest.fixture(scope="module")
def healthy(robot: Robot, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Line]:
    """Return the line of each check where nothing is wrong."""
    with case(robot, tmp_path_factory.mktemp("healthy")) as each:
        return each.lines()


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
    """Have the daemon that answers be one that says something else: the control socket's own server, another answer."""

    @contextlib.contextmanager
    def broken(each: Case) -> Iterator[None]:
        said = each.robot.rig.tool("status", "--json", "--config", str(each.robot.rig.config_file))
        status = json.loads(said.stdout) | changes
        socket = each.folder / "run" / "c.sock"
        audit = AuditLog(each.folder / "other-audit", clock=SetClock(), config=AuditConfig())

        async def answer(_arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            return status

        async def listen() -> asyncio.Server:
            operations = {"status": Operation(run=answer, changes=False)}
            server = ControlServer(path=socket, operations=operations, peers=frozenset({os.getuid()}), audit=audit)
            task = asyncio.get_running_loop().create_task(server.run())
            while not socket.exists():
                await asyncio.sleep(0)
            tasks.append(task)
            return await asyncio.start_unix_server(lambda *_: None, path=each.folder / "run" / "unused.sock")

        tasks: list[asyncio.Task[None]] = []
        each.config["control"]["socket"] = str(socket)
        with serving(listen, name="control"):
            yield
        audit.close()

    return broken


def credential_of_last_quarter(each: Case) -> None:
    since = datetime.now(UTC) - timedelta(days=40)
    noted = {"collector.api_key_file": {"digest": "00", "since": since.isoformat(), "told": ""}}
    (each.state / "credentials.json").write_text(json.dumps(noted))


def credential_of_yesterday(each: Case) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    noted = {"collector.api_key_file": {"digest": "00", "since": since.isoformat(), "told": ""}}
    (each.state / "credentials.json").write_text(json.dumps(noted))


@dataclass(frozen=True)
class Row:
    """A check, how it is broken, what it says; `given` is done to the healthy robot as well."""

    id: str
    breaks: Breakage
    said: str
    level: str = "fail"
    given: Breakage = nothing


MONITOR = all_of(
    secret("monitor-key", f"acto_a-third-key-that-samples-proofs\nfor prod {COLLECTOR}\n"),
    setting(collector__monitor_api_key_file="credential:monitor-key"),
)
TO_ROOT = "Uid:\t0\t0\t0\t0"
BROKEN = (
    Row("configuration-valid", setting(routes__0__topic="uagv/v2/#/x"), "routes.topic: expected"),
    Row("configuration-secrets", a_secret_in_a_comment, "line 1: looks like a secret (git_token)"),
    Row("configuration-files", configuration_open, "mode 0666: others can change it"),
    Row("environment", lambda each: void((each.state / "environment").write_text("dev")), "expected 'dev', in which"),
    Row("limits", setting(collector__requests_per_second=9.0), "the server allows 5", "warn"),
    Row("masking", setting(routes__0__mask="secrets-only"), "route vda masks secrets only", "warn"),
    Row(
        "masking",
        setting(masking__rules=[{"operator": "keep", "type": "email", "path": "/mail"}]),
        "a rule keeps email at /mail (vda strict; of made-up messages 0.02 % of the values leak)",
        "warn",
    ),
    Row("device-id", setting(device__id="amr-7"), "each robot with this file has the same", "warn"),
    Row("machine-id", machine_id_of_an_image, "'uninitialized'"),
    Row("secret-api-key", secret("api-key", "acto_key"), "one that does not say what it is for"),
    Row("secret-wallet", secret("wallet", ""), "which is empty"),
    Row("secret-pin", mode("credentials/token-pin", 0o604), "mode 0604", given=signer_of_the_daemon),
    Row("secret-broker", mode("credentials/broker-password", 0o606), "mode 0606"),
    Row("secret-scopes", one_key_for_everything, "another key than collector.api_key_file"),
    Row("secret-client-keys", mode("credentials/client-key", 0o604), "mode 0604"),
    Row("secret-links", wallet_is_a_link, "is a link to", given=plain_wallet),
    Row("secret-source", plain_wallet, "collector.wallet_file: plain files", "warn"),
    Row("secret-folders", mode("root/etc/actod/credentials", 0o755), "mode 0755: others see what lies there"),
    Row("secret-sealing", sealed_to_the_host_alone, "encrypted to host alone, on a disk that is not encrypted"),
    Row("token-answers", token_away, "token_absent"),
    Row("token-hardware", signer_away, "token_software", given=software_beside),
    Row("token-storage", mode("root/var/lib/actod-token", 0o755), "others can copy the token's files"),
    Row("tpm-device", mode("root/dev/tpmrm0", 0o666), "mode 0666: every user can try PINs"),
    Row("tpm-lockout", near_a_lockout, "failures of", "warn"),
    Row("key-age", key_of_last_year, "of 365 days", "warn"),
    Row("broker-answers", setting(mqtt__port=free_port()), "unreachable"),
    Row("broker-tls", setting(mqtt__tls=False), "cross the network unencrypted", given=elsewhere),
    Row("broker-login", setting(mqtt__username=None), "takes whoever comes", given=elsewhere),
    Row("broker-inflight", replaced(ROBOT_CONF, "max_inflight_messages 200", ""), "20 messages in flight", "warn"),
    Row(
        "broker-queue",
        replaced(ROBOT_CONF, "max_queued_messages 100000", ""),
        "the queue holds 1000 messages, full after 10 s of absence at 100.0 messages a second",
        "warn",
    ),
    Row("broker-store", replaced(ROBOT_CONF, "persistence true", "persistence false"), "it has no store"),
    Row(
        "broker-store",
        lambda each: each.mount(each.root / "var/lib/mosquitto", "ext4", "/dev/null"),
        "not encrypted: raw messages lie there while actod is away, while what is masked is encrypted",
    ),
    Row("broker-packet-size", replaced(ROBOT_CONF, "max_packet_size 1048576", "max_packet_size 4096"), "4096 B", "warn"),
    Row("collector-url", setting(collector__url=f"http://{COLLECTOR}"), "expected an https:// URL"),
    Row("pins", lambda each: void(each.config["collector"]["pins"].pop()), "at least two different pins"),
    Row("collector-answers", setting(collector__proxy=f"http://127.0.0.1:{free_port()}"), "unreachable"),
    Row("pin-backup", every_pin_is_of_the_chain, "none is left when its keys must go"),
    Row("pin-set", pin_set(days=9), "nothing is sent after that", given=pin_set(days=300)),
    Row("certificate", certificate_ends, "certificate 0 ends on"),
    Row("client-certificates", client_certificate_ends, "ending-client.pem: certificate 0 ends on"),
    Row("disk-lasting", mounted_on("tmpfs", "tmpfs"), "a power cut empties it"),
    Row("disk-writable", mounted_on("ext4", "/dev/mapper/none", "ro"), "mounted read-only"),
    Row("disk-encryption", mounted_on("ext4", "/dev/null"), "not encrypted"),
    Row("disk-space", setting(store__max_bytes=1 << 50), "store.max_bytes wants"),
    Row("disk-inodes", disk_without_inodes, "room for 4"),
    Row("disk-wear", written("sys/devices/mmcblk0/device/life_time", "0x0b 0x01\n"), "100 % of its life", "warn"),
    Row("disk-wear", written("sys/devices/mmcblk0/device/pre_eol_info", "0x02\n"), "level 2 of 3", "warn"),
    Row("state-folder", mode("state", 0o755), "mode 0755"),
    Row("state-files", mode("state/environment", 0o644), "mode 0644"),
    Row("store-whole", store_is_none, "damaged"),
    Row("quarantine", bundle_set_aside, "1 bundles are set aside", "warn"),
    Row("queue-age", message_of_last_week, "waited for 168 hours", "warn"),
    Row("queue-share", queue_nearly_full, "% of the queue's share"),
    Row("losses", messages_were_refused, "rate_limited 41", "warn"),
    Row("audit-log", audit_line_changed, ": edited: the hash"),
    Row("exports", setting(masking__operator_key=None), "no masking.operator_key", "warn"),
    Row("clock", option(clock=SetClock(synchronised=False)), "not synchronised", "warn"),
    Row(
        "time-service",
        unlinked("etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service"),
        "no service that sets the clock",
        "warn",
    ),
    Row("swap", replaced("proc/swaps", "/dev/zram0", "/dev/sda2"), "/dev/sda2 is not encrypted", given=no_units),
    Row("core-dumps", written("proc/sys/kernel/core_pattern", "core\n"), "core files go to 'core'", given=no_units),
    Row(
        "versions",
        all_of(
            unlinked("usr/lib/systemd/libsystemd-shared-252.so"),
            written("usr/lib/systemd/libsystemd-shared-249.so", ""),
        ),
        "systemd 249 is older than 250",
    ),
    Row("daemon-user", written("proc/812/status", f"Name:\tactod\n{TO_ROOT}\n"), "process 812 (actod run) runs as root"),
    Row("group-members", replaced("etc/group", "997:actod", "997:actod,pi"), "pi is in the group actod-signer"),
    Row("group-members", replaced("etc/passwd", "root:x:0:0", "pi:x:5:998::/:\nroot:x:0:0"), "pi is in the group actod"),
    Row("unit-installed", no_units, "actod.service and actod-signer.service not installed", "warn"),
    Row("unit-daemon", drop_in("actod", "ProtectSystem=full"), "ProtectSystem=full"),
    Row("unit-daemon", drop_in("actod", "SystemCallFilter=@mount"), "SystemCallFilter=@mount"),
    Row(
        "unit-signer", drop_in("actod-signer", "RestrictAddressFamilies=AF_INET"), "RestrictAddressFamilies=AF_INET AF_UNIX"
    ),
    Row("unit-signer", drop_in("actod-signer", "SystemCallFilter=", "SystemCallFilter=@system-service"), "without ~@aio"),
    Row("unit-restart", drop_in("actod", "Restart=no"), "Restart=no, not always"),
    Row("unit-enabled", unlinked("etc/systemd/system/multi-user.target.wants/actod.service"), "does not start at boot"),
    Row("egress", unlinked(SITE_CONF), "may reach every address", "warn"),
    Row("daemon", setting(control__socket="/nonexistent/c.sock"), "no actod runs", "warn"),
    Row("daemon-version", says(version="0.0.9"), "actod 0.0.9 runs", "warn"),
    Row("intake", says(intake="intake:full"), "intake:full"),
    Row("sealing", says(sealing_waits_for="token_absent"), "waits for the token: token_absent"),
    Row("submission", says(uplink="blocked:pin"), "blocked:pin"),
    Row("credential-age", credential_of_last_quarter, "40 of 30 days", "warn", given=credential_of_yesterday),
    Row("alerts", setting(alerts=None), "nobody is told", "warn"),
    Row("alert-channels", secret("alert-url", "http://hooks.example/x"), "https"),
    Row("monitoring", setting(fleet=None), "nobody sees", "warn", given=MONITOR),
)


def test_of_a_healthy_robot_each_check_is_ok_or_has_nothing_to_ask(robot: Robot, tmp_path: Path) -> None:
    with case(robot, tmp_path) as each:
        lines = each.lines()
    assert list(lines) == list(CHECKS)
    assert {line for line in lines.values() if line.level in {"warn", "fail"}} == set()
    skipped = {name for name, line in lines.items() if line.level == "skip"}
    assert skipped <= {"secret-pin", "pin-set", "credential-age"}


def test_each_check_has_a_fixture_that_breaks_it() -> None:
    assert {row.id for row in BROKEN} == set(CHECKS)
    assert {check.mend.split()[0] for _group, check in CHECKS.values()} <= PROGRAMS


@pytest.mark.parametrize("row", BROKEN, ids=[f"{row.id}: {row.said}" for row in BROKEN])
def test_what_is_broken_is_named_by_its_own_check_alone(
    robot: Robot, healthy: Mapping[str, Line], tmp_path: Path, row: Row
) -> None:
    with case(robot, tmp_path) as each, contextlib.ExitStack() as stack:
        before = healthy
        if row.given is not nothing:
            do(row.given, each, stack)
            before = each.lines()
        do(row.breaks, each, stack)
        lines = each.lines()
    line = lines[row.id]
    assert before[row.id].level in {"ok", "skip"}
    assert (line.level, row.said in line.detail) == (row.level, True), line
    assert line.remedy.split()[0] in PROGRAMS
    assert not_asked(lines) - not_asked(before) == dependents(row.id) & set(lines)
    changed = {name for name in lines if lines[name].level != before[name].level} - not_asked(lines)
    assert changed == {row.id}, [lines[name] for name in changed]
    for text in (each.robot.rig.api_key, each.robot.rig.token.pin, "correct horse"):
        assert text not in repr(lines)


def do(breakage: Breakage, each: Case, stack: contextlib.ExitStack) -> None:
    if (block := breakage(each)) is not None:
        stack.enter_context(block)


def not_asked(lines: Mapping[str, Line]) -> set[str]:
    return {name for name, line in lines.items() if line.detail.startswith("not asked: see ")}


def dependents(name: str) -> set[str]:
    """Return the checks that cannot be asked without one, directly or not."""
    found = {name}
    for other, (_group, check) in CHECKS.items():
        if found & set(check.needs):
            found.add(other)
    return found - {name}
