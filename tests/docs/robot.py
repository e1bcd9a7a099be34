"""A robot on which the package is installed, in a copy of this machine, with its broker and its collector.

What `dpkg -i` lays down is laid down here from the sources; that the package does the same is tried on machines with a real
systemd (`make hil-fast`). The rest is done by the commands of docs/install.md.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hil.collector.client import Collector
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, wait_for
from tests.docs.machine import Machine
from tests.docs.page import Page

_PACKAGE = f"""
mkdir -p /usr/lib/actod /usr/share/doc/actod
cp -r {ROOT}/deploy/tpm /usr/lib/actod/tpm
cp -r {ROOT}/deploy/examples /usr/share/doc/actod/examples
cp {ROOT}/deploy/mosquitto/robot.conf /usr/share/doc/actod/examples/mosquitto.conf
cp {ROOT}/deploy/systemd/*.service /usr/lib/systemd/system/
systemd-sysusers {ROOT}/deploy/systemd/actod.sysusers
systemd-tmpfiles --create {ROOT}/deploy/systemd/actod.tmpfiles
echo '127.0.0.1 localhost collector.example' >/etc/hosts
printf 'listener 1883 127.0.0.1\\nallow_anonymous true\\n' >/etc/mosquitto/conf.d/actod.conf
systemctl start mosquitto
"""
_SITE = """
[collector]
ca_file = "/etc/actod/ca.pem"
pins = {pins}
backoff_min_seconds = 0.1
backoff_max_seconds = 0.5
requests_per_second = 100.0
budgets = false

[seal]
max_age_seconds = 0.2

[[routes]]
name = "robots"
topic = "robot/+/#"
robot_id = "topic:2"

[[routes]]
name = "vda5050"
topic = "uagv/v2/+/+/+"
profile = "vda5050-v2"
"""
SITE_FILE = "/etc/actod/conf.d/90-site.toml"


@dataclass
class Robot:
    """The machine, and the collector that it reports to."""

    machine: Machine
    collector: Collector
    authority: CertificateAuthority
    api_key: str = field(repr=False)

    @property
    def site(self) -> str:
        """Return what an operator writes into conf.d/90-site.toml."""
        return _SITE.format(pins=json.dumps([self.authority.pin, self.authority.backup_pin]))

    def report(self, text: str) -> None:
        """Have the robot say something, and wait until the collector has it."""
        self.say(text)
        self.arrives(text)

    def say(self, text: str, *, port: int = 1883) -> None:
        """Publish a text to a broker."""
        self.machine.run(f"mosquitto_pub -p {port} -q 1 -t robot/r7/state -s", typed=json.dumps({"said": text}))

    def arrives(self, text: str) -> None:
        """Wait until the collector has a text."""
        wait_for(lambda: text in self.collector.envelopes_file.read_text(encoding="utf-8"), what=f"{text} at the collector")

    def bundles(self, path: str) -> None:
        """Write what the collector took into a file of the machine."""
        self.machine.write(path, self.collector.envelopes_file.read_text(encoding="utf-8"))

    def install(self) -> None:
        """Do what docs/install.md says, on a desk: a software token, and a collector of one's own."""
        page, machine = Page("docs/install.md"), self.machine
        machine.run(page.take("conf.d/50-prod.toml").typed(**{"50-prod": "50-dev"}), typed=self.site)
        machine.run(page.take("/etc/actod/credentials/api-key").typed(), typed=self.api_key)
        machine.run(page.take("provision tpm").typed(**{"provision tpm": "provision softhsm"}))
        machine.run(page.take("systemctl start actod").typed())
        self.report("installed")
        machine.run(page.take("robot.json").typed())
        assert page.left() == []

    def poison(self, *texts: str) -> list[str]:
        """Have the collector refuse a bundle with each of these texts for good; return their proof ids, once set aside."""
        self.collector.set_faults([{"kind": "status", "status": 503}])
        for number, text in enumerate(texts, 1):
            self.say(text)
            wait_for(lambda number=number: len(self.listed("waiting")) == number, what="the bundle")
        bundles = self.listed("waiting")
        self.collector.set_faults([{"kind": "status", "status": 422, "proof_ids": bundles}])
        wait_for(lambda: self.collector.stats()["stats"].get("status_422", 0) >= len(texts), what="their refusal")
        self.report("what came afterwards")
        wait_for(lambda: set(bundles) <= set(self.listed("quarantine")), what="the quarantine")
        self.collector.set_faults([])
        return bundles

    def listed(self, place: str) -> list[str]:
        """Return the proof ids of the robot's bundles in a place of the queue."""
        shown = self.machine.run(f"actod queue list --place {place} --json")
        return [bundle["proof_id"] for bundle in json.loads(shown)["bundles"] if bundle["robot_id"]]


@contextlib.contextmanager
def installed(folder: Path) -> Iterator[Robot]:
    """Install; nothing is configured yet."""
    with Machine(folder / "machine") as machine, contextlib.ExitStack() as stack:
        machine.run(_PACKAGE)
        authority = CertificateAuthority.make(folder / "ca")
        server = authority.issue("collector", san=["collector.example", "new-collector.example"])
        api_key = "acto_" + secrets.token_urlsafe(32)
        collector = Collector(folder=folder / "collector", certificate=server, api_keys=[api_key], command=machine.network)
        collector.port = 443
        stack.enter_context(contextlib.closing(collector))
        collector.start()
        machine.write("/etc/actod/ca.pem", authority.ca_file.read_text(encoding="utf-8"))
        yield Robot(machine, collector, authority, api_key)
