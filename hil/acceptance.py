"""The package on a machine with systemd, under the shipped units with all of their sandbox: steps that each hold or raise.

Install, provision a token, start, collect, sign, submit, reload, lose the signer, upgrade under load, remove, install again,
purge. `hil.installed` takes them in a container, hil/campaign on a robot.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import paho.mqtt.publish

from actod.service.messages import MESSAGES, PURGED
from hil import lives
from hil.collector.client import Collector
from hil.oracle import events, stock_verified
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, wait_for
from hil.soak import Publisher

MARK = {"bookworm": "12", "trixie": "13"}
SOFTHSM = "softhsm"
CREDENTIAL = "/etc/credstore.encrypted/actod.token-pin"
UNITS = ("actod.service", "actod-signer.service")
SETTINGS = """[log]
level = "info"
[[routes]]
name = "robots"
topic = "robot/+/#"
robot_id = "topic:2"
"""
_SINGLE, _LOAD = 2_000_000, 3_000_000  # numbers begin here: the traffic's, and those of a broker on the robot, end below
_BATCH = 1000
_ON_THEIR_WAY_SECONDS = 15
_IDLE_SECONDS = 20.0
_HARDENED = {"actod.service": 1.5, "actod-signer.service": 2.0}


class Machine(Protocol):
    """A machine that is reached as root: a container, a virtual robot, a board."""

    def run(
        self, *command: str, check: bool = True, text: str | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]: ...
    def write(self, path: str, text: str, *, mode: int = 0o644) -> None: ...
    def copy(self, file: Path, path: str) -> None: ...
    def remove(self, path: str) -> None: ...
    def shows(self, unit: str, name: str) -> str: ...


@dataclass
class Site:
    """The machine, and what surrounds it on the host: broker at `port`, collector. `patience` stretches each wait."""

    machine: Machine
    collector: Collector
    authority: CertificateAuthority
    port: int
    release: str
    api_key: str = field(repr=False)
    pin: str = field(default="", repr=False)
    architecture: str = "amd64"
    enrolled: dict[str, Any] = field(default_factory=dict)
    overwritten: list[range] = field(default_factory=list)  # places of what came from a disk that was put back afterwards
    per_second: float = 400
    token: str = SOFTHSM
    patience: float = 1.0
    _fresh: Iterator[int] = field(default_factory=lambda: itertools.count(_SINGLE), repr=False)

    def numbers(self) -> set[Any]:
        """Return the numbers of the messages that the collector holds."""
        return {event["data"].get("n") for event, _ in events(self.collector.envelopes())}

    def record(self) -> Path:
        """Copy what the collector holds now to a file to which nothing is added; it ends with a whole line.

        actod has several requests on their way at a time, so a later bundle may arrive first: the earlier one is waited for.
        If it does not come, the copy is returned with the hole.
        """
        file = self.collector.folder / "record.jsonl"

        def is_whole() -> bool:
            held = self.collector.envelopes_file.read_bytes()
            lines = held[: held.rfind(b"\n") + 1]
            file.write_bytes(lines)
            return not lives.holes([json.loads(line) for line in lines.splitlines()])

        with contextlib.suppress(TimeoutError):
            self.wait(is_whole, seconds=_ON_THEIR_WAY_SECONDS, what="a record without a hole")
        return file

    def verify(self, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Have `actod verify` judge bundles, by what was enrolled if anything was."""
        trust = self.collector.folder / "trust.json"
        trust.write_text(json.dumps(self.enrolled), encoding="utf-8")
        trusted = ["--trust", str(trust)] if self.enrolled else []
        command = [sys.executable, "-m", "actod", "verify", "--json", *trusted, *options, str(file)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)

    def publish(self) -> int:
        """Publish one message to the machine's broker, and return its number."""
        number = next(self._fresh)
        body = json.dumps({"n": number})
        paho.mqtt.publish.single("robot/1/joints", body, qos=1, hostname="127.0.0.1", port=self.port)
        return number

    def wait(self, condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
        """Wait as long as this machine needs."""
        return wait_for(condition, seconds=seconds * self.patience, what=what)

    def arrives(self, *, seconds: float = 60) -> None:
        """Publish one message, and wait until the collector has it."""
        number = self.publish()
        self.wait(lambda: number in self.numbers(), seconds=seconds, what=f"message {number} at the collector")

    def package_file(self, version: str) -> Path:
        """Return a package of this machine's, in dist/. Raises FileNotFoundError, which says how it is built."""
        file = ROOT / "dist" / f"actod_{version}+deb{MARK[self.release]}_{self.architecture}.deb"
        if not file.exists():
            built = f"VERSION={version} deploy/debian/build {self.release}-{self.architecture}"
            raise FileNotFoundError(f"{file} is missing; what builds it: {built}")
        return file

    def package(self, version: str) -> str:
        """Copy a package into the machine, and return its path there."""
        file = self.package_file(version)
        self.machine.copy(file, f"/root/{file.name}")
        return f"/root/{file.name}"

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
    machine.run("apt-get", "install", "-y", site.package("0.1.0"))
    for unit in UNITS:
        assert machine.shows(unit, "ActiveState") == "inactive", "what is not configured does not run"
        assert machine.shows(unit, "UnitFileState") == "enabled"
    verified = machine.run("systemd-analyze", "verify", *UNITS)
    assert (verified.stdout, verified.stderr) == ("", ""), verified.stderr
    for path, mode in (("/etc/actod/credentials", "700"), ("/etc/actod", "755")):
        assert machine.run("stat", "-c", "%a %U", path).stdout.split() == [mode, "root"]
    say("installed; systemd-analyze verify prints nothing")


def provision(site: Site) -> None:
    """Have `provision` make token, PIN and key for the signer's user; run again, it finds nothing to do."""
    machine = site.machine
    command = ["/usr/lib/actod/tpm/provision", site.token, "--no-packages"]
    command += ["--seal", "host"] if site.token == SOFTHSM else []
    machine.run(*command)
    again = machine.run(*command).stdout
    assert "doing" not in again, again
    read_pin(site)
    say(f"provisioned: {site.token} for the signer's user, the PIN as an encrypted credential")


def read_pin(site: Site) -> None:
    """Learn the PIN, to look for it where it must not be."""
    site.pin = site.machine.run("systemd-creds", "decrypt", "--name=token-pin", CREDENTIAL, "-").stdout


def configure(site: Site, *, url: str, environment: str, settings: str) -> None:
    """Write configuration and API key: the example, the environment's drop-in, and what is this site's."""
    machine = site.machine
    purpose = f"\nfor {environment} {urlsplit(url).hostname}\n" if environment != "dev" else ""
    machine.write("/etc/actod/credentials/api-key", site.api_key + purpose, mode=0o600)
    machine.write("/etc/actod/ca.pem", site.authority.ca_file.read_text())
    machine.write("/etc/actod/actod.toml", (ROOT / "deploy/examples/actod.toml").read_text())
    chosen = f"conf.d/50-{environment}.toml"
    machine.write(f"/etc/actod/{chosen}", (ROOT / "deploy/examples" / chosen).read_text())
    pins = json.dumps([site.authority.pin, site.authority.backup_pin])
    machine.write(
        "/etc/actod/conf.d/90-site.toml",
        f'[collector]\nurl = "{url}"\nca_file = "/etc/actod/ca.pem"\npins = {pins}\nbackoff_max_seconds = 1.0\n{settings}',
    )


def start(site: Site) -> None:
    """Start without the token: it collects all the same. Then with it."""
    machine = site.machine
    machine.run("mv", CREDENTIAL, "/root/away.cred")
    began = time.monotonic()
    machine.run("systemctl", "start", "actod")
    ready = time.monotonic() - began
    assert machine.shows("actod", "ActiveState") == "active"
    number = site.publish()
    site.wait(lambda: site.queue()["acknowledged"] > 0, seconds=20, what="a message on disk")
    taken = time.monotonic() - began
    assert machine.shows("actod-signer", "ActiveState") != "active"
    site.wait(lambda: "sealing waits for token" in machine.shows("actod", "StatusText"), seconds=30, what="the status")
    say("collects without the token", ready_seconds=round(ready, 2), on_disk_seconds=round(taken, 2))
    machine.run("mv", "/root/away.cred", CREDENTIAL)
    machine.run("systemctl", "restart", "actod-signer")
    site.wait(lambda: number in site.numbers(), seconds=60, what="the message that waited for the token")
    site.wait(lambda: machine.shows("actod", "StatusText") == "collecting", seconds=30, what="the status")
    for unit, most in _HARDENED.items():
        machine.run("systemd-analyze", "security", f"--threshold={int(most * 10)}", "--no-pager", unit)
        assert machine.shows(unit, "User") == unit.removesuffix(".service")
    say("signs and submits under the shipped units", envelopes=site.collector.count())


def check(site: Site, *, fails: set[str]) -> None:
    """Have the daemon's user make all checks, and the root those that only root may; exactly these may fail."""
    machine = site.machine
    lines: dict[str, dict[str, Any]] = {}
    for who in (("runuser", "-u", "actod", "--", "actod", "check"), ("actod", "check", "--only", "tpm-lockout")):
        said = machine.run(*who, "--json", check=False)
        lines |= {line["id"]: line for line in map(json.loads, said.stdout.splitlines())}
    for line in lines.values():
        if line["level"] in {"fail", "warn"}:
            print(f"    {line['level']}  {line['id']}: {line['detail']}  ({line['remedy']})", flush=True)
    levels = Counter(line["level"] for line in lines.values())
    assert {name for name, line in lines.items() if line["level"] == "fail"} == fails
    say("actod check", **levels)


def limits(site: Site) -> None:
    """Hold what the kernel enforces against what the units say: memory, swap, tasks, core files."""
    machine = site.machine
    for unit in UNITS:
        group = f"/sys/fs/cgroup{machine.shows(unit, 'ControlGroup')}"
        for file, wanted in (("memory.max", "MemoryMax"), ("memory.swap.max", "MemorySwapMax"), ("pids.max", "TasksMax")):
            assert machine.run("cat", f"{group}/{file}").stdout.strip() == machine.shows(unit, wanted), (unit, file)
        told = machine.run("cat", f"/proc/{machine.shows(unit, 'MainPID')}/limits").stdout
        assert re.search(r"Max core file size +0 +0 ", told), told
        assert machine.run("cat", f"{group}/memory.swap.max").stdout.strip() == "0"
    say("limits in force: memory, no swap, tasks, no core files")


def at_rest(site: Site) -> None:
    """Measure what both processes use while there is nothing to do."""
    say("at rest", **figures(site.machine))


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
    site.arrives()
    machine.remove(extra)
    machine.run("systemctl", "reload", "actod")
    say("reload: a good configuration is taken, a bad one refused and explained by journalctl -x")


def metrics(site: Site) -> None:
    """Turn the metrics on: the unit lets them out at its one port and into its one folder, and says so of another port."""
    machine, extra = site.machine, "/etc/actod/conf.d/96-metrics.toml"
    published = "/run/actod-metrics/actod.prom"
    for port in (9464, 9465):
        machine.write(extra, f'[metrics]\nlisten = "127.0.0.1:{port}"\ntextfile = "/run/actod-metrics/actod.prom"\n')
        machine.run("systemctl", "restart", "actod")
        file = site.wait(lambda: machine.run("cat", published, check=False).stdout, seconds=30, what="the file")
        assert "actod_build_info{" in file
        assert machine.run("stat", "-c", "%a %U", published).stdout.split() == ["644", "actod"]
    refused = machine.run("journalctl", "-u", "actod", "-o", "cat", "--no-pager").stdout
    restricted = "Nobody can ask for metrics" in refused  # where the kernel lets systemd restrict it
    machine.write(extra, '[metrics]\nlisten = "127.0.0.1:9464"\n')
    machine.run("systemctl", "restart", "actod")
    asked = (
        "python3",
        "-c",
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9464/metrics').read().decode())",
    )
    text = site.wait(lambda: machine.run(*asked, check=False).stdout, seconds=30, what="the metrics")
    assert "actod_bundles_receipted_total" in text
    assert machine.run("test", "-e", published, check=False).returncode == 1
    for file in ("grafana/actod.json", "prometheus/actod.rules.yml"):
        machine.run("test", "-s", f"/usr/share/actod/{file}")
    watched = machine.run("timeout", "-s", "INT", "5", "actod", "status", "--watch", "1", check=False)
    assert watched.stdout.count("last receipts") > 1, watched.stderr
    machine.remove(extra)
    machine.run("systemctl", "restart", "actod")
    say("metrics: at one port, in one file, under the shipped unit", another_port_refused=restricted)


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


def lose_the_signer(site: Site) -> None:
    """Kill the signer; systemd brings it back, and what was collected meanwhile is sealed."""
    machine = site.machine
    before = machine.shows("actod-signer", "MainPID")
    machine.run("systemctl", "kill", "-s", "KILL", "actod-signer")
    site.arrives()
    assert machine.shows("actod-signer", "MainPID") not in {before, "0"}
    machine.run("systemctl", "kill", "-s", "STOP", "actod-signer")
    restarts = int(machine.shows("actod-signer", "NRestarts"))
    site.arrives(seconds=120)
    assert int(machine.shows("actod-signer", "NRestarts")) > restarts
    say("a killed signer is back, and one that is stopped is ended by its watchdog and started again")


def upgrade(site: Site) -> None:
    """Upgrade under load; nothing that was published is lost, and the chain goes on."""
    first = sent = _LOAD
    with ThreadPoolExecutor(1) as pool:
        upgraded = pool.submit(site.machine.run, "apt-get", "install", "-y", site.package("0.1.1"))
        ended = False
        while not ended:
            ended = upgraded.done()  # the last batch comes after it
            batch = Publisher(port=site.port, messages=_BATCH, per_second=site.per_second, first=sent)
            batch.start()
            batch.join(120 * site.patience)
            sent += _BATCH
        upgraded.result()
    wanted = set(range(first, sent))
    site.wait(lambda: wanted <= site.numbers(), seconds=120, what="every message at the collector")
    say("upgraded under load, nothing lost", messages=sent - first)


def remove(site: Site) -> None:
    """Remove and install again: the queue and the chain are still there. Then purge: nothing is."""
    machine, before = site.machine, site.collector.count()
    machine.run("apt-get", "remove", "-y", "actod")
    assert machine.run("systemctl", "is-active", "actod", check=False).stdout.strip() in {"inactive", "unknown"}
    assert machine.run("test", "-e", "/usr/lib/actod", check=False).returncode == 1, "something is left below /usr"
    site.publish()
    machine.run("apt-get", "install", "-y", site.package("0.1.1"))
    site.arrives()
    since = site.collector.envelopes()[before - 1 :]
    assert len({envelope["payload"]["meta"]["actod"]["epoch"] for envelope in since}) == 1, "the chain goes on"
    record = site.record()
    goes_on, *_ = lives.write(record, site.overwritten)
    verified = site.verify(goes_on)
    assert verified.returncode == 0, verified.stdout[-2000:]
    count = len(record.read_bytes().splitlines())
    assert stock_verified(record, None) == count
    say("removed and installed again: one chain, every bundle verifies", bundles=count)
    machine.run("apt-get", "purge", "-y", "actod")
    for path in ("/var/lib/actod", "/var/lib/actod-token", "/etc/actod", CREDENTIAL, "/usr/lib/actod", "/usr/bin/actod"):
        assert machine.run("test", "-e", path, check=False).returncode == 1, f"{path} is left"
    last = machine.run("journalctl", f"MESSAGE_ID={PURGED.id}", "-o", "cat", "--no-pager").stdout
    assert "are erased" in last
    failed = machine.run("systemctl", "--failed", "--no-legend", "--plain").stdout
    assert "actod" not in failed
    say("purged: key, queue and configuration are gone, the journal has the last record")
