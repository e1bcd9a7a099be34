"""What looks well at first sight, and is not: `actod check` says so all the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from actod import configfile
from actod.cli.checks.check import Finding
from actod.cli.checks.registry import CHECKS, finding_of
from actod.cli.checks.site import Site
from actod.ports import Instant
from hil.parts.broker import Broker
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT
from tests.cli.healthy import SetClock
from tests.config.parts import BASE, write

UNITS = ROOT / "deploy" / "systemd"


class ClockOf1970(SetClock):
    def now(self) -> Instant:
        return Instant(wall_ns=3600 * 10**9, monotonic_ns=3600 * 10**9)


class Machine:
    """A machine with the shipped units, and a configuration that loads."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root, self.state = folder, folder / "root", folder / "state"
        self.state.mkdir(mode=0o700)
        shutil.copytree(UNITS, self.root / "usr/lib/systemd/system")
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        self.config = {**BASE, "state_directory": str(self.state), "signer": {"spawn": False}}
        self.clock: SetClock = SetClock()

    def write(self, place: str, text: str) -> None:
        file = self.root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def site(self, *, offline: bool = True) -> Site:
        file = write(self.folder / "etc", self.config)
        return Site(configfile.load(file), file, root=self.root, clock=self.clock, offline=offline)

    def found(self, check: str) -> Finding:
        return finding_of(CHECKS[check][1], self.site())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def secret_behind_a_folder_that_is_a_link(machine: Machine) -> None:
    """Name a secret whose folder is a link into one that everybody can write."""
    (machine.folder / "open/secrets").mkdir(parents=True)
    (machine.folder / "open").chmod(0o777)
    (machine.folder / "open/secrets/api-key").touch(0o600)
    (machine.folder / "secrets").symlink_to(machine.folder / "open/secrets")
    machine.config["collector"] = machine.config["collector"] | {"api_key_file": f"{machine.folder}/secrets/api-key"}


def given_to(place: str, machine: Machine) -> None:
    (machine.folder / place).mkdir(exist_ok=True)
    (machine.folder / place / "api-key").touch(0o600)
    machine.config["collector"] = machine.config["collector"] | {"api_key_file": f"{machine.folder}/{place}/api-key"}
    os.chown(machine.folder / place, 12345, 12345)


def drop_in(name: str, text: str) -> Callable[[Machine], None]:
    return lambda machine: machine.write(name, text)


NAMED = (
    ("secret-links", secret_behind_a_folder_that_is_a_link, "open has mode 0777"),
    ("secret-links", partial(given_to, "keys"), "keys is that user's"),
    ("configuration-files", partial(given_to, "etc"), "is of user 12345, who can change it"),
    ("swap", drop_in("proc/swaps", "Filename\n/zram.swap file 1 0 -2\n"), "/zram.swap is not encrypted"),
    ("core-dumps", drop_in("proc/sys/kernel/core_uses_pid", "1\n"), "core files go to ''"),
    (
        "unit-daemon",  # `systemctl set-property`
        drop_in("etc/systemd/system.control/actod.service.d/50.conf", "[Service]\nMemorySwapMax=infinity\n"),
        "MemorySwapMax=infinity",
    ),
    (
        "unit-signer",  # of all units whose names begin so
        drop_in("etc/systemd/system/actod-.service.d/a.conf", "[Service]\nPrivateNetwork=no\n"),
        "PrivateNetwork=no",
    ),
    (
        "unit-signer",
        drop_in("etc/systemd/system/actod-signer.service.d/a.conf", "[Service]\nIPAddressAllow=any\n"),
        "IPAddressAllow=any",
    ),
    (
        "unit-daemon",
        drop_in("etc/systemd/system/actod.service.d/a.conf", "[Service]\nDeviceAllow=/dev/mem rw\n"),
        "DeviceAllow=/dev/mem rw",
    ),
    (
        "unit-daemon",
        drop_in("etc/systemd/system/actod.service.d/a.conf", "[Service]\nExecStartPre=+/bin/sh -c x\n"),
        "ExecStartPre= outside of the sandbox",
    ),
    (
        "egress",  # no section: systemd passes over it
        drop_in("etc/systemd/system/actod.service.d/a.conf", "IPAddressDeny=any\n"),
        "may reach every address",
    ),
    (
        "egress",
        drop_in("etc/systemd/system/actod.service.d/a.conf", "[Service]\nIPAddressDeny=any\nIPAddressAllow=any\n"),
        "may reach every address",
    ),
)


