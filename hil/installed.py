"""The package on a machine with systemd, under the shipped units with all of their sandbox: `python -m hil.installed`.

Install, provision SoftHSM, start, collect from the machine's mosquitto, sign, submit, reload, lose the token, upgrade under
load, remove, install again, purge. Each step prints one line; the first that does not hold ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.publish

from actod.service.messages import MESSAGES, PURGED
from hil.collector.client import Collector
from hil.machine import Machine, booted
from hil.oracle import events, stock_verified
from hil.parts.broker import free_port
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, wait_for
from hil.soak import Publisher

MARK = {"bookworm": "12", "trixie": "13"}
CREDENTIAL = "/etc/credstore.encrypted/actod.token-pin"
UNITS = ("actod.service", "actod-signer.service")
ROUNDS = ("weekly", "monthly", "quarterly")
_BATCH = 1000
_IDLE_SECONDS = 20.0
_HARDENED = {"actod.service": 1.5, "actod-signer.service": 2.0}


@dataclass
class Site:
    """The machine, and what surrounds it on the host."""

    machine: Machine
    collector: Collector
    authority: CertificateAuthority
    port: int
    release: str
    api_key: str = field(repr=False)
    pin: str = field(default="", repr=False)

    def numbers(self) -> set[Any]:
        """Return the numbers of the messages that the collector holds."""
        return {event["data"].get("n") for event, _ in events(self.collector.envelopes())}

    def publish(self, number: int) -> None:
        """Publish one message to the machine's broker."""
        body = json.dumps({"n": number})
        paho.mqtt.publish.single("robot/1/joints", body, qos=1, hostname="127.0.0.1", port=self.port)

    def arrives(self, number: int, *, seconds: float = 60) -> None:
        """Publish one message, and wait until the collector has it."""
        self.publish(number)
        wait_for(lambda: number in self.numbers(), seconds=seconds, what=f"message {number} at the collector")

    def package(self, version: str) -> str:
        """Copy a package into the machine, and return its path there."""
        name = f"actod_{version}+deb{MARK[self.release]}_amd64.deb"
        (self.machine.folder / "root" / name).write_bytes((ROOT / "dist" / name).read_bytes())
        return f"/root/{name}"

    def queue(self) -> dict[str, Any]:
        """Return the store's numbers, as the daemon's own user sees them."""
        said = self.machine.run(
            "runuser", "-u", "actod", "--", "actod", "queue", "list", "--json", "--state", "/var/lib/actod"
        )
        status: dict[str, Any] = json.loads(said.stdout)["status"]
        return status


def say(step: str, **facts: Any) -> None:
    """Print what holds."""
    print(f"ok  {step}" + "".join(f"  {name}={value}" for name, value in facts.items()), flush=True)


def install(site: Site) -> None:
    """Install, and hold systemd's own word against the units."""
    machine = site.machine
    machine.run("dpkg", "-i", site.package("0.1.0"))
    for unit in UNITS:
        assert machine.shows(unit, "ActiveState") == "inactive", "what is not configured does not run"
        assert machine.shows(unit, "UnitFileState") == "enabled"
    verified = machine.run("systemd-analyze", "verify", *UNITS)
    assert (verified.stdout, verified.stderr) == ("", ""), verified.stderr
    for path, mode in (("/etc/actod/credentials", "700"), ("/etc/actod", "755")):
        assert machine.run("stat", "-c", "%a %U", path).stdout.split() == [mode, "root"]
    say("installed; systemd-analyze verify prints nothing")


