"""A trace: what a process did to its disk, in order, as `recorder.c` wrote it down, with the markers between.

Recording means running `workload.py` once for each life of the daemon, under the recorder, on one folder.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MARK = ".mark"  # writes to this file are not the store's: they say what had returned by then
RECORDER = Path(__file__).with_name("recorder.c")
_HEADER = struct.Struct("<cIIQQ")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation; paths are relative to the root of the recording, "" is the root itself.

    `kind` is c(reate), k (a folder), w(rite), t(runcate), s(ync), r(ename to `second`), u(nlink) or m(arker).
    """

    kind: str
    path: str
    second: str = ""
    offset: int = 0
    data: bytes = field(default=b"", repr=False)


def build_recorder(folder: Path) -> Path:
    """Compile the recorder."""
    library = folder / "recorder.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-format-truncation"]
    subprocess.run([*command, "-o", library, RECORDER, "-ldl", "-lpthread"], check=True)
    return library


def record(root: Path, lives: Sequence[Sequence[str]], *, recorder: Path, environment: Mapping[str, str] = {}) -> list[Op]:
    """Run the workload once for each life on `<root>/state`, and return what it did.

    A life is the workload's arguments; its exit is its own business: a killed daemon leaves no exit code of worth.
    """
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    log = root.with_name(root.name + ".trace")
    log.unlink(missing_ok=True)
    surroundings = os.environ | {
        "LD_PRELOAD": str(recorder),
        "RECORD_LOG": str(log),
        "RECORD_ROOT": str(root),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    for life in lives:
        command = [sys.executable, "-m", "tests.power.workload", str(root), *life]
        subprocess.run(command, env=surroundings, check=True, timeout=120)
    return list(read_trace(log, root))


def read_trace(log: Path, root: Path) -> Iterator[Op]:
    """Parse what the recorder wrote. SQLite's shared memory is left out: it is rebuilt, whatever is in it."""
    data, at = log.read_bytes(), 0
    while at < len(data):
        op, first, second, offset, size = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        path, other = data[at : at + first].decode(), data[at + first : at + first + second].decode()
        at += first + second
        kind = op.decode()
        body = data[at : at + size] if kind == "w" else b""
        at += len(body)
        name = _relative(path, root)
        if name == MARK:
            if kind == "w":
                yield Op("m", "", data=body)
        elif not name.endswith("-shm"):
            yield Op(kind, name, _relative(other, root), offset, body)


def _relative(path: str, root: Path) -> str:
    return "" if path == str(root) else path.removeprefix(f"{root}/")
