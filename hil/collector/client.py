"""The collector as a process of its own, and the handle that tests hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from hil.parts.certificates import Certificate

_ROOT = Path(__file__).resolve().parents[2]


class Collector:
    """Starts, faults, asks and ends one collector process."""

    def __init__(
        self,
        *,
        folder: Path,
        certificate: Certificate,
        api_keys: Sequence[str],
        client_ca: Path | None = None,
        newest_tls: str = "",
        listen: str = "127.0.0.1",
        command: Sequence[str] = (),
    ) -> None:
        self.folder, self.certificate, self.port = folder, certificate, 0
        self.received_file, self.envelopes_file = folder / "received.bin", folder / "envelopes.jsonl"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keys = folder / "accepted-keys"
        self._write_keys(api_keys)
        self._options = ["--client-ca", str(client_ca)] if client_ca else []
        self._options += ["--newest-tls", newest_tls] if newest_tls else []
        self._options += ["--listen", listen]
        self._prefix = command  # such as nsenter, for another network
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._read_to = 0
        self._envelopes: list[dict[str, Any]] = []

    def start(self) -> None:
        """Start, and return when it listens; a second start keeps the port."""
        arguments = [
            *self._prefix,
            sys.executable,
            "-m",
            "hil.collector",
            "--folder",
            str(self.folder),
            "--port",
            str(self.port),
        ]
        arguments += ["--cert", str(self.certificate.cert_file), "--key", str(self.certificate.key_file)]
        arguments += ["--api-keys", str(self._keys), *self._options]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ACTO")} | {"PYTHONPATH": str(_ROOT)}
        with (self.folder / "collector.log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=_ROOT
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the collector did not start, see {self.folder / 'collector.log'}")
        self.port = json.loads(line)["port"]

    def set_faults(self, faults: list[dict[str, Any]]) -> None:
        """Replace all faults; see hil/collector/faults.py for their forms."""
        self._command({"faults": faults})

    def serve(self, certificate: Certificate) -> None:
        """Serve another certificate from the next connection on."""
        self._command({"certificate": [str(certificate.cert_file), str(certificate.key_file)]})

    def take_keys(self, *api_keys: str) -> None:
        """Take these API keys and no others, from the next request on."""
        self._write_keys(api_keys)
        self._command({"api_keys": list(api_keys)})

    def _write_keys(self, api_keys: Sequence[str]) -> None:
        with os.fdopen(os.open(self._keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("\n".join(api_keys))

    def stats(self) -> dict[str, Any]:
        """Return counters: stats (requests, application_bytes, status_N), struck (faults), known (proofs)."""
        return self._command({"stats": True})

    def count(self) -> int:
        """Return how many proofs it holds."""
        return len(self.envelopes())

    def envelopes(self) -> list[dict[str, Any]]:
        """Return what was accepted, in order. Reads only what is new; threads may ask at the same time."""
        with self._reading:
            if not self.envelopes_file.exists():
                return []
            with self.envelopes_file.open("rb") as file:
                file.seek(self._read_to)
                data = file.read()
            end = data.rfind(b"\n") + 1
            self._envelopes += [orjson.loads(line) for line in data[:end].splitlines()]
            self._read_to += end
            return list(self._envelopes)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.terminate()
            self._process.wait(10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process is not None
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer
