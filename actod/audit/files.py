"""The files of an audit log on disk: their order, their whole lines, and the tail that a crash tore.

`audit-<n of the first line>.jsonl` is compressed to a file of the same name and `.gz` once it has ended (`packing.py`), and
`audit-<n>.torn` keeps what a crash tore off it. While both forms are there, the plain one is read.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from actod.audit.gzipped import inflated
from actod.audit.line import ZERO
from actod.durable import sync_folder

EPOCH, TURNED = "audit.epoch", "audit.turned"  # the first line of each file and process, the last line of a full file
CARRIED, REMOVED = "audit.carried", "audit.removed"  # a bundle's receipt covers a file; a file is gone
_NAME, _PACKED = "audit-{:012}.jsonl", ".gz"
_FILE, _STEM_LENGTH = re.compile(r"audit-[0-9]{12}\.jsonl(\.gz)?\Z"), len("audit-") + 12
_WITNESSED = "checkpoint."  # what begins so is witnessed (store/checkpoint.py), one after the other
_MOST_TORN_BYTES = 64 * 1024  # of torn tails beside one file: a robot that is switched off a thousand times a day
_COVERS = 2  # such lines: the last may be torn itself
_LAST_N = 10**12 - 1  # names sort no further, and the number after a larger one might be none that can be written


def file_name(n: int) -> str:
    """Return the name of the file whose first line is `n`; names sort like the lines."""
    return _NAME.format(n)


def log_files(folder: Path) -> list[Path]:
    """Return the files of a log, oldest first, each in one form. What is called otherwise, such as a copy, is none."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - the daemon looks each few seconds, and a glob costs ten times as much
    except FileNotFoundError:
        return []
    found = {name[:_STEM_LENGTH]: name for name in sorted(filter(_FILE.match, names), reverse=True)}  # the plain one last
    return [folder / found[stem] for stem in sorted(found)]


def is_packed(file: Path) -> bool:
    """Whether a file of the log is compressed."""
    return file.suffix == _PACKED


def packed_file(file: Path) -> Path:
    """Return where a file of the log lies once it is compressed."""
    return file if is_packed(file) else file.with_name(file.name + _PACKED)


def content(file: Path) -> tuple[bytes, str]:
    """Return the bytes of a file's lines, decompressed, and what is wrong with it as a file: "" for nothing.

    What is damaged is read as far as it goes. Raises OSError.
    """
    try:
        return _content(file)
    except FileNotFoundError:
        if is_packed(file) or not packed_file(file).exists():
            raise
        return _content(packed_file(file))  # since the folder was looked at


def _content(file: Path) -> tuple[bytes, str]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return b"", "a link, which is none of ours"
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe would hold the reader up for good
            return b"", "no regular file, which is none of ours"
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            data = opened.read()
    finally:
        os.close(descriptor)
    return inflated(data) if is_packed(file) else (data, "")


def twin_differs(file: Path) -> bool:
    """Whether a plain file has a compressed one beside it that holds something else; a kill leaves two that are the same."""
    packed = packed_file(file)
    return not is_packed(file) and packed.exists() and content(packed) != content(file)


def parse_line(raw: bytes) -> dict[str, Any] | None:
    """Return a line of the log, None if it is none."""
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(line, dict) or type(line.get("n")) is not int or not 0 < line["n"] <= _LAST_N:
        return None
    return line if isinstance(line.get("event"), str) and isinstance(line.get("hash"), str) else None


def first_n(file: Path) -> int:
    """Return the number of a file's first line, as its name says."""
    return int(_stem(file).rpartition("-")[2])


def _stem(file: Path) -> str:
    return file.name.partition(".")[0]


def lines_with(file: Path, word: bytes) -> Iterator[dict[str, Any]]:
    """Yield the lines that hold these bytes anywhere; only they are parsed."""
    (data, _damage), at = content(file), 0
    while (found := data.find(word, at)) >= 0:
        start, end = data.rfind(b"\n", 0, found) + 1, data.find(b"\n", found)
        at = len(data) if end < 0 else end
        line = parse_line(data[start:at])
        if line is not None:
            yield line