@pytest.mark.parametrize(("check", "fool", "said"), NAMED, ids=[f"{row[0]}: {row[2]}" for row in NAMED])
def test_what_only_looks_well_is_named(machine: Machine, check: str, fool: Callable[[Machine], None], said: str) -> None:
    if check in {"swap", "core-dumps"}:
        shutil.rmtree(machine.root / "usr/lib/systemd/system")
    before = machine.found(check)
    assert before.kind == "ok" or (check, before.kind) in {("core-dumps", "doubt"), ("egress", "trouble")}
    fool(machine)
    found = machine.found(check)
    assert (found.kind, said in found.detail) == ("trouble", True), found


def test_what_the_site_needs_is_no_fault(machine: Machine) -> None:
    machine.config["metrics"] = {"textfile": "/var/lib/node_exporter/actod.prom"}
    lines = f"[Service]\nReadWritePaths={machine.state} -/var/lib/node_exporter\n"
    machine.write("etc/systemd/system/actod.service.d/site.conf", lines)
    usb = "[Service]\nDeviceAllow=\nDeviceAllow=char-usb_device rw\n"  # docs/install.md
    machine.write("etc/systemd/system/actod-signer.service.d/usb.conf", usb)
    machine.write("etc/systemd/system/actod.service.d/ip.conf", "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n")
    machine.write("etc/mosquitto/mosquitto.conf", f"persistence 1\npersistence_location {machine.folder}\n")
    machine.write("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/mapper/none rw\n")
    (machine.root / str(machine.folder)[1:]).mkdir(parents=True)
    kinds = {name: machine.found(name).kind for name in ("unit-daemon", "unit-signer", "egress", "broker-store")}
    assert set(kinds.values()) == {"ok"}, kinds


def test_another_brokers_configuration_says_nothing_of_the_one_that_is_asked(machine: Machine) -> None:
    machine.write("etc/mosquitto/mosquitto.conf", "listener 1883\nmax_queued_messages 100000\n")
    assert machine.found("broker-queue").kind == "ok"
    machine.config["mqtt"] = {"port": 1884}
    found = machine.found("broker-queue")
    assert (found.kind, "is not known" in found.detail) == ("doubt", True)


def test_a_brokers_certificate_that_ends_or_has_ended_is_told_before_and_after(machine: Machine, tmp_path: Path) -> None:
    authority, now = CertificateAuthority.make(tmp_path / "ca"), datetime.now(UTC)
    for days, said in ((3, "nothing is collected after that"), (-3, "certificate_refused: certificate has expired")):
        times = {"not_before": now - timedelta(days=90), "not_after": now + timedelta(days=days)}
        broker = Broker(tmp_path / f"b{days}", certificate=authority.issue("broker", **times), ca_file=authority.ca_file)
        broker.start()
        machine.config["mqtt"] = {"port": broker.port, "tls": True, "ca_file": str(authority.ca_file)}
        found = finding_of(CHECKS["broker-answers"][1], machine.site(offline=False))
        broker.stop()
        assert said in found.detail
        assert found.remedy.startswith("openssl s_client ")


def test_a_clock_of_1970_makes_nothing_young(machine: Machine, tmp_path: Path) -> None:
    machine.clock = ClockOf1970()
    (machine.state / "credentials.json").write_text(
        '{"collector.api_key_file": {"digest": "00", "since": "2026-01-01T00:00:00+00:00", "told": ""}}'
    )
    assert "by the clock to come" in machine.found("credential-age").detail
    client = CertificateAuthority.make(tmp_path / "ca").issue(
        "robot", client=True, not_before=datetime(2026, 1, 1, tzinfo=UTC)
    )
    machine.config["collector"] = machine.config["collector"] | {
        "certificate_file": str(client.cert_file),
        "private_key_file": str(client.key_file),
    }
    found = machine.found("client-certificates")
    assert "begins on 2026-01-01, and the clock says 1970-01-01" in found.detail
