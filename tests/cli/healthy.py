"""A robot in prod of which nothing is wrong: real parts, and a machine below a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actod import configfile
from actod.cli.checks.check import Line
from actod.cli.checks.registry import run_checks
from actod.cli.state import NotRunningError, ask_at
from actod.service.clock import SystemClock
from actod.store.vault import make_operator_key
from hil.parts import swtpm
from hil.parts.background import serving
from hil.parts.broker import Broker
from hil.parts.certificates import Certificate
from hil.rig import ROOT, Rig, build, wait_for
from tests.config.parts import toml
from tests.submit.parts import ConnectProxy

COLLECTOR = "collector.example"


class SetClock(SystemClock):
    """The machine's clock, and what is said of it."""

    def __init__(self, *, synchronised: bool | None = True) -> None:
        super().__init__()
        self._said = synchronised

    def synchronised(self) -> bool | None:
        return self._said


@dataclass
class Robot:
    """A robot whose daemon runs. `root` is its machine, `state` a copy of its state folder, `config` its configuration."""

    rig: Rig
    folder: Path
    root: Path
    state: Path
    credentials: Path
    broker: Broker
    certificate: Certificate
    config: dict[str, Any]


@dataclass
class Case:
    """One robot to break: all that may be changed is its own. `options` go to `run_checks`."""

    robot: Robot
    folder: Path
    root: Path
    state: Path
    credentials: Path
    config: dict[str, Any]
    options: dict[str, Any]
    above: str = ""  # text before the configuration

    @property
    def file(self) -> Path:
        return self.folder / "actod.toml"

    def write(self, place: str, text: str) -> Path:
        """Write a file of the machine."""
        file = self.root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def replace(self, place: str, old: str, new: str) -> None:
        """Replace a text in a file of the machine."""
        text = (self.root / place).read_text(encoding="utf-8")
        assert old in text
        self.write(place, text.replace(old, new))

    def mount(self, folder: Path, kind: str, source: str, options: str = "rw") -> None:
        """Have the machine say that a folder is a mount point."""
        self.replace("proc/self/mountinfo", "rw\n", f"rw\n23 22 0:99 / {folder} rw - {kind} {source} {options}\n")

    def secret(self, name: str, text: str) -> Path:
        return write_secret(self.credentials / name, text)

    def lines(self) -> dict[str, Line]:
        """Make the checks; return their lines by id."""
        configured = self.config | {"state_directory": str(self.state)}
        mode = self.file.stat().st_mode & 0o777 if self.file.exists() else 0o644
        self.file.write_text(self.above + toml(configured), encoding="utf-8")
        self.file.chmod(mode)
        config = configfile.load(self.file)
        options = {"root": self.root, "clock": SetClock()} | self.options
        return {line.id: line for line in run_checks(config, self.file, **options)}


def write_secret(file: Path, text: str) -> Path:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
    return file


