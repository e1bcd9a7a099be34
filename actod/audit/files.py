"""The files of an audit log on disk: their order, their whole lines, and the tail that a crash tore."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_NAME = "audit-{:012}.jsonl"
_LAST_N = 10**12 - 1  # names sort no further, and the number after a larger one might be none that can be written


def file_name(n: int) -> str:
    """Return the name of the file whose first line is `n`; names sort like the lines."""
    return _NAME.format(n)


def log_files(folder: Path) -> list[Path]:
    """Return the files of a log, oldest first."""
    return sorted(folder.glob("audit-*.jsonl"))


def parse_line(raw: bytes) -> dict[str, Any] | None:
    """Return a line of the log, None if it is none."""
    try:
        line = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(line, dict) or type(line.get("n")) is not int or not 0 < line["n"] <= _LAST_N:
        return None
    return line if isinstance(line.get("event"), str) and isinstance(line.get("hash"), str) else None


def whole_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file; what is no line is passed over."""
    for raw in file.read_bytes().split(b"\n"):
        line = parse_line(raw)
        if line is not None:
            yield line


def last_line(file: Path) -> dict[str, Any] | None:
    """Return the last line of a file, None if there is none."""
    last = None
    for last in whole_lines(file):  # noqa: B007 - the last one is what is wanted
        pass
    return last


def cut_torn_tail(file: Path) -> int:
    """Move what stands behind the last whole line to a side file, durably; return its length in bytes."""
    data = file.read_bytes()
    end = data.rfind(b"\n") + 1
    while end:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if parse_line(data[start : end - 1]) is not None:
            break
        end = start
    torn = data[end:]
    if not torn:
        return 0
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    with os.fdopen(os.open(file.with_suffix(".torn"), flags, 0o600), "wb") as side:
        side.write(torn)
        side.flush()
        os.fsync(side.fileno())
    sync_folder(file.parent)
    with file.open("r+b") as cut:
        cut.truncate(end)
        os.fsync(cut.fileno())
    return len(torn)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
