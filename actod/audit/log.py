"""The audit log: JSON lines, hash-chained, append-only.

A line is the canonical bytes of {n, at, boot, mono_ms, event, prev, ...fields, hash} and a line feed: `n` counts from 1 over
all files, `prev` is the hash of the line before (64 zeros for the first), `hash` is SHA-256 over the canonical line without
`hash`. A file is named by the n of its first line; the chain goes on over the files.

Invariants:
1. A line is written by one write(2) as soon as it is recorded, so a kill loses nothing that was recorded.
2. When `witness` returns, its line and all before it are on disk, so a power cut loses nothing that was witnessed.
3. What is in the files is one chain, save a tail that no sync covered: a power cut may keep any part of it. Opening moves
   it aside from its first bad line on, and records that.
4. A line that could not be written (disk full) is counted, and the count is recorded as soon as there is room.
5. A file is removed only when the newest file says on disk which was its last line.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actod.audit.files import cut_torn_tail, file_name, last_line, log_files, torn_file, whole_lines
from actod.audit.line import OWN_FIELDS, ZERO, allowed_event, allowed_fields, line_hash
from actod.config import AuditConfig
from actod.durable import sync_folder
from actod.errors import TransientError
from actod.ports import AlertSink, Clock
from actod.proof.canonical import canonical
from actod.proof.envelope import iso

_MOST_UNSYNCED = 4096  # lines kept in memory while the disk refuses to sync


class AuditLog:
    """Implements the AuditLog port on files `audit-<n of the first line>.jsonl`, 0600 in a folder 0700.

    `_lock` guards the chain and is held for a write(2) only; `_syncing` is held during fdatasync, so that a `record` on
    the event loop does not wait for the disk. Who takes both takes `_syncing` first.
    """

    def __init__(self, folder: Path, *, clock: Clock, config: AuditConfig, alerts: AlertSink | None = None) -> None:
        self._folder, self._clock, self._config, self._alerts = folder, clock, config, alerts
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._n, self._head = 0, ZERO
        self._descriptor, self._size = -1, 0
        self._torn = False
        self._unsynced: list[bytes] = []  # lines that no fdatasync covers: what comes between two calls of flush
        self._sync_failed = False
        self._unwritten = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
        except OSError as exc:
            raise TransientError("audit_full", exc.strerror or "") from exc

    def record(self, event: str, **fields: Any) -> None:
        """Append one line; durable with the next `witness` or `flush`. A full disk is not the caller's failure.

        Text longer than 256 characters is refused: its length stands in its place. Raises ValueError for what cannot be
        a code, a count or an id: bytes, objects, a field named like one of the log's own.
        """
        with self._lock:
            try:
                self._append(event, fields)
            except OSError:
                self._unwritten += 1
                self._tell("audit.unwritten", {"count": self._unwritten})
        with contextlib.suppress(OSError):
            self._turn()

    def witness(self, event: str, fields: Mapping[str, Any]) -> None:
        """Append one line and return when it, and all before it, is on disk.

        Raises TransientError("audit_full") if it cannot be: then the line is in the log or it is not. ValueError as above.
        """
        try:
            with self._lock:
                self._append(event, fields)
            self._sync()
        except OSError as exc:
            raise TransientError("audit_full", exc.strerror or "") from exc
        with contextlib.suppress(OSError):
            self._turn()

    def flush(self) -> None:
        """Bring what was recorded to disk, if anything was. For the daemon's timer of one second."""
        with contextlib.suppress(OSError):  # nothing was promised yet: the next witness tries again, and says so
            self._sync()

    def head(self) -> str:
        """Return the hash of the last line written, 64 zeros before the first."""
        with self._lock:
            return self._head

    @property
    def length(self) -> int:
        """Return how many lines the log has had, over all files."""
        return self._n

    def lines(self, *, back_to: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (event, fields) of the newest files, oldest first: what was known before a crash or damage.

        At least two files; with `back_to` as many as it takes to reach a line that has a field of this name.
        """
        files = log_files(self._folder)
        start = max(0, len(files) - 2)
        while back_to and start and not any(back_to in line for file in files[start:] for line in whole_lines(file)):
            start -= 1
        for file in files[start:]:
            for line in whole_lines(file):
                yield line["event"], {name: value for name, value in line.items() if name not in OWN_FIELDS}

    def close(self) -> None:
        """Bring everything to disk and close; what is recorded afterwards is lost."""
        self.flush()
        with self._syncing, self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _append(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write a line, and before it the count of those that could not be written."""
        event, checked = allowed_event(event), allowed_fields(fields)
        self._tell(event, checked)  # before the disk has its say: an alert must not need room on it
        if self._descriptor < 0:
            raise OSError("the audit log is closed")
        if self._sync_failed and len(self._unsynced) >= _MOST_UNSYNCED:
            raise OSError("the disk does not sync")
        if self._unwritten:
            self._write("audit.unwritten", {"count": self._unwritten})
            self._unwritten = 0
        self._write(event, checked)

    def _tell(self, event: str, fields: Mapping[str, Any]) -> None:
        if self._alerts is not None:
            self._alerts.see(event, fields)

    def _write(self, event: str, fields: Mapping[str, Any]) -> None:
        now = self._clock.now()
        line: dict[str, Any] = {
            "n": self._n + 1,
            "at": iso(now.wall_ns),
            "boot": self._clock.boot_id(),
            "mono_ms": now.monotonic_ns // 1_000_000,
            "event": event,
            "prev": self._head,
            **fields,
        }
        line["hash"] = line_hash(line)
        data = canonical(line) + b"\n"
        self._cut_torn()
        self._torn = True
        try:
            whole = os.write(self._descriptor, data) == len(data)
        except OSError:
            with contextlib.suppress(OSError):
                self._cut_torn()
            raise
        if not whole:
            self._cut_torn()
            raise OSError("the disk took a part of the line")
        self._torn = False
        self._n, self._head, self._size = self._n + 1, line["hash"], self._size + len(data)
        self._unsynced.append(data)

    def _cut_torn(self) -> None:
        """Cut a file back to its last whole line, so that the chain goes on behind it."""
        if self._torn:
            os.ftruncate(self._descriptor, self._size)
            self._torn = False

    def _sync(self) -> None:
        """Bring all that was written to disk. A record on another thread may go on meanwhile."""
        with self._syncing:
            with self._lock:
                covered = len(self._unsynced)
                if not covered or self._descriptor < 0:
                    return
                self._write_again()
            try:
                os.fdatasync(self._descriptor)  # only a holder of _syncing changes the descriptor
            except OSError:
                self._sync_failed = True
                raise
            with self._lock:
                del self._unsynced[:covered]

    def _write_again(self) -> None:
        """Write anew what a failed sync left: the kernel says it once, then takes the lost pages for clean."""
        if not self._sync_failed:
            return
        tail = b"".join(self._unsynced)
        os.ftruncate(self._descriptor, self._size - len(tail))
        rest = memoryview(tail)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._sync_failed = False

    def _turn(self) -> None:
        """Begin a new file when this one is full; the chain goes on. Removes files beyond the allowed number."""
        if self._size < self._config.max_file_bytes:
            return
        self._sync()
        with self._syncing, self._lock:
            if self._size < self._config.max_file_bytes or self._descriptor < 0 or self._unsynced:
                return  # another thread was faster: with the turn, or with a line that is not on disk yet
            full = self._descriptor
            self._create(self._n + 1)
            os.close(full)
            self._remove_oldest()

    def _remove_oldest(self) -> None:
        files = log_files(self._folder)
        surplus = files[: max(0, len(files) - self._config.max_files)]
        for file in surplus:
            last = last_line(file) or {"n": 0, "hash": ZERO}
            self._write("audit.removed", {"last_n": last["n"], "last_hash": last["hash"]})
        if surplus:
            os.fdatasync(self._descriptor)
            self._unsynced.clear()
            for file in surplus:
                file.unlink()
                torn_file(file).unlink(missing_ok=True)
                sync_folder(self._folder)  # one by one: a power cut leaves no hole between two that were to go

    def _create(self, n: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = self._folder / file_name(n)
        descriptor = os.open(file, flags, 0o600)
        try:
            sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            file.unlink()
            raise
        self._descriptor, self._size = descriptor, 0

    def _open(self) -> None:
        """Continue the newest file. A tail that a crash tore is moved aside, and that is recorded."""
        files = log_files(self._folder)
        if not files:
            sync_folder(self._folder.parent)
            self._create(1)
            return
        torn = cut_torn_tail(files[-1])
        for file in reversed(files):
            last = last_line(file)
            if last is not None:
                self._n, self._head = last["n"], last["hash"]
                break
        self._descriptor = os.open(files[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size
        if torn:
            self._tell("audit.repaired", {"torn_bytes": torn})
            self._write("audit.repaired", {"torn_bytes": torn})
            self._sync()
