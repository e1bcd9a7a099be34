"""Each peer as its own documentation sets it up: what is installed, which files it gets, which processes run."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import say
from bench.peers.sink import HttpsSink, LineSink, Sink, ThingsboardSink
from hil.parts.broker import Broker, free_port
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, wait_for

CACHE = ROOT / "bench" / ".cache"
TOPIC = "uagv/v2/+/+/+"


@dataclass
class Peer:
    """Processes that take states from `broker_port`, and what they deliver to."""

    name: str
    masks: str
    signs: str
    cannot: str
    folder: Path
    commands: list[list[str]]
    environment: dict[str, str]
    sink: Sink
    listens: int = 0  # the port of the first process, for which the others wait; 0: none
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start all of them; a pipe joins those that follow each other."""
        log = (self.folder / "log").open("ab")
        self.processes, source = [], None
        for command in self.commands:
            piped = subprocess.PIPE if command is not self.commands[-1] and command[0].endswith("mosquitto_sub") else log
            process = subprocess.Popen(
                command, stdin=source or subprocess.DEVNULL, stdout=piped, stderr=log, env=self.environment, cwd=self.folder
            )
            source = process.stdout if piped is subprocess.PIPE else None
            self.processes.append(process)
            if self.listens and len(self.processes) == 1:
                wait_for(self._answers, what="the first process")
        log.close()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.listens)) == 0

    def kill(self) -> None:
        """SIGKILL, all at once."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def straight(folder: Path, broker_port: int, authority: CertificateAuthority) -> Iterator[Peer]:
    """Make the straight line: paho and actobotics."""
    python = _venv("straight", "paho-mqtt", "actobotics")
    sink = HttpsSink(authority.issue("collector"))
    environment = dict(os.environ) | {"API_KEY": "acto_" + "0" * 43, "SSL_CERT_FILE": str(authority.ca_file)}
    environment.pop("PYTHONPATH", None)
    with closing(sink):
        yield Peer(
            name=f"paho + actobotics {_version(python, 'actobotics')}",
            masks="yes, by 6 patterns",
            signs="Ed25519 key in a file",
            cannot="keep anything on disk, chain bundles, count what it loses, pin the server, use a token",
            folder=folder,
            commands=[[str(python), str(ROOT / "bench/peers/straight.py"), str(broker_port), str(sink.port)]],
            environment=environment,
            sink=sink,
        )


def thingsboard(folder: Path, broker_port: int, _authority: CertificateAuthority) -> Iterator[Peer]:
    """Make thingsboard-gateway with its MQTT connector and file storage, and a broker in the place of its server."""
    python = _venv("tb", "thingsboard-gateway")
    (folder / "acl").write_text("topic readwrite #\n\nuser stub\n" + "".join(f"topic {rule}\n" for rule in _ALLOWED))
    acl = f"acl_file {folder}/acl"  # else the gateway would hear its own questions
    uplink = Broker(folder / "uplink", settings=acl, port=free_port())
    shipped = next((CACHE / "tb").glob("lib/python*/site-packages/thingsboard_gateway/config"))
    settings = json.loads((shipped / "tb_gateway.json").read_text())
    settings["thingsboard"] |= {"host": "127.0.0.1", "port": uplink.port, "remoteConfiguration": False}
    settings["thingsboard"] |= {name: "0:0," for name in settings["thingsboard"] if name.lower().endswith("ratelimits")}
    settings["thingsboard"]["security"] = {"accessToken": "stub"}
    settings["storage"] |= {"type": "file", "data_folder_path": f"{folder}/data/", "data_file_path": f"{folder}/data/"}
    settings["connectors"] = [{"name": "mqtt", "type": "mqtt", "configuration": "mqtt.json"}]
    connector = json.loads((shipped / "mqtt.json").read_text())
    connector["broker"] |= {"port": broker_port, "cleanSession": False, "cleanStart": False, "sessionExpiryInterval": 3600}
    mapping = next(each for each in connector["mapping"] if each["converter"]["type"] == "json")
    mapping |= {"topicFilter": TOPIC, "subscriptionQos": 1}
    mapping["converter"] |= {"attributes": [], "timeseries": [_key(name) for name in _KEYS]}
    connector = {"broker": connector["broker"], "mapping": [mapping]}
    (folder / "data").mkdir()
    for name, content in (("tb_gateway.json", settings), ("mqtt.json", connector)):
        (folder / name).write_text(json.dumps(content))
    logs = json.loads((shipped / "logs.json").read_text().replace("./logs", str(folder)))
    (folder / "logs.json").write_text(json.dumps(logs))
    environment = dict(os.environ) | {"TB_GW_CONFIG_DIR": str(folder) + "/"}
    environment.pop("PYTHONPATH", None)
    service = "from thingsboard_gateway.gateway.tb_gateway_service import TBGatewayService"
    script = f"{service}; TBGatewayService({str(folder / 'tb_gateway.json')!r})"
    uplink.start()
    try:
        with closing(ThingsboardSink(uplink)) as sink:
            yield Peer(
                name=f"thingsboard-gateway {_version(python, 'thingsboard-gateway')}, file storage",
                masks="no; it sends the fields that are configured",
                signs="no",
                cannot="mask, sign, prove a gap; here its server is a broker, by plain MQTT",
                folder=folder,
                commands=[[str(python), "-c", script]],
                environment=environment,
                sink=sink,
            )
    finally:
        uplink.stop()


def node_red(folder: Path, broker_port: int, authority: CertificateAuthority) -> Iterator[Peer]:
    """Make Node-RED with MQTT in, a function that masks, and an HTTPS request for each message."""
    home = CACHE / "node-red"
    program = home / "node_modules/node-red/red.js"
    if not program.exists():
        say("installing Node-RED")
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", "--silent", "node-red@4"], check=True
        )
    version = json.loads((program.parent / "package.json").read_text())["version"]
    sink = HttpsSink(authority.issue("collector"))
    settings = {"uiPort": free_port(), "uiHost": "127.0.0.1", "httpAdminRoot": False}
    (folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)}")
    (folder / "flows.json").write_text(json.dumps(_flow(broker_port, sink.port)))
    node = shutil.which("node") or "node"
    with closing(sink):
        yield Peer(
            name=f"Node-RED {version}, MQTT in, function, HTTPS request",
            masks="what its function is written to mask",
            signs="no",
            cannot="keep anything on disk, sign, bundle, count what it loses",
            folder=folder,
            commands=[[node, str(program), "-u", str(folder), "-s", str(folder / "settings.js"), "flows.json"]],
            environment=dict(os.environ) | {"NODE_EXTRA_CA_CERTS": str(authority.ca_file)},
            sink=sink,
        )


def rsyslog(folder: Path, broker_port: int, authority: CertificateAuthority) -> Iterator[Peer]:
    """Make rsyslog with a disk-assisted queue and TLS, fed by mosquitto_sub and logger: it has no MQTT input."""
    root = _debian(
        "rsyslog", "libestr0", "libfastjson4", "rsyslog-gnutls", "mosquitto-clients", "libmosquitto1", "libcjson1"
    )
    version = next((CACHE / "debian").glob("rsyslog_*.deb")).name.split("_")[1].replace("%3a", ":")
    sink = LineSink(authority.issue("collector"))
    port, libraries = free_port(), next((root / "usr/lib").glob("*-linux-gnu"))
    (folder / "spool").mkdir()
    (folder / "rsyslog.conf").write_text(
        f"""global(workDirectory="{folder}/spool" defaultNetstreamDriverCAFile="{authority.ca_file}" maxMessageSize="64k")
