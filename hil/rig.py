"""One robot on one machine, all parts real: token, CA, collector, broker, witness, and actod as its own process.

The demo, the soak and the end-to-end tests build on it. Everything lives in one throwaway folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hil.collector.client import Collector
from hil.parts.broker import Broker
from hil.parts.certificates import CertificateAuthority
from hil.parts.softhsm import SoftToken, make_token
from hil.parts.witness import Witness

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Actod:
    """The daemon under test. `kill` is SIGKILL; the signer child notices and ends by itself."""

    config_file: Path
    environment: dict[str, str]
    log_file: Path
    command: tuple[str, ...] = ()  # a prefix such as strace
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start `actod run`; its log is appended to the rig's."""
        arguments = [*self.command, sys.executable, "-m", "actod", "run", "--config", str(self.config_file)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(arguments, stderr=log, stdout=log, env=self.environment, cwd=ROOT)

    def pid(self) -> int:
        """Return the pid of the daemon itself, also under a tracer."""
        assert self.process is not None
        if not self.command:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split()
        return int(children[0])

    def signer_pid(self) -> int | None:
        """Return the pid of the signer child, or None while there is none."""
        with contextlib.suppress(OSError, IndexError):
            for task in Path(f"/proc/{self.pid()}/task").iterdir():
                for child in (task / "children").read_text(encoding="ascii").split():
                    if b"signer" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                        return int(child)
        return None

    def kill(self) -> None:
        """SIGKILL, at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(20)

    def stop(self, *, timeout: float = 25) -> int:
        """SIGTERM, and return the exit code."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(), signal.SIGTERM)
        return self.process.wait(timeout)

    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Rig:
    """The folder and all parts in it. Use `build()`."""

    folder: Path
    token: SoftToken
    authority: CertificateAuthority
    collector: Collector
    broker: Broker
    witness: Witness
    actod: Actod
    api_key: str = field(repr=False)
    robots: list[Any] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """Return actod's state folder."""
        return self.folder / "state"

    @property
    def config_file(self) -> Path:
        """Return actod's configuration file."""
        return self.folder / "actod.toml"

    def envelopes(self) -> list[dict[str, Any]]:
        """Return what the collector accepted, in the order of acceptance."""
        return self.collector.envelopes()

    def tool(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run an actod command with the rig's environment."""
        return subprocess.run(
            [sys.executable, "-m", "actod", *arguments],
            env=self.actod.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )


def wait_for(condition: Callable[[], Any], *, seconds: float = 30, what: str = "the condition") -> Any:
    """Poll until the condition is true. The waiting is bounded and never stands for an event that could be awaited."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.02)
    return value


@contextlib.contextmanager
def build(
    folder: Path,
    *,
    settings: str = "",
    routes: str = "",
    command: tuple[str, ...] = (),
    new_token: Callable[[Path], SoftToken] = make_token,
) -> Iterator[Rig]:
    """Make every part in `folder`, start broker, witness and collector (not actod), and end all of them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        token = new_token(folder / "token")
        stack.callback(token.close)
        authority = CertificateAuthority.make(folder / "ca")
        server = authority.issue("collector")
        api_key = "acto_" + secrets.token_urlsafe(32)
        collector = Collector(folder=folder / "collector", certificate=server, api_keys=[api_key])
        stack.enter_context(contextlib.closing(collector))
        collector.start()
        broker = Broker(folder / "broker")
        stack.callback(broker.stop)
        broker.start()
        witness = stack.enter_context(Witness(broker.port).running())
        _write_secret(folder / "api-key", api_key)
        _write_secret(folder / "wallet", secrets.token_hex(16))
        environment = dict(os.environ) | token.environment | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
        (folder / "tmp").mkdir(mode=0o700, exist_ok=True)
        actod = Actod(folder / "actod.toml", environment, folder / "actod.log", command)
        rig = Rig(folder, token, authority, collector, broker, witness, actod, api_key)
        write_config(rig, settings=settings, routes=routes)
        stack.callback(_end, rig)
        yield rig


def write_config(rig: Rig, *, settings: str = "", routes: str = "", mqtt_port: int = 0) -> None:
    """Write a real configuration file."""
    pins = [rig.authority.pin, rig.authority.backup_pin]
    rig.config_file.write_text(
        f"""environment = "dev"
state_directory = {json.dumps(str(rig.state))}

[mqtt]
port = {mqtt_port or rig.witness.port}

[token]
uri = {json.dumps(rig.token.uri)}
pin_file = {json.dumps(str(rig.token.pin_file))}

[collector]
url = "https://127.0.0.1:{rig.collector.port}"
ca_file = {json.dumps(str(rig.authority.ca_file))}
pins = {json.dumps(pins)}
api_key_file = {json.dumps(str(rig.folder / "api-key"))}
wallet_file = {json.dumps(str(rig.folder / "wallet"))}
{settings}
{routes or DEFAULT_ROUTES}
""",
        encoding="utf-8",
    )


DEFAULT_ROUTES = """
[[routes]]
name = "vda-v2"
topic = "uagv/v2/+/+/+"
profile = "vda5050-v2"

[[routes]]
name = "vda-v3"
topic = "vda5050/v3/+/+/+"
profile = "vda5050-v3"

[[routes]]
name = "sensors"
topic = "robot/+/#"
robot_id = "topic:2"
traffic_class = "bulk"

[[routes]]
name = "site"
topic = "site/#"
"""


def _write_secret(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)


def _end(rig: Rig) -> None:
    if rig.actod.running():
        rig.actod.kill()
