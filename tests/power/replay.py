"""Rebuild what a disk may hold after the power went, from a recording of every write and sync.

The model is harsher than a journaling file system: of each file, what was written since its last sync may be kept,
lost, reordered, or torn at 512 bytes or 4 KiB, each operation on its own; names made, renamed or removed since the last
sync of their folder are kept up to some point in their order. `-shm` is never replayed: SQLite rebuilds it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARK = ".mark"  # writes to this file are not the store's: they say what had returned by then


@dataclass(frozen=True, slots=True)
class Op:
    """One recorded operation. `kind` is w(rite), t(runcate), s(ync), c(reate), r(ename), u(nlink) or m(ark)."""

    kind: str
    path: str
    second: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass
class Inode:
    """A file's content on the platter, and what has not been synced since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)

    def sync(self) -> None:
        """Make what is pending durable, in order."""
        for op in self.pending:
            apply(self.durable, op)
        self.pending.clear()


def read_log(file: Path, root: Path) -> Iterator[Op]:
    """Parse the recorder's log; paths become relative to `root`."""
    data, at, prefix = file.read_bytes(), 0, f"{root}/"
    while at < len(data):
        kind = chr(data[at])
        first, second = struct.unpack_from("<II", data, at + 1)
        offset, size = struct.unpack_from("<QQ", data, at + 9)
        at += 25
        path = data[at : at + first].decode()
        other = data[at + first : at + first + second].decode()
        at += first + second
        body = data[at : at + size] if kind == "w" else b""
        at += len(body)
        name = path.removeprefix(prefix) if path != str(root) else ""
        if name.endswith("-shm"):
            continue
        yield Op("m" if name == MARK and kind == "w" else kind, name, other.removeprefix(prefix), offset, body)


def apply(content: bytearray, op: Op, *, size: int | None = None) -> None:
    """Apply one write or truncate to a content; `size` keeps only the first bytes of a write."""
    if op.kind == "t":
        del content[op.offset :]
        content.extend(bytes(op.offset - len(content)))
        return
    data = op.data if size is None else op.data[:size]
    if len(content) < op.offset:
        content.extend(bytes(op.offset - len(content)))
    content[op.offset : op.offset + len(data)] = data


class Disk:
    """The disk as the recording goes on. `cut` gives one state that it may be found in at this moment."""

    def __init__(self) -> None:
        self._durable_names: dict[str, Inode] = {}
        self._names: dict[str, Inode] = {}
        self._pending_names: list[Op] = []

    def step(self, op: Op) -> None:
        """Take one operation."""
        if op.kind == "s":
            self._sync(op.path)
        elif op.kind == "c":
            self._names[op.path] = Inode()
            self._pending_names.append(op)
        elif op.kind == "r":
            self._names[op.second] = self._names.pop(op.path)
            self._pending_names.append(op)
        elif op.kind == "u":
            self._names.pop(op.path, None)
            self._pending_names.append(op)
        elif op.kind in {"w", "t"}:
            self._names.setdefault(op.path, Inode()).pending.append(op)

    def _sync(self, path: str) -> None:
        if path in self._names:
            self._names[path].sync()
            return
        folder = f"{path}/" if path else ""
        parent = [op for op in self._pending_names if op.path.startswith(folder) and "/" not in op.path[len(folder) :]]
        for op in parent:
            self._pending_names.remove(op)
        for name in list(self._durable_names):
            if name.startswith(folder) and "/" not in name[len(folder) :] and name not in self._names:
                del self._durable_names[name]
        for name, inode in self._names.items():
            if name.startswith(folder) and "/" not in name[len(folder) :]:
                self._durable_names[name] = inode

    def cut(self, chance: random.Random, mood: str) -> dict[str, bytes]:
        """Return name -> content of one possible state. `mood` is drop, keep, subset, reorder or tear."""
        names = dict(self._durable_names)
        kept = {"drop": 0, "keep": len(self._pending_names)}.get(mood, chance.randint(0, len(self._pending_names)))
        inodes = dict(self._names)
        for op in self._pending_names[:kept]:
            if op.kind == "c":
                names[op.path] = inodes.get(op.path) or names.get(op.path) or Inode()
            elif op.kind == "r":
                names.pop(op.path, None)
                if op.second in inodes:
                    names[op.second] = inodes[op.second]
            else:
                names.pop(op.path, None)
        return {name: _state(inode, chance, mood) for name, inode in names.items()}


def _state(inode: Inode, chance: random.Random, mood: str) -> bytes:
    content = bytearray(inode.durable)
    pending = list(inode.pending)
    if mood == "drop":
        return bytes(content)
    if mood in {"subset", "reorder"}:
        share = chance.random()
        pending = [op for op in pending if chance.random() < share]
    if mood == "reorder":
        chance.shuffle(pending)
    torn = chance.randrange(len(pending)) if mood == "tear" and pending else -1
    for index, op in enumerate(pending):
        if index == torn:
            unit = chance.choice((512, 4096))
            border = -op.offset % unit + unit * chance.randint(0, len(op.data) // unit + 1)
            apply(content, op, size=min(len(op.data), border) if op.kind == "w" else None)
            break
        apply(content, op)
    return bytes(content)
