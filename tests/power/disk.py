"""What a disk may hold after the power went: everything that was synced, and anything of the rest.

The model is harsher than the file systems that robots use:

    content   of what was written or cut since the file's last sync, each sector of 512 or 4096 bytes is found as it was
              at any moment since, each on its own, and so is the size; or a prefix of the operations, the last one torn;
              or any subset of them
    names     what was made, renamed or removed since the last sync of its folder has happened or has not: in order, or
              each on its own. A rename is one step: the file has the old name or the new one. To sync a file brings no
              name to disk. To sync a folder brings its names alone.

Synced content is never touched again: the disk honours flush, and a write changes no byte beside its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.power.trace import Op

State = dict[str, bytes | None]  # path -> content, None for a folder
UNITS = (512, 4096)


@dataclass(eq=False)
class Node:
    """A file with its content, or a folder with its names: on the platter, and what the processes see."""

    folder: bool = False
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)
    durable_names: dict[str, Node] = field(default_factory=dict)
    names: dict[str, Node] = field(default_factory=dict)


Step = list[tuple[Node, str, Node | None]]  # one change of names: (folder, name, what it names from now on)


class Disk:
    """The disk as a trace goes on. `cut` gives one state that it may be found in at this moment."""

    def __init__(self, start: State | None = None) -> None:
        self._root = Node(folder=True)
        self._steps: list[Step] = []
        for path, content in sorted((start or {}).items()):
            folder, name = self._place(path)
            node = Node(folder=content is None, durable=bytearray(content or b""))
            folder.names[name] = folder.durable_names[name] = node

    def step(self, op: Op) -> None:
        """Take one operation."""
        if op.kind == "m" or op.path.endswith(" (deleted)"):
            return
        if op.kind == "s":
            self._sync(self._node(op.path))
        elif op.kind in "wt":
            self._node(op.path).pending.append(op)
        else:
            self._rename(op)

    def _rename(self, op: Op) -> None:
        folder, name = self._place(op.path)
        if op.kind in "ck":
            step: Step = [(folder, name, Node(folder=op.kind == "k"))]
        elif op.kind == "u":
            step = [(folder, name, None)]
        else:
            step = [(folder, name, None), (*self._place(op.second), folder.names[name])]
        for where, word, node in step:
            _point(where.names, word, node)
        self._steps.append(step)

    def _sync(self, node: Node) -> None:
        for op in node.pending:
            apply(node.durable, op)
        node.pending.clear()
        if not node.folder:
            return
        waiting, self._steps = self._steps, []
        last = max(
            (index for index, step in enumerate(waiting) if len(_folders(step)) > 1 and node in _folders(step)), default=-1
        )
        for index, step in enumerate(waiting):
            if node in _folders(step) or index < last:  # a move is one step: what came before it, came before it
                for where, word, other in step:
                    _point(where.durable_names, word, other)
            else:
                self._steps.append(step)

    def _place(self, path: str) -> tuple[Node, str]:
        folder, _, name = path.rpartition("/")
        return self._node(folder), name

    def _node(self, path: str) -> Node:
        node = self._root
        for name in path.split("/") if path else ():
            node = node.names[name]
        return node

    def cut(self, chance: random.Random, order: int) -> State:
        """Return one possible state. The first four orders are the extremes, the others are drawn."""
        fixed = ((_none, _nothing), (_all, _everything), (_all, _nothing), (_none, _everything))
        if order < len(fixed):
            names, contents = fixed[order]
        else:
            names = chance.choice((_none, _all, _prefix, _prefix, _subset))
            contents = chance.choice((_nothing, _everything, _torn, _torn, _some, _sectors, _sectors, _sectors))
        tables: dict[Node, dict[str, Node]] = {}
        for step in names(self._steps, chance):
            for where, word, node in step:
                _point(tables.setdefault(where, dict(where.durable_names)), word, node)
        state: State = {}
        _walk(self._root, "", tables, lambda node: contents(node, chance), state)
        return state


def _walk(
    folder: Node, prefix: str, tables: dict[Node, dict[str, Node]], content: Callable[[Node], bytes], state: State
) -> None:
    for name, node in tables.get(folder, folder.durable_names).items():
        state[prefix + name] = None if node.folder else content(node)
        if node.folder:
            _walk(node, f"{prefix}{name}/", tables, content, state)


def _point(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _folders(step: Step) -> set[Node]:
    return {where for where, _name, _node in step}


# -- which changes of names have happened


def _none(_steps: list[Step], _chance: random.Random) -> Iterable[Step]:
    return ()


def _all(steps: list[Step], _chance: random.Random) -> Iterable[Step]:
    return steps


def _prefix(steps: list[Step], chance: random.Random) -> Iterable[Step]:
    return steps[: chance.randint(0, len(steps))]


def _subset(steps: list[Step], chance: random.Random) -> Iterable[Step]:
    return [step for step in steps if chance.random() < 0.5]


# -- which content is there


def _nothing(node: Node, _chance: random.Random) -> bytes:
    return bytes(node.durable)


def _everything(node: Node, _chance: random.Random) -> bytes:
    content = bytearray(node.durable)
    for op in node.pending:
        apply(content, op)
    return bytes(content)


def _some(node: Node, chance: random.Random) -> bytes:
    content, share = bytearray(node.durable), chance.random()
    for op in node.pending:
        if chance.random() < share:
            apply(content, op)
    return bytes(content)


def _torn(node: Node, chance: random.Random) -> bytes:
    """Keep the operations up to one of them, and of this one any of its sectors."""
    content, unit = bytearray(node.durable), chance.choice(UNITS)
    kept = chance.randint(0, len(node.pending))
    for op in node.pending[:kept]:
        apply(content, op)
    if kept < len(node.pending) and node.pending[kept].kind == "w":
        for offset, data in _pieces(node.pending[kept], unit):
            if chance.random() < 0.5:
                write(content, offset, data)
    return bytes(content)


def _sectors(node: Node, chance: random.Random) -> bytes:
    """Take each sector, and the size, from a moment of its own since the last sync."""
    pending, unit = node.pending, chance.choice(UNITS)
    if not pending:
        return bytes(node.durable)
    moments: dict[int, int] = {}

    def before(offset: int, index: int) -> bool:
        return index < moments.setdefault(offset // unit, chance.randint(0, len(pending)))

    content, sizes = bytearray(node.durable), [len(node.durable)]
    for index, op in enumerate(pending):
        if op.kind == "t":
            for start in range(op.offset // unit * unit, len(content), unit):
                if before(start, index):
                    low, high = max(start, op.offset), min(start + unit, len(content))
                    content[low:high] = bytes(high - low)
        for offset, data in _pieces(op, unit) if op.kind == "w" else ():
            if before(offset, index):
                write(content, offset, data)
        sizes.append(op.offset if op.kind == "t" else max(sizes[-1], op.offset + len(op.data)))
    size = chance.choice(sizes)
    del content[size:]
    return bytes(content) + bytes(size - len(content))


def _pieces(op: Op, unit: int) -> Iterable[tuple[int, bytes]]:
    at = op.offset
    while at < op.offset + len(op.data):
        end = min((at // unit + 1) * unit, op.offset + len(op.data))
        yield at, op.data[at - op.offset : end - op.offset]
        at = end


def apply(content: bytearray, op: Op) -> None:
    """Apply one write or truncate, whole."""
    if op.kind == "t":
        del content[op.offset :]
        content.extend(bytes(op.offset - len(content)))
    else:
        write(content, op.offset, op.data)


def write(content: bytearray, offset: int, data: bytes) -> None:
    """Write as a file takes it: what lies between its end and the offset becomes zeros."""
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def lay_out(state: State, folder: Path) -> None:
    """Make a state as files."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in state.items():
        if content is None:
            (folder / path).mkdir(mode=0o700)
        else:
            (folder / path).write_bytes(content)
