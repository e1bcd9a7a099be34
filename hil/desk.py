"""`python -m hil.desk [FOLDER]`: a broker and a collector for one's own desk, until Ctrl-C; nothing of it is for production.

Writes into FOLDER (default `desk`) the configuration that fits them, for a token that `deploy/tpm/provision softhsm --root
FOLDER` makes. Started again, it goes on with what is there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import sys
import threading
from pathlib import Path

from hil.collector.client import Collector
from hil.parts.broker import Broker
from hil.parts.certificates import Certificate, CertificateAuthority

_CONFIGURATION = """environment = "dev"
state_directory = {state}

[mqtt]
port = {broker_port}

[collector]
url = "https://127.0.0.1:{collector_port}"
ca_file = {ca_file}
pins = {pins}
api_key_file = "credential:api-key"

[seal]
max_age_seconds = 2.0

[[routes]]
name = "robots"
topic = "robot/+/#"
robot_id = "topic:2"

[[routes]]
name = "vda5050"
topic = "uagv/v2/+/+/+"
profile = "vda5050-v2"
"""


def furnish(folder: Path, *, broker_port: int, collector_port: int) -> None:
    """Make a CA with a server's certificate, an API key, and the configuration that names them."""
    authority = CertificateAuthority.make(folder / "ca", name="desk CA")
    authority.issue("collector")
    place = folder / "etc" / "actod"
    (place / "credentials").mkdir(mode=0o700, parents=True)
    descriptor = os.open(place / "credentials" / "api-key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("acto_" + secrets.token_urlsafe(32))
    text = _CONFIGURATION.format(
        state=json.dumps(str(folder / "state")),
        broker_port=broker_port,
        collector_port=collector_port,
        ca_file=json.dumps(str(authority.ca_file)),
        pins=json.dumps([authority.pin, authority.backup_pin]),
    )
    (place / "actod.toml").write_text(text, encoding="utf-8")


def main() -> int:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("desk"))
    parser.add_argument("--broker-port", type=int, default=1884)
    parser.add_argument("--collector-port", type=int, default=8443)
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    folder = options.folder.absolute()
    configuration = folder / "etc" / "actod" / "actod.toml"
    if not configuration.exists():
        furnish(folder, broker_port=options.broker_port, collector_port=options.collector_port)
    api_key = (folder / "etc/actod/credentials/api-key").read_text(encoding="ascii")
    certificate = Certificate(folder / "ca/collector.pem", folder / "ca/collector.key", pin="")
    collector = Collector(folder=folder / "collector", certificate=certificate, api_keys=[api_key])
    collector.port = options.collector_port
    with contextlib.closing(collector):
        collector.start()
        broker = Broker(folder / "broker", port=options.broker_port)
        broker.start()
        print(f"broker         127.0.0.1:{broker.port}\ncollector      https://127.0.0.1:{collector.port}")
        print(f"takes bundles  {collector.envelopes_file}\nconfiguration  {configuration}\nCtrl-C ends both", flush=True)
        stopped.wait()
        broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