def provision(site: Site, *, url: str, pins: list[str]) -> None:
    """Have `provision` make token, PIN and key for the signer's user, and write the configuration."""
    machine = site.machine
    provision = ("/usr/lib/actod/tpm/provision", "softhsm", "--seal", "host", "--no-packages")
    machine.run(*provision)
    again = machine.run(*provision).stdout
    assert "doing" not in again, again
    site.pin = machine.run("systemd-creds", "decrypt", "--name=token-pin", CREDENTIAL, "-").stdout
    machine.write("/etc/actod/credentials/api-key", site.api_key, mode=0o600)
    machine.write("/etc/actod/ca.pem", site.authority.ca_file.read_text())
    machine.write("/etc/actod/actod.toml", (ROOT / "deploy/examples/actod.toml").read_text())
    machine.write("/etc/actod/conf.d/50-dev.toml", (ROOT / "deploy/examples/conf.d/50-dev.toml").read_text())
    machine.write(
        "/etc/actod/conf.d/90-site.toml",
        f'[mqtt]\nport = {site.port}\n[collector]\nurl = "{url}"\nca_file = "/etc/actod/ca.pem"\npins = {json.dumps(pins)}\n'
        'backoff_max_seconds = 1.0\n[log]\nlevel = "info"\n'
        '[[routes]]\nname = "robots"\ntopic = "robot/+/#"\nrobot_id = "topic:2"\n',
    )
    machine.write(
        "/etc/mosquitto/conf.d/actod.conf",
        f"listener {site.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 50000\n",
    )
    machine.run("systemctl", "restart", "mosquitto")
    say("provisioned: SoftHSM for the signer's user, the PIN as an encrypted credential")


def start(site: Site) -> None:
    """Start without the token: it collects all the same. Then with it."""
    machine = site.machine
    machine.run("mv", CREDENTIAL, "/root/away.cred")
    began = time.monotonic()
    machine.run("systemctl", "start", "actod")
    ready = time.monotonic() - began
    assert machine.shows("actod", "ActiveState") == "active"
    site.publish(0)
    wait_for(lambda: site.queue()["acknowledged"] > 0, seconds=20, what="a message on disk")
    taken = time.monotonic() - began
    assert machine.shows("actod-signer", "ActiveState") != "active"
    wait_for(lambda: "sealing waits for token" in machine.shows("actod", "StatusText"), what="the status")
    say("collects without the token", ready_seconds=round(ready, 2), on_disk_seconds=round(taken, 2))
    machine.run("mv", "/root/away.cred", CREDENTIAL)
    machine.run("systemctl", "restart", "actod-signer")
    wait_for(lambda: 0 in site.numbers(), seconds=60, what="the message that waited for the token")
    wait_for(lambda: machine.shows("actod", "StatusText") == "collecting", what="the status")
    for unit, most in _HARDENED.items():
        machine.run("systemd-analyze", "security", f"--threshold={int(most * 10)}", "--no-pager", unit)
        assert machine.shows(unit, "User") == unit.removesuffix(".service")
    say("signs and submits under the shipped units", envelopes=site.collector.count(), **figures(machine))


def figures(machine: Machine) -> dict[str, Any]:
    """Return the memory of both processes by their own pages (PSS, in MiB), and what they use of a core while idle (%)."""
    pids = {unit.removesuffix(".service"): machine.shows(unit, "MainPID") for unit in UNITS}
    before = {name: _cpu_seconds(machine, pid) for name, pid in pids.items()}
    time.sleep(_IDLE_SECONDS)  # idleness is what is measured
    found: dict[str, Any] = {}
    for name, pid in pids.items():
        rollup = machine.run("cat", f"/proc/{pid}/smaps_rollup").stdout
        kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        found[f"{name}_pss_mib"] = round(kib / 1024, 1)
        found[f"{name}_idle_percent"] = round(100 * (_cpu_seconds(machine, pid) - before[name]) / _IDLE_SECONDS, 2)
    return found


