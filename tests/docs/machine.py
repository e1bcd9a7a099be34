"""A copy of this machine, thrown away afterwards, in which the commands of a page run as a reader types them.

It has this machine's files (an overlay in memory, so nothing that is done here reaches the machine), users and processes of
its own, and a network of its own with nothing but a loopback: /etc/actod, port 1883 and `collector.example` are free. The
reader is root. Needs root, as mounting does.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from hil.rig import ROOT, wait_for

_HOLDER, _SYSTEMCTL = (Path(__file__).with_name(name) for name in ("holder.py", "systemctl.py"))
CLONE = "/usr/src/actod"  # where a reader has his clone
HOME = "/home/reader"  # his alone: who else runs a command in it sees none of its files
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": HOME,
    "USER": "root",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TERM": "dumb",
}
_EDITOR = """#!/bin/sh
cat >"$1"
"""
_SUDO = """#!/bin/sh
user=root
if [ "$1" = -u ]; then user="$2"; shift 2; fi
exec runuser -u "$user" -- "$@"
"""
# As the package's own: the user's folder and the environment add no modules.
_ACTOD = f"""#!/bin/sh
exec env PYTHONPATH={CLONE} {sys.executable} -P -m actod "$@"
"""


class Machine:
    """One copy. `run` is what a reader types. Use as a context."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._leader = folder, 0
        self._holder: subprocess.Popen[bytes] | None = None
        self._spawned: list[subprocess.Popen[bytes]] = []

    @property
    def network(self) -> list[str]:
        """Return the command that runs a program of this machine in the copy's network."""
        return ["nsenter", "-t", str(self._leader), "--net", "--"]

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        paths = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix)} | {Path(sys.prefix)}
        command = ["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", sys.executable, str(_HOLDER)]
        self._holder = subprocess.Popen(
            [*command, str(self._folder), str(ROOT), *map(str, paths - {Path("/usr")})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise RuntimeError("a copy of this machine needs root and overlayfs")
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text(encoding="ascii")
        self._leader = int(children.split()[0])
        self.write("/usr/local/bin/sudo", _SUDO, mode=0o755)
        self.write("/usr/local/bin/editor", _EDITOR, mode=0o755)
        self.write("/usr/bin/actod", _ACTOD, mode=0o755)
        self.write(
            "/usr/local/bin/systemctl", f"#!{sys.executable} -I\n{_SYSTEMCTL.read_text(encoding='utf-8')}", mode=0o755
        )
        self.write("/etc/machine-id", f"{secrets.token_hex(16)}\n", mode=0o444)
        self.run(f"install -d -m 0700 {HOME}; ln -s {ROOT} {CLONE}", cwd="/")
        self.run(f"[ -e .venv ] || ln -s {sys.prefix} .venv", cwd=CLONE)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder is not None
        assert self._holder.stdin is not None
        self._holder.stdin.close()  # its processes end with it
        for process in (self._holder, *self._spawned):
            process.wait(20)
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the copy, from within: a link there leads nowhere else."""
        self.run(f"install -D -m {mode:o} /dev/stdin {path}", cwd="/", typed=text)

    def read(self, path: str) -> str:
        """Return what a file of the copy holds."""
        return self.run(f"cat {path}", cwd="/")

    def run(
        self,
        script: str,
        *,
        cwd: str = HOME,
        typed: str = "",
        environment: Mapping[str, str] | None = None,
        code: int = 0,
    ) -> str:
        """Run lines of shell, each of which must end well; `typed` goes to what reads. Returns what they printed."""
        done = subprocess.run(
            self._command(script, cwd, environment), input=typed, capture_output=True, text=True, timeout=120, check=False
        )
        said = f"{done.stdout}{done.stderr}"
        assert done.returncode == code, f"exit code {done.returncode} of:\n{script}\n{said}"
        return said

    def start(self, script: str, *, until: str, cwd: str = HOME, environment: Mapping[str, str] | None = None) -> None:
        """Run lines of shell in a terminal of their own, and return when what they print holds a text."""
        log = self._folder.parent / f"{self._folder.name}.terminal-{len(self._spawned)}"
        with log.open("wb") as out:
            command = self._command(f"tail -f /dev/null | {{ {script.strip()}\n}}", cwd, environment)
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._spawned.append(process)

        def printed() -> bool:
            text = log.read_text(encoding="utf-8")
            assert process.poll() is None or until in text, text
            return until in text

        wait_for(printed, what=f"{until!r} in what {script!r} prints")

    def _command(self, script: str, cwd: str, environment: Mapping[str, str] | None) -> list[str]:
        into = ["nsenter", "-t", str(self._leader), "--mount", "--pid", "--net", "--uts", "--root", "--"]
        given = [f"{name}={value}" for name, value in (_ENVIRONMENT | dict(environment or {})).items()]
        return [*into, "env", "-i", "-C", "/", *given, "bash", "-eu", "-o", "pipefail", "-c", f"cd {cwd}\n{script}"]
