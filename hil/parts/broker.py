"""A real mosquitto on a free port, of the loopback if nothing else is said."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from hil.parts.certificates import Certificate


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Broker:
    """Mosquitto in a folder. `restart` keeps the port; without persistence it then has forgotten every session."""

    folder: Path
    persistence: bool = False
    certificate: Certificate | None = None
    ca_file: Path | None = None
    require_certificate: bool = False
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    settings: str = ""
    listen: str = "127.0.0.1"
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it answers."""
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            raise FileNotFoundError("mosquitto is missing: apt-get install mosquitto")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = self.port or free_port()
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(self._configuration(), encoding="utf-8")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([program, "-c", str(configuration)], stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as sock:
                if sock.connect_ex((self.listen, self.port)) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto did not start, see {self.folder / 'mosquitto.log'}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it in an orderly way."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill and start again on the same port."""
        self.kill()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(10)

    def _configuration(self) -> str:
        lines = ["per_listener_settings false", f"listener {self.port} {self.listen}", "log_type error", "log_type warning"]
        lines += ["max_queued_messages 0", "max_queued_bytes 0"]  # the tests lose nothing at the broker
        if os.geteuid() == 0:
            lines.append("user root")
        if self.persistence:
            lines += ["persistence true", f"persistence_location {self.folder}/", "autosave_interval 1"]
        else:
            lines.append("persistence false")
        if self.certificate is not None:
            lines += [f"certfile {self.certificate.cert_file}", f"keyfile {self.certificate.key_file}"]
            if self.ca_file is not None:
                lines.append(f"cafile {self.ca_file}")
            lines.append(f"require_certificate {str(self.require_certificate).lower()}")
        if self.passwords:
            file = self.folder / "passwords"
            file.unlink(missing_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.writelines(f"{name}:{password}\n" for name, password in self.passwords.items())
            subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)
            lines += [f"password_file {file}", "allow_anonymous false"]
        else:
            lines.append("allow_anonymous true")
        return "\n".join([*lines, self.settings, ""])