def _cpu_seconds(machine: Machine, pid: str) -> float:
    fields = machine.run("cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reload(site: Site) -> None:
    """Take a good configuration, refuse a bad one, and have journalctl explain it."""
    machine, extra = site.machine, "/etc/actod/conf.d/95-extra.toml"
    machine.write(extra, "[collector]\nrequest_timeout_seconds = 31.0\n")
    machine.run("systemctl", "reload", "actod")
    machine.write(extra, "[collector]\nrequest_timeout_seconds = -1.0\n")
    refused = machine.run("systemctl", "reload", "actod", check=False)
    assert refused.returncode != 0
    assert machine.shows("actod", "ActiveState") == "active"
    explained = machine.run("journalctl", "-u", "actod", "-x", "--no-pager").stdout
    shown = " ".join(explained.replace("\u2591", " ").replace("--", " ").split())
    assert "Subject: The new configuration is refused; the old one stays in force" in shown, explained[-3000:]
    assert (
        f"A reload changed nothing: {extra} holds a value that makes no sense at collector.request_timeout_seconds" in shown
    )
    assert "What mends it: choose a value in the range. Then: systemctl reload actod." in shown
    site.arrives(1)
    (machine.folder / extra.lstrip("/")).unlink()
    machine.run("systemctl", "reload", "actod")
    say("reload: a good configuration is taken, a bad one refused and explained by journalctl -x")


def journal(site: Site) -> None:
    """Read entries back with their fields, and look for what must not be there."""
    machine = site.machine
    lines = machine.run("journalctl", "-u", "actod", "-u", "actod-signer", "-o", "json", "--no-pager").stdout.splitlines()
    entries = [json.loads(line) for line in lines]
    collecting = next(entry for entry in entries if entry["MESSAGE"] == "Collecting.")
    assert collecting["MESSAGE_ID"] == MESSAGES["Collecting."].id
    assert (collecting["PRIORITY"], collecting["SYSLOG_IDENTIFIER"]) == ("6", "actod")
    assert len(collecting["ACTOD_CONFIG"]) == 64
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} >= {"actod", "actod-signer"}
    everything = machine.run("journalctl", "-o", "export", "--no-pager").stdout
    assert site.pin
    for name, secret in (("PIN", site.pin), ("API key", site.api_key)):
        found = [line.replace(secret, "[...]") for line in everything.splitlines() if secret in line]
        assert found == [], name
    say("journal: entries have their fields, no secret is in it", entries=len(entries))


def maintain(site: Site) -> None:
    """Make each round of maintenance in its unit: nothing fails there for the sandbox's sake, and the journal has it."""
    machine = site.machine
    results = {}
    for kind in ROUNDS:
        timer, unit = f"actod-maintenance-{kind}.timer", f"actod-maintenance@{kind}.service"
        assert (machine.shows(timer, "UnitFileState"), machine.shows(timer, "ActiveState")) == ("enabled", "active")
        machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)
        done = machine.run("systemctl", "start", unit, check=False)
        lines = machine.run("journalctl", "-u", unit, "-o", "json", "--no-pager").stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        assert done.returncode == 0, "\n".join(entry["MESSAGE"] for entry in entries)
        said = {entry.get("MESSAGE_ID") for entry in entries if entry.get("ACTOD_KIND") == kind}
        assert said & {message.id for sentence, message in MESSAGES.items() if sentence.startswith("Maintenance ")}
    status = machine.run("runuser", "-u", "actod", "--", "actod", "status", "--json").stdout
    for kind, run in json.loads(status)["maintenance"].items():
        assert run["result"] in {"ok", "warn"}, run
        results[kind] = ",".join(run["warned"]) or "ok"
    say("maintenance: each round runs under its unit, and stands in journal and status", **results)


def lock(site: Site) -> None:
    """Lock and unlock submission as the daemon's user; what came meanwhile arrives."""
    machine, actod = site.machine, ("runuser", "-u", "actod", "--", "actod")
    machine.run(*actod, "incident", "lock", "--reason", "exercise")
    assert "blocked:incident" in wait_for(
        lambda: "incident" in (text := machine.shows("actod", "StatusText")) and text, what="the status"
    )
    site.publish(6)
    wait_for(lambda: site.queue()["outbox_bundles"] > 0, seconds=60, what="a bundle that waits")
    assert 6 not in site.numbers()
    machine.run(*actod, "incident", "unlock")
    wait_for(lambda: 6 in site.numbers(), seconds=60, what="what came while it was locked")
    say("incident: locked and unlocked, nothing lost")


