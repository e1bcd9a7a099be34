"""What surrounds a robot and is not on it: broker, recording witness, collector, certificates."""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from hil.acceptance import Site, configure, install, provision, read_pin
from hil.collector.client import Collector
from hil.operatorkey import Operator
from hil.parts.broker import Broker
from hil.parts.capture import sift
from hil.parts.certificates import CertificateAuthority
from hil.parts.witness import Witness
from hil.rig import DEFAULT_ROUTES, ROOT
from hil.robot.publisher import number_of
from hil.robotbroker import RobotBroker
from hil.tally import Tally
from hil.target import Robot
from hil.virtual.image import digest

CODE = "/usr/lib/actod/lib/python3.*/site-packages/actod"  # for a shell on the robot
_DIGEST = """import hashlib, pathlib, sys
files = sorted(pathlib.Path(sys.argv[1]).rglob("*.py"))
print(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16])"""
_CREDENTIAL = "[Service]\nLoadCredential=broker-password:/etc/actod/credentials/broker-password\n"
COLLECTOR, BROKER = "collector.example", "broker.example"
_MOST_CAPTURED_BYTES = 256 << 20
AS_ACTOD = ("runuser", "-u", "actod", "--")
OPERATOR = "/etc/actod/operator.pub.pem"


@dataclass
class World:
    """The robot's surroundings; `site` is what the steps of acceptance work on."""

    folder: Path
    robot: Robot
    broker: Broker
    witness: Witness
    site: Site
    stranger: CertificateAuthority
    tally: Tally
    operator: Operator
    notes: list[str] = field(default_factory=list)
    heard_all: bool = True  # every packet since `listen` is in `capture_file`
    gone: dict[str, set[str]] = field(default_factory=dict)  # why, and which acknowledged messages went with a disk
    canaries: list[str] = field(default_factory=list)  # what was planted beside the traffic
    retired_keys: list[str] = field(default_factory=list, repr=False)  # the collector's, that it takes no more
    inside: RobotBroker | None = None

    @classmethod
    @contextlib.contextmanager
    def around(cls, robot: Robot, folder: Path) -> Iterator[World]:
        """Start everything, and end it."""
        listen = robot.options["listen"]
        with contextlib.ExitStack() as stack:
            authority = CertificateAuthority.make(folder / "ca")
            api_key = "acto_" + secrets.token_urlsafe(32)
            certificate = authority.issue("collector", san=[COLLECTOR])
            collector = Collector(folder=folder / "collector", certificate=certificate, api_keys=[api_key], listen=listen)
            stack.enter_context(contextlib.closing(collector))
            collector.start()
            broker = Broker(folder / "broker", persistence=True)
            stack.callback(broker.stop)
            broker.start()
            witness = stack.enter_context(
                Witness(broker.port, listen=listen, certificate=authority.issue("broker", san=[BROKER])).running()
            )
            site = Site(
                robot,
                collector,
                authority,
                broker.port,
                robot.options["release"],
                api_key,
                architecture=robot.options["architecture"],
                token=robot.options["token"],
                patience=4.0,
                per_second=40,
            )
            stranger = CertificateAuthority.make(folder / "stranger", name="another public CA")
            tally = Tally(seen=lambda: witness.seen, envelopes=collector.envelopes, name=number_of)
            world = cls(folder, robot, broker, witness, site, stranger, tally, Operator.make(folder / "operator"))
            stack.callback(world.forget_traffic)
            yield world

    @property
    def api_keys(self) -> list[str]:
        """Return every API key that the robot was ever given."""
        return [*self.retired_keys, self.site.api_key]

    @property
    def capture_file(self) -> Path:
        """Return where the robot's traffic is kept."""
        return self.folder / "capture.pcap"

    def listen(self) -> None:
        """Write down a virtual robot's traffic from now on; a board's network is not the rig's to listen at."""
        if self.robot.vm is not None:
            self.robot.vm.listen()

    def sift(self) -> None:
        """Keep of the traffic so far what is not SSH, up to a limit."""
        for file in self.robot.vm.heard() if self.robot.vm is not None else ():
            self.heard_all &= sift(file, self.capture_file, most_bytes=_MOST_CAPTURED_BYTES)
            file.unlink()

    def forget_traffic(self) -> None:
        """Listen no more, and remove what was kept of the traffic."""
        if self.robot.vm is not None:
            self.robot.vm.listen_no_more()
        self.sift()
        self.capture_file.unlink(missing_ok=True)

    @property
    def url(self) -> str:
        """Return where the robot finds the collector."""
        return f"https://{COLLECTOR}:{self.site.collector.port}"

    @property
    def settings(self) -> str:
        """Return what the robot's configuration has to say of this place."""
        return (
            f'[mqtt]\nhost = "{BROKER}"\nport = {self.witness.port}\ntls = true\nca_file = "/etc/actod/ca.pem"\n'
            'username = "robot-1"\npassword_file = "credential:broker-password"\n'
            '[seal]\nmax_age_seconds = 15.0\nheartbeat_seconds = 60\n[log]\nlevel = "info"\n' + DEFAULT_ROUTES
        )

    def note(self, said: str) -> None:
        """Keep what the robot said of a fault while nobody could ask."""
        self.notes.append(said)

    def write_off(self, why: str, names: set[str]) -> None:
        """Owe these no more: they were acknowledged, and the only disk that held them is gone."""
        self.gone.setdefault(why, set()).update(self.tally.write_off(names))

    def configure(self) -> None:
        """Write the robot's configuration. It trusts a second CA, as a system's list of them does."""
        self.name_hosts()
        self.robot.write("/etc/actod/credentials/broker-password", secrets.token_urlsafe(16), mode=0o600)
        self.robot.write("/etc/systemd/system/actod.service.d/broker.conf", _CREDENTIAL)
        self.robot.run("systemctl", "daemon-reload")
        configure(self.site, url=self.url, environment="prod", settings=self.settings)
        trusted = self.site.authority.ca_file.read_text() + self.stranger.ca_file.read_text()
        self.robot.write("/etc/actod/ca.pem", trusted)

    def equip(self) -> None:
        """Install and provision, then start; a virtual robot is kept as it is then, and the next one begins like it."""
        site, vm = self.site, self.robot.vm
        if vm is None:
            install(site)
            provision(site)
        else:
            package = site.package_file("0.1.0").read_bytes()
            kept = ROOT / ".cache" / "hil" / f"installed-{digest(site.architecture)}-{sha256(package).hexdigest()[:12]}"
            if not kept.exists():
                if not vm.running():
                    self.robot.power_on()
                install(site)
                provision(site)
                self.shut_down()
                vm.keep(kept)
            self.robot.power_off()
            vm.begin_as(kept)
            self.robot.power_on()
            read_pin(site)
        self.start()

    def start(self) -> None:
        """Configure, start, and enrol; a robot that has signed nothing yet would begin with any key."""
        self.configure()
        self.robot.run("systemctl", "start", "actod")
        self.enrol()
        self.site.wait(self.site.collector.count, seconds=60, what="the first bundle")

    def enrol(self) -> None:
        """Take the robot's public keys and its id, as an operator does who has it before him, and bring his own key."""
        self.robot.write(OPERATOR, self.operator.public.read_bytes())
        said = self.robot.run(*AS_ACTOD, "actod", "keys", "export", "--trust", "--operator", OPERATOR)
        self.site.enrolled = json.loads(said.stdout)

    def installed_source(self) -> str:
        """Return the digest of what is installed, as `source` has that of this clone."""
        return self.robot.run("sh", "-c", f"python3 -c {shlex.quote(_DIGEST)} {CODE}").stdout.strip()

    def name_hosts(self) -> None:
        """Tell the robot's resolver where its broker and its collector are."""
        line = f"{self.robot.options['host']} {BROKER} {COLLECTOR}"
        self.robot.run("sh", "-c", f"sed -i '/{COLLECTOR}/d' /etc/hosts; echo '{line}' >>/etc/hosts; sync /etc/hosts")

    def is_acknowledged(self, number: int) -> bool:
        """Whether the witness saw the robot acknowledge a message of this number."""
        return any(
            json.loads(seen.payload).get("n") == number for seen in self.witness.acknowledged() if seen.payload[:1] == b"{"
        )

    def restart(self) -> float:
        """Have the robot shut down in an orderly way and boot; return the seconds until it is up."""
        robot = self.robot
        if robot.vm is None:
            robot.run("systemctl", "reboot", check=False)
            return robot.wait_up()
        self.shut_down()
        return robot.power_on()

    def shut_down(self) -> None:
        """Have the virtual robot switch itself off in an orderly way."""
        robot = self.robot
        assert robot.vm is not None
        robot.run("systemctl", "--no-block", "poweroff", check=False)
        robot.hang_up()
        robot.vm.wait_off()

    def start_times(self) -> dict[str, float]:
        """Return the seconds from the daemon's start to READY, and from the kernel's start to READY, of this boot."""
        robot = self.robot
        began, ready = (
            int(robot.shows("actod", f"{name}TimestampMonotonic")) / 1e6 for name in ("InactiveExit", "ActiveEnter")
        )
        return {"start_to_ready_seconds": round(ready - began, 2), "boot_to_ready_seconds": round(ready, 2)}
