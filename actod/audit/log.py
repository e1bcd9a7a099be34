"""The audit log: JSON lines, hash-chained, append-only.

A line is canonical({n, at, boot, mono_ms, event, prev, ...fields, hash}): `n` counts from 1 over all files, `prev` is the
hash of the line before (64 zeros for the first), `hash` is SHA-256 over the canonical line without `hash`. A file is
named by the n of its first line; the chain goes on over the files. `record` writes at once, so that a kill loses nothing;
`witness` returns when the line, and all before it, is on disk, so that a power cut loses nothing either.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from actod.config import AuditConfig
from actod.errors import TransientError
from actod.ports import Clock
from actod.proof.canonical import canonical
from actod.proof.envelope import iso

ZERO = "0" * 64
_LONGEST_FIELD = 256
_RESERVED = frozenset({"n", "at", "boot", "mono_ms", "event", "prev", "hash"})


class AuditLog:
    """Implements the AuditLog port on files `audit-<n of the first line>.jsonl`, 0600 in a folder 0700."""

    def __init__(self, folder: Path, *, clock: Clock, config: AuditConfig) -> None:
        self._folder, self._clock, self._config = folder, clock, config
        self._lock = threading.Lock()
        self._n, self._head = 0, ZERO
        self._checkpoint: dict[str, Any] = {}
        self._descriptor = -1
        self._size = 0
        self._dirty = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open()

    def record(self, event: str, **fields: Any) -> None:
        """Append one line; durable with the next `witness` or `flush`. A full disk is not the caller's failure."""
        with self._lock:
            try:
                self._append(event, fields)
            except OSError:
                self._forget_torn_line()

    def witness(self, event: str, fields: Mapping[str, Any]) -> None:
        """Append one line and return when it is on disk. Raises TransientError("audit_full") if it cannot be."""
        with self._lock:
            try:
                self._append(event, fields)
                self._sync()
            except OSError as exc:
                self._forget_torn_line()
                raise TransientError("audit_full", exc.strerror or "") from exc

    def flush(self) -> None:
        """Bring what was recorded to disk, if anything was."""
        with self._lock:
            if self._dirty:
                try:
                    self._sync()
                except OSError:
                    return  # the next witness says so

    def head(self) -> str:
        """Return the hash of the last line written."""
        with self._lock:
            return self._head

    def last_checkpoint(self) -> dict[str, Any]:
        """Return the newest values of all fields that `checkpoint.*` lines carried: what the store had on disk."""
        with self._lock:
            return dict(self._checkpoint)

    def close(self) -> None:
        """Bring everything to disk and close."""
        self.flush()
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _append(self, event: str, fields: Mapping[str, Any]) -> None:
        now = self._clock.now()
        line: dict[str, Any] = {
            "n": self._n + 1,
            "at": iso(now.wall_ns),
            "boot": self._clock.boot_id(),
            "mono_ms": now.monotonic_ns // 1_000_000,
            "event": event,
            "prev": self._head,
        }
        line |= {name: _allowed(name, value) for name, value in fields.items()}
        line["hash"] = line_hash(line)
        data = canonical(line) + b"\n"
        if self._size and self._size + len(data) > self._config.max_file_bytes:
            self._rotate()
        written = os.write(self._descriptor, data)
        if written != len(data):
            raise OSError("short write")
        self._n, self._head, self._size, self._dirty = self._n + 1, line["hash"], self._size + written, True
        if event.startswith("checkpoint."):
            self._note_checkpoint(line)

    def _note_checkpoint(self, line: dict[str, Any]) -> None:
        for name, value in line.items():
            if name in _RESERVED:
                continue
            if isinstance(value, dict):
                value = self._checkpoint.get(name, {}) | value  # noqa: PLW2901 - a merged copy
            self._checkpoint[name] = value

    def _sync(self) -> None:
        os.fdatasync(self._descriptor)
        self._dirty = False

    def _forget_torn_line(self) -> None:
        """After a failed write: cut back to the last whole line, so that the chain can go on when there is room."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            return

    def _rotate(self) -> None:
        """Begin a new file; the chain goes on. Files beyond the allowed number go, which the new file records."""
        self._sync()
        os.close(self._descriptor)
        self._create(self._n + 1)
        files = log_files(self._folder)
        for file in files[: max(0, len(files) - self._config.max_files)]:
            last = last_line(file)
            file.unlink()
            self._append("audit.removed", {"last_n": last.get("n", 0), "last_hash": last.get("hash", "")})
        self._sync_folder()

    def _create(self, n: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._folder / f"audit-{n:012}.jsonl", flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self._sync_folder()

    def _open(self) -> None:
        """Continue the newest file. A last line that a crash tore is moved aside, and that is recorded."""
        files = log_files(self._folder)
        if not files:
            self._create(1)
            return
        torn = _cut_torn_tail(files[-1])
        for file in files[-2:]:
            for raw in file.read_bytes().splitlines():
                line = _parse(raw)
                if line.get("hash"):
                    self._n, self._head = int(line["n"]), str(line["hash"])
                    if str(line.get("event", "")).startswith("checkpoint."):
                        self._note_checkpoint(line)
        self._descriptor = os.open(files[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        if torn:
            self._append("audit.repaired", {"torn_bytes": torn})
            self._sync()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def line_hash(line: Mapping[str, Any]) -> str:
    """Return the hash that a line must carry."""
    return hashlib.sha256(canonical({name: value for name, value in line.items() if name != "hash"})).hexdigest()


def log_files(folder: Path) -> list[Path]:
    """Return the files of a log, oldest first."""
    return sorted(folder.glob("audit-*.jsonl"))


def last_line(file: Path) -> dict[str, Any]:
    """Return the last whole line of a file, {} if there is none."""
    lines = file.read_bytes().splitlines()
    return _parse(lines[-1]) if lines else {}


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _allowed(name: str, value: Any) -> Any:
    """Let through codes, counts and ids only: the audit log leaves the robot as often as any log."""
    if name in _RESERVED:
        raise ValueError(f"{name} is the log's own field")
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_FIELD else f"({len(value)} characters)"
    if isinstance(value, dict):
        return {str(key): _allowed("member", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_allowed("item", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"{name}: {type(value).__name__} does not belong into the audit log")


def _cut_torn_tail(file: Path) -> int:
    """Move what stands behind the last whole line to a side file; return its length in bytes."""
    data = file.read_bytes()
    end = data.rfind(b"\n") + 1
    while end and not _parse(data[data.rfind(b"\n", 0, end - 1) + 1 : end]).get("hash"):
        end = data.rfind(b"\n", 0, end - 1) + 1
    torn = data[end:]
    if not torn:
        return 0
    side = os.open(file.with_suffix(".torn"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(side, "wb") as out:
        out.write(torn)
        out.flush()
        os.fsync(out.fileno())
    with file.open("r+b") as cut:
        cut.truncate(end)
        os.fsync(cut.fileno())
    return len(torn)