@contextlib.contextmanager
def case(robot: Robot, folder: Path) -> Iterator[Case]:
    """Copy what may be broken, for a block."""
    root, state, credentials = folder / "root", folder / "state", folder / "credentials"
    shutil.copytree(robot.root, root, symlinks=True)
    shutil.copytree(robot.state, state)
    shutil.copytree(robot.credentials, credentials)
    before = os.environ["CREDENTIALS_DIRECTORY"]
    os.environ["CREDENTIALS_DIRECTORY"] = str(credentials)
    try:
        config = json.loads(json.dumps(robot.config))
        yield Case(robot, folder, root, state, credentials, config, {})
    finally:
        os.environ["CREDENTIALS_DIRECTORY"] = before


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Robot]:
    """Start all parts, and a daemon in dev beside whose state the checked configuration is one for prod."""
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(
            build(folder / "r", settings="[seal]\nmax_age_seconds = 0.2\n", new_token=swtpm.make_token)
        )
        certificate = rig.authority.issue("prod", san=("127.0.0.1", "localhost", COLLECTOR))
        rig.collector.serve(certificate)
        rig.actod.start()
        wait_for(rig.envelopes, what="the first bundle")
        assert rig.actod.stop() == 0
        state = folder / "state"
        shutil.copytree(rig.state, state, ignore=shutil.ignore_patterns("run"))
        (state / "environment").write_text("prod", encoding="ascii")
        rig.actod.start()
        proxy = ConnectProxy(names={COLLECTOR: "127.0.0.1"})
        stack.enter_context(serving(lambda: _listen(proxy), name="proxy"))
        broker = Broker(folder / "broker", passwords={"robot": "correct horse"}, settings="max_inflight_messages 200")
        broker.start()
        stack.callback(broker.stop)
        credentials = _credentials(folder / "credentials", rig)
        stack.enter_context(_environment(rig, credentials))
        config = _config(folder, rig, broker, proxy)
        root = _machine(folder / "root", state, broker_port=broker.port)
        wait_for(lambda: _seals(rig), what="the daemon at work")
        yield Robot(rig, folder, root, state, credentials, broker, certificate, config)


def _seals(rig: Rig) -> bool:
    """Whether the daemon's signer has the token, and the record of this start is sealed."""
    try:
        status = ask_at(rig.state / "run" / "control.sock", "status")
    except NotRunningError:
        return False
    return status["sealing_waits_for"] is None and not status["store"]["journal_messages"]


async def _listen(proxy: ConnectProxy) -> asyncio.Server:
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    return server