def raw_lines(data: bytes) -> Iterator[bytes]:
    """Yield what stands between line feeds, and what stands behind the last one, one by one: a file may hold little else."""
    for raw in io.BytesIO(data):
        yield raw.removesuffix(b"\n")


def whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file; what is no line is passed over."""
    for raw in raw_lines(content(file)[0]):
        line = parse_line(raw)
        if line is not None:
            yield line


@dataclass(slots=True)
class Standing:
    """Where a log stands: its last line, and the epoch that goes on there."""

    n: int = 0
    head: str = ZERO
    at: str = ""
    boot: str = ""
    event: str = ""
    epoch: int = 0
    key: str = ""


def standing(files: list[Path]) -> Standing:
    """Read where a log stands from its newest file that has a line; `files` are oldest first."""
    found = Standing()
    for file in reversed(files):
        for line in whole_lines(file):
            found.n, found.head, found.event = line["n"], line["hash"], line["event"]
            found.at, found.boot = str(line.get("at")), str(line.get("boot"))
            if line["event"] == EPOCH and type(line.get("epoch")) is int:
                found.epoch, found.key = line["epoch"], str(line.get("key") or "")
            elif line["event"] == "key.used":
                found.key = str(line.get("ed25519") or "")
        if found.n:
            break
    return found


def size_of(file: Path) -> int:
    """Return how many bytes a file takes on disk: each form of it, and what a crash tore off it."""
    return sum(path.stat().st_size for path in parts_of(file) if path.exists())


def parts_of(file: Path) -> list[Path]:
    """Return all that may lie on disk of a file of the log, in the order in which it is removed."""
    packed = packed_file(file)
    return [torn_file(file), packed, packed.with_suffix("")]


def holds(folder: Path, *, n: int, mark: int) -> bool:
    """Tell whether line `n` is in the log with a hash that begins as `mark` says (`mark_of`), or was removed by the rule."""
    files = log_files(folder)
    firsts = [first_n(file) for file in files]
    if firsts and n < firsts[0]:
        lines = (line for file in files for line in lines_with(file, REMOVED.encode()) if line["event"] == REMOVED)
        return any(type(line.get("last_n")) is int and line["last_n"] >= n for line in lines)
    found = [file for file, first in zip(files, firsts, strict=True) if first <= n]
    near = [line for file in found[-1:] for line in lines_with(file, b'"n":%d,' % n)]
    return any(line["n"] == n and mark_of(line["hash"]) == mark for line in near)


def mark_of(line_hash: str) -> int:
    """Return the first 60 bits of a hash as a number, -1 for what is none: what the store keeps of the log's head."""
    try:
        return int(line_hash[:15], 16)
    except ValueError:
        return -1


def torn_file(file: Path) -> Path:
    """Return where the torn tails of a file are kept, as long as the file is."""
    return file.with_name(_stem(file) + ".torn")


def cut_torn_tail(file: Path) -> int:
    """Move the tail that a crash tore to a side file, durably; return its length in bytes."""
    data = file.read_bytes()
    end = _torn_from(data)
    torn = data[end:]
    if not torn:
        return 0
    aside = torn_file(file)
    begun = aside.exists() and aside.stat().st_size + len(torn) <= _MOST_TORN_BYTES
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if begun else os.O_TRUNC)
    with os.fdopen(os.open(aside, flags, 0o600), "wb") as side:
        side.write(torn)
        side.flush()
        os.fsync(side.fileno())
    sync_folder(file.parent)
    with file.open("r+b") as cut:
        cut.truncate(end)
        os.fsync(cut.fileno())
    return len(torn)


def _torn_from(data: bytes) -> int:
    """Return where the tail begins that a crash may have torn: at the first bad line that no sync can have covered.

    Of what was not synced the disk may have kept any part, so a whole line may stand behind a torn one. A store's line
    is written only once the one before it is on disk: what is bad before the last but one is damage, for `verify_log`.
    """
    start = end = data.rfind(b"\n") + 1
    witnessed = 0
    while start and witnessed < _COVERS:
        stop, start = start, data.rfind(b"\n", 0, start - 1) + 1
        line = parse_line(data[start : stop - 1])
        if line is None:
            end = start
        elif line["event"].startswith(_WITNESSED):
            witnessed += 1
    return end
