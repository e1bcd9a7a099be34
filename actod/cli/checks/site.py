"""What checks look at: one configuration on one machine. Whatever several checks ask for is asked once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from actod.cli.checks.unitfile import Unit, read_unit
from actod.cli.state import ask
from actod.collect.probe import BrokerAnswer, probe_broker
from actod.config import Config
from actod.errors import ActodError, TransientError
from actod.keys.enquiry import ask_keys
from actod.model import EnrolledKey
from actod.ports import Clock
from actod.service.disk import Disk, disk_of
from actod.submit.https import HttpsClient
from actod.submit.tls import CollectorTls

T = TypeVar("T")
DAEMON, SIGNER = "actod.service", "actod-signer.service"
_ASKED = object()


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What the collector answered, and the TLS under which it did."""

    status: int
    tls: CollectorTls


class Site:
    """The configuration, its files, and the machine below `root`; `offline` asks nobody over a network."""

    def __init__(self, config: Config, file: Path, *, root: Path, clock: Clock, offline: bool) -> None:
        self.config, self.file, self.clock, self.offline = config, file, clock, offline
        self._root = root
        self._answers: dict[str, Any] = {}

    @property
    def prod(self) -> bool:
        """Whether the configuration is for prod."""
        return self.config.environment == "prod"

    @property
    def now(self) -> datetime:
        """Return the wall clock's time."""
        return datetime.fromtimestamp(self.clock.now().wall_ns / 1e9, UTC)

    @property
    def trusted(self) -> set[int]:
        """Return who may change what the daemon reads: root, who asks, and the daemon's user, by its state folder."""
        state = self.config.state_directory
        return {0, os.geteuid(), *({state.stat().st_uid} if state.exists() else ())}

    def path(self, place: str | Path) -> Path:
        """Return a place of the machine, such as "proc/swaps" or an absolute path."""
        return self._root / str(place).lstrip("/")

    @staticmethod
    def existing(folder: Path) -> Path:
        """Return a folder, or the one above in which it will lie."""
        return next(place for place in (folder, *folder.parents) if place.exists())

    def text(self, place: str) -> str:
        """Return what a file of the machine holds, "" if it is not there. Raises OSError."""
        try:
            return self.path(place).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return ""

    def disk(self, folder: Path) -> Disk:
        """Describe the disk under a folder. Raises OSError."""
        return disk_of(folder, mounts=self.path("proc/self/mountinfo"), devices=self.path("sys/dev/block"))

    def unit(self, name: str) -> Unit | None:
        """Return a unit as systemd would merge it, None if there is none. Raises OSError."""
        return self._once(name, lambda: read_unit(self._root, name))

    def starts_at_boot(self, unit: str) -> bool:
        """Whether a target wants a unit; where the link leads, only the machine itself can say."""
        return any((folder / unit).is_symlink() for folder in self.path("etc/systemd/system").glob("*.wants"))

    def signing_keys(self) -> tuple[EnrolledKey, ...]:
        """Ask the signer. Raises what `ask_keys` raises."""
        return self._once("keys", lambda: asyncio.run(ask_keys(self.config, config_file=self.file)))

    def broker(self) -> BrokerAnswer | None:
        """Ask the broker; None where it must not be asked. Raises what `probe_broker` raises."""
        return None if self.offline else self._once("broker", lambda: probe_broker(self.config.mqtt))

    def server(self) -> ServerAnswer:
        """Ask the collector. Raises ConfigError, TransientError."""
        return self._once("server", lambda: asyncio.run(self._server()))

    def status(self) -> dict[str, Any]:
        """Ask the running daemon. Raises NotRunningError, RefusedError."""
        return self._once("status", lambda: ask(self.config, "status"))

    async def _server(self) -> ServerAnswer:
        config = self.config
        tls = CollectorTls(
            collector=config.collector, clock=self.clock, state_directory=config.state_directory, writes=False
        )
        client = HttpsClient(collector=config.collector, environment=config.environment, clock=self.clock, tls=tls)
        try:
            return ServerAnswer(await client.health(), tls)
        finally:
            await client.close()

    def _once(self, name: str, question: Callable[[], T]) -> T:
        """Return the answer of the first time, or raise what it raised. A check that hangs holds up no other."""
        if name not in self._answers:
            self._answers[name] = _ASKED
            try:
                self._answers[name] = question()
            except (ActodError, OSError) as exc:
                self._answers[name] = exc
        answer = self._answers[name]
        if answer is _ASKED:
            raise TransientError("no_answer", "it was asked before, and has not answered yet")
        if isinstance(answer, (ActodError, OSError)):
            raise answer
        return cast("T", answer)