def lose_the_signer(site: Site) -> None:
    """Kill the signer; systemd brings it back, and what was collected meanwhile is sealed."""
    machine = site.machine
    before = machine.shows("actod-signer", "MainPID")
    machine.run("systemctl", "kill", "-s", "KILL", "actod-signer")
    site.arrives(2)
    assert machine.shows("actod-signer", "MainPID") not in {before, "0"}
    machine.run("systemctl", "kill", "-s", "STOP", "actod-signer")
    restarts = int(machine.shows("actod-signer", "NRestarts"))
    site.arrives(3, seconds=120)
    assert int(machine.shows("actod-signer", "NRestarts")) > restarts
    say("a killed signer is back, and one that is stopped is ended by its watchdog and started again")


def upgrade(site: Site) -> None:
    """Upgrade under load; nothing that was published is lost, and the chain goes on."""
    first = sent = 10
    with ThreadPoolExecutor(1) as pool:
        upgraded = pool.submit(site.machine.run, "dpkg", "-i", site.package("0.1.1"))
        ended = False
        while not ended:
            ended = upgraded.done()  # the last batch comes after it
            batch = Publisher(port=site.port, messages=_BATCH, per_second=400, first=sent)
            batch.start()
            batch.join(120)
            sent += _BATCH
        upgraded.result()
    wanted = set(range(first, sent))
    wait_for(lambda: wanted <= site.numbers(), seconds=120, what="every message at the collector")
    say("upgraded under load, nothing lost", messages=sent - first)


def remove(site: Site) -> None:
    """Remove and install again: the queue and the chain are still there. Then purge: nothing is."""
    machine = site.machine
    site.machine.run("dpkg", "-r", "actod")
    assert machine.run("systemctl", "is-active", "actod", check=False).stdout.strip() in {"inactive", "unknown"}
    assert machine.run("test", "-e", "/usr/lib/actod", check=False).returncode == 1, "something is left below /usr"
    site.publish(4)
    machine.run("dpkg", "-i", site.package("0.1.1"))
    site.arrives(5)
    epochs = {envelope["payload"]["meta"]["actod"]["epoch"] for envelope in site.collector.envelopes()}
    assert epochs == {1}
    verified = subprocess.run(
        [sys.executable, "-m", "actod", "verify", "--json", str(site.collector.envelopes_file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout[-2000:]
    count = site.collector.count()
    assert stock_verified(site.collector.envelopes_file, None) == count
    say("removed and installed again: one chain, every bundle verifies", bundles=count)
    machine.run("dpkg", "-P", "actod")
    for path in ("/var/lib/actod", "/var/lib/actod-token", "/etc/actod", CREDENTIAL, "/usr/lib/actod", "/usr/bin/actod"):
        assert machine.run("test", "-e", path, check=False).returncode == 1, f"{path} is left"
    last = machine.run("journalctl", f"MESSAGE_ID={PURGED.id}", "-o", "cat", "--no-pager").stdout
    assert "are erased" in last
    failed = machine.run("systemctl", "--failed", "--no-legend", "--plain").stdout
    assert "actod" not in failed
    say("purged: key, queue and configuration are gone, the journal has the last record")


def main() -> int:
    """Run all steps on one release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", choices=sorted(MARK), default="bookworm")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="actod-installed-") as name, booted(options.release) as machine:
        folder = Path(name)
        authority = CertificateAuthority.make(folder / "ca")
        api_key = "acto_" + secrets.token_urlsafe(32)
        collector = Collector(folder=folder / "collector", certificate=authority.issue("collector"), api_keys=[api_key])
        collector.start()
        try:
            site = Site(machine, collector, authority, free_port(), options.release, api_key)
            install(site)
            provision(site, url=f"https://127.0.0.1:{collector.port}", pins=[authority.pin, authority.backup_pin])
            for step in (start, reload, maintain, lock, lose_the_signer, upgrade, journal, remove):
                step(site)
        except BaseException:
            print(machine.run("journalctl", "-n", "60", "--no-pager", check=False).stdout, file=sys.stderr)
            raise
        finally:
            collector.close()
    print(f"installed: all steps hold on {options.release}, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
