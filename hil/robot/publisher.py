"""The robot as a process of its own, and the handle that demo, tests and rig hold."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from hil.robot.model import number_of

__all__ = ["RobotProcess", "number_of"]

_ROOT = Path(__file__).resolve().parents[2]


class RobotProcess:
    """Runs `python -m hil.robot` and reads what it writes: `witness.jsonl` and `canaries.txt` in its folder."""

    def __init__(
        self,
        *,
        port: int,
        folder: Path,
        seed: int,
        seconds: float,
        rate: float = 55.0,
        first: int = 1,
        host: str = "127.0.0.1",
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.witness_file, self.canaries_file = folder / "witness.jsonl", folder / "canaries.txt"
        self._arguments = [sys.executable, "-m", "hil.robot", "--folder", str(folder), "--host", host, "--port", str(port)]
        self._arguments += [
            "--seed",
            str(seed),
            "--seconds",
            str(seconds),
            "--rate",
            str(rate),
            "--first",
            str(first),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._read_to = 0
        self._names: dict[int, str] = {}
        self._sent: set[str] = set()
        self._published: set[str] = set()
        self._repeated: set[str] = set()

    def start(self) -> None:
        """Start; it publishes as soon as it is connected."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "robot.log").open("ab") as log:
            self._process = subprocess.Popen(self._arguments, stdout=log, stderr=log, cwd=_ROOT)

    def running(self) -> bool:
        """Whether it still publishes, or waits for the broker to confirm."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Exit code 0: the broker confirmed everything."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self, *, timeout: float = 30) -> int:
        """End it early, in an orderly way: what was sent is still confirmed."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it as a power cut would; the broker then publishes its last wills."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def published(self) -> set[str]:
        """Return the identities that the broker confirmed."""
        self._read()
        return set(self._published)

    def sent(self) -> set[str]:
        """Return the identities that were handed to the client, confirmed or not."""
        self._read()
        return set(self._sent)

    def repeated(self) -> set[str]:
        """Return the identities that may have reached the broker twice: unconfirmed when a connection ended."""
        self._read()
        return set(self._repeated)

    def published_count(self) -> int:
        """Return how many messages the broker confirmed."""
        self._read()
        return len(self._published)

    def canaries(self) -> list[str]:
        """Return what was planted so far."""
        if not self.canaries_file.exists():
            return []
        return [line for line in self.canaries_file.read_text(encoding="utf-8").split("\n") if line]

    def _read(self) -> None:
        if not self.witness_file.exists():
            return
        with self.witness_file.open("rb") as file:
            file.seek(self._read_to)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self._read_to += end
        for line in data[:end].splitlines():
            entry = json.loads(line)
            if "sent" in entry:
                self._names[entry["n"]] = entry["id"]
                self._sent.add(entry["id"])
            elif "acked" in entry:
                self._published.add(self._names[entry["n"]])
            elif "unconfirmed" in entry:
                self._repeated.update(self._names[number] for number in entry["unconfirmed"])
