"""What provisioning does to a machine: files, folders, programs, users. Every change goes through here."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ProvisionError(Exception):
    """It cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Machine:
    """The machine, or a folder that stands for it: `root` comes before every path that is written."""

    root: Path
    user: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where a file of this absolute name is."""
        return self.root / name.lstrip("/")

    def ids(self) -> tuple[int, int]:
        """Return the user and group that own what the signer uses."""
        entry = pwd.getpwnam(self.user)
        return entry.pw_uid, entry.pw_gid

    def has_user(self) -> bool:
        """Whether the user is there."""
        return any(entry.pw_name == self.user for entry in pwd.getpwall())

    def groups(self) -> list[str]:
        """Return the groups that name the user."""
        return [entry.gr_name for entry in grp.getgrall() if self.user in entry.gr_mem]

    def folder(self, name: str, mode: int, *, owned: bool) -> None:
        """Make a folder of this mode, of the user's or root's."""
        path = self.path(name)
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        path.chmod(mode)
        if owned:
            os.chown(path, *self.ids())

    def write(self, name: str, data: bytes, mode: int) -> None:
        """Write a file that is whole, on disk and of this mode before it has its name."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)

    def holds(self, name: str, data: bytes) -> bool:
        """Whether a file holds exactly this."""
        path = self.path(name)
        return path.is_file() and path.read_bytes() == data

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it, if it is there."""
        path = self.path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def run(self, command: Sequence[str], *, given: bytes = b"", as_user: bool = False) -> bytes:
        """Run a program; `given` goes to its standard input. Raises ProvisionError with what it said."""
        who: dict[str, Any] = {}
        if as_user and os.geteuid() == 0 and self.ids()[0] != 0:
            who = {"user": self.ids()[0], "group": self.ids()[1], "extra_groups": self.groups()}
        try:
            done = subprocess.run(
                command, input=given, env=os.environ | self.environment, capture_output=True, check=False, timeout=300, **who
            )
        except FileNotFoundError as exc:
            raise ProvisionError(f"{command[0]} is missing") from exc
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
            raise ProvisionError(f"{' '.join(command[:3])}: {said}")
        return done.stdout

    def in_child(self, work: Callable[[], Any]) -> Any:
        """Do something as the user in a process of its own, and return what it returns (JSON). A library stays there."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            code = 1
            try:
                self._become_user()
                os.environ.update(self.environment)
                os.write(writing, json.dumps(work()).encode())
                code = 0
            except Exception as exc:  # noqa: BLE001 - told to the parent, whatever it is
                os.write(writing, json.dumps(f"{type(exc).__name__}: {exc}").encode())
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise ProvisionError(json.loads(answer or b'"the library ended the process"'))
        return json.loads(answer)

    def _become_user(self) -> None:
        uid, gid = self.ids()
        if os.geteuid() == 0 and uid != 0:
            os.setgroups([grp.getgrnam(name).gr_gid for name in self.groups()])
            os.setgid(gid)
            os.setuid(uid)