module(load="imptcp")
input(type="imptcp" address="127.0.0.1" port="{port}")
action(type="omfwd" target="127.0.0.1" port="{sink.port}" protocol="tcp"
  streamDriver="gtls" streamDriverMode="1" streamDriverAuthMode="x509/certvalid"
  action.resumeRetryCount="-1" queue.type="LinkedList" queue.filename="forward" queue.maxDiskSpace="1g"
  queue.saveOnShutdown="on" queue.syncQueueFiles="on" queue.checkpointInterval="100")
"""
    )
    environment = dict(os.environ) | {"LD_LIBRARY_PATH": str(libraries)}
    daemon = [str(root / "usr/sbin/rsyslogd"), "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    subscribe = [str(root / "usr/bin/mosquitto_sub"), "-p", str(broker_port), "-t", TOPIC, "-q", "1", "-c", "-i", "rsyslog"]
    feed = ["logger", "-n", "127.0.0.1", "-P", str(port), "-T", "--octet-count", "-S", "65536", "-t", "robot"]
    with closing(sink):
        yield Peer(
            name=f"mosquitto_sub, logger, rsyslog {version} with a disk-assisted queue",
            masks="no",
            signs="no",
            cannot="take MQTT by itself, mask, sign, prove a gap; mosquitto_sub acknowledges before rsyslog has it",
            folder=folder,
            commands=[[*daemon, "-M", str(libraries / "rsyslog")], subscribe, feed],
            environment=environment,
            sink=sink,
            listens=port,
        )


PEERS = {
    "straight": contextmanager(straight),
    "thingsboard": contextmanager(thingsboard),
    "node-red": contextmanager(node_red),
    "rsyslog": contextmanager(rsyslog),
}
_ALLOWED = ("write v1/devices/me/#", "read v1/devices/me/rpc/response/#", "readwrite v1/gateway/#")
_KEYS = (
    "headerId",
    "timestamp",
    "orderId",
    "orderUpdateId",
    "lastNodeId",
    "driving",
    "operatingMode",
    "agvPosition",
    "velocity",
)


def _key(name: str) -> dict[str, str]:
    return {"type": "string", "key": name, "value": f"${{{name}}}"}


def _flow(broker_port: int, sink_port: int) -> list[dict[str, object]]:
    mask = (
        "const hide = v => typeof v === 'string' ? v.replace(/[\\w.+-]+@[\\w-]+\\.[\\w.]+/g, '***') : "
        "Array.isArray(v) ? v.map(hide) : v && typeof v === 'object' ? "
        "Object.fromEntries(Object.entries(v).map(([k, x]) => [k, hide(x)])) : v;\n"
        "msg.payload = hide(msg.payload); msg.headers = {'content-type': 'application/json'}; return msg;"
    )
    request = {"method": "POST", "ret": "txt", "url": f"https://127.0.0.1:{sink_port}/v1/proofs", "persist": True}
    broker = {"broker": "127.0.0.1", "port": str(broker_port), "clientid": "node-red", "protocolVersion": "4"}
    return [
        {"id": "tab", "type": "tab", "label": "states"},
        {"id": "broker", "type": "mqtt-broker", "autoConnect": True, "keepalive": "60", "cleansession": False, **broker},
        {
            "id": "in",
            "type": "mqtt in",
            "z": "tab",
            "topic": TOPIC,
            "qos": "1",
            "datatype": "json",
            "broker": "broker",
            "wires": [["mask"]],
        },
        {"id": "mask", "type": "function", "z": "tab", "func": mask, "outputs": 1, "wires": [["post"]]},
        {"id": "post", "type": "http request", "z": "tab", "tls": "", "senderr": False, "wires": [[]], **request},
    ]


def _venv(name: str, *packages: str) -> Path:
    python, installed = CACHE / name / "bin" / "python", CACHE / name / "installed"
    if not installed.exists():  # an environment alone may be one whose packages could not be fetched
        say(f"installing {', '.join(packages)}")
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
        installed.touch()
    return python


def _version(python: Path, package: str) -> str:
    """Return which version an environment has: what is fetched is the newest, and the table has to say which."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _debian(*packages: str) -> Path:
    """Unpack Debian packages beside the tree; nothing is installed on the machine."""
    folder, root = CACHE / "debian", CACHE / "debian" / "root"
    if not root.exists():
        say(f"fetching {', '.join(packages)}")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", *packages], cwd=folder, check=True)
        for package in folder.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(root.with_suffix(".new"))], check=True)
        root.with_suffix(".new").rename(root)
    return root