@contextlib.contextmanager
def _environment(rig: Rig, credentials: Path) -> Iterator[None]:
    """Have this process see the token, and systemd's credentials folder."""
    wanted = {**rig.token.environment, "CREDENTIALS_DIRECTORY": str(credentials), "PYTHONPATH": str(ROOT)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _credentials(folder: Path, rig: Rig) -> Path:
    folder.mkdir(mode=0o700)
    label = f"\nfor prod {COLLECTOR}\n"
    write_secret(folder / "api-key", rig.api_key + label)
    write_secret(folder / "fleet-key", "acto_another-key-for-reports-of-health" + label)
    write_secret(folder / "wallet", "wallet-address")
    write_secret(folder / "broker-password", "correct horse")
    write_secret(folder / "alert-url", "https://hooks.example/services/x")
    write_secret(folder / "alert-secret", "what signs alerts")
    return folder


def _config(folder: Path, rig: Rig, broker: Broker, proxy: ConnectProxy) -> dict[str, Any]:
    client = rig.authority.issue("robot", client=True)
    write_secret(folder / "credentials/client-key", client.key_file.read_text(encoding="ascii"))
    ca = str(rig.authority.ca_file)
    return {
        "environment": "prod",
        "mqtt": {
            "port": broker.port,
            "client_id": "actod-{hostname}",
            "username": "robot",
            "password_file": "credential:broker-password",
        },
        "token": {"uri": rig.token.uri, "pin_file": "credential:token-pin"},
        "signer": {"spawn": False, "socket": str(rig.state / "run" / "signer.sock")},
        "control": {"socket": str(rig.state / "run" / "control.sock")},
        "collector": {
            "url": f"https://{COLLECTOR}:{rig.collector.port}",
            "proxy": f"http://127.0.0.1:{proxy.port}",
            "ca_file": ca,
            "pins": [rig.authority.pin, rig.authority.backup_pin],
            "api_key_file": "credential:api-key",
            "wallet_file": "credential:wallet",
            "certificate_file": str(client.cert_file),
            "private_key_file": "credential:client-key",
        },
        "fleet": {"api_key_file": "credential:fleet-key"},
        "masking": {"operator_key": make_operator_key(folder / "operator.key")},
        "alerts": [
            {"name": "ops", "url_file": "credential:alert-url", "secret_file": "credential:alert-secret", "ca_file": ca}
        ],
        "routes": [{"name": "vda", "topic": "uagv/v2/+/+/+", "profile": "vda5050-v2"}],
    }


_FILES = {
    "proc/self/mountinfo": "22 1 254:0 / / rw - ext4 /dev/mapper/none rw\n",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 1048572 0 100\n",
    "proc/sys/kernel/core_pattern": "core\n",
    "proc/812/cmdline": "/usr/bin/python3\0/usr/bin/actod\0run\0",
    "proc/812/status": "Name:\tactod\nUid:\t998\t998\t998\t998\n",
    "proc/1/cmdline": "/sbin/init\0",
    "proc/1/status": "Name:\tsystemd\nUid:\t0\t0\t0\t0\n",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/group": "root:x:0:\nactod:x:998:\nactod-signer:x:997:actod\ntss:x:996:actod-signer\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nactod:x:998:998::/:/bin/false\nactod-signer:x:997:997::/:/bin/false\n",
    "etc/actod/report.json": '{"actod_trust": 1, "report": {"token": "tpm", "pin_sealed_to": "host+tpm2"}}',
    "etc/mosquitto/mosquitto.conf": "pid_file /run/mosquitto.pid\ninclude_dir /etc/mosquitto/conf.d\n",
    "etc/systemd/system/actod.service.d/site.conf": "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost 203.0.113.7\n",
    "usr/lib/systemd/libsystemd-shared-252.so": "",
    "dev/tpmrm0": "",
    "var/lib/mosquitto/mosquitto.db": "",
    "var/lib/actod-token/tpm2_pkcs11.sqlite3": "",
    "etc/actod/credentials/api-key": "",
}


def _machine(root: Path, state: Path, *, broker_port: int) -> Path:
    """Make the machine: Debian 12 on an encrypted eMMC, with the package installed."""
    for place, text in _FILES.items():
        file = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (root / "dev/tpmrm0").chmod(0o660)
    for place in ("etc/actod/credentials", "var/lib/actod-token"):
        (root / place).chmod(0o700)
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        shutil.copy(unit, units)
    (root / "etc/mosquitto/conf.d").mkdir()
    text = (ROOT / "deploy/mosquitto/robot.conf").read_text(encoding="utf-8")
    (root / "etc/mosquitto/conf.d/robot.conf").write_text(text.replace("\nlistener 1883 ", f"\nlistener {broker_port} "))
    for link in ("multi-user.target.wants/actod.service", "sysinit.target.wants/systemd-timesyncd.service"):
        place = root / "etc/systemd/system" / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(f"/usr/lib/systemd/system/{place.name}")
    medium = root / "sys/devices/mmcblk0"
    (medium / "mmcblk0p2").mkdir(parents=True)
    (medium / "mmcblk0p2/partition").write_text("2\n", encoding="ascii")
    (medium / "device").mkdir()
    (medium / "device/life_time").write_text("0x02 0x01\n", encoding="ascii")
    (medium / "device/pre_eol_info").write_text("0x01\n", encoding="ascii")
    add_device(root, state, "CRYPT-LUKS2-0f-root")
    (root / "sys/dev/block/1:3").mkdir()  # of /dev/null, which stands for a disk that is not encrypted
    return root


def add_device(root: Path, folder: Path, uuid: str) -> None:
    """Have the machine know the device below a folder, as dm-crypt on the eMMC."""
    number = folder.stat().st_dev
    device = root / "sys/dev/block" / f"{os.major(number)}:{os.minor(number)}"
    (device / "dm").mkdir(parents=True, exist_ok=True)
    (device / "dm/uuid").write_text(uuid, encoding="ascii")
    (device / "slaves").mkdir(exist_ok=True)
    if not (device / "slaves/mmcblk0p2").is_symlink():
        (device / "slaves/mmcblk0p2").symlink_to("../../../../devices/mmcblk0/mmcblk0p2")
