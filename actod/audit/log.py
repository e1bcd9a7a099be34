"""The audit log: JSON lines, hash-chained, append-only.

A line is the canonical bytes of {n, at, boot, mono_ms, event, prev, ...fields, hash} and a line feed: `n` counts from 1 over
all files, `prev` is the hash of the line before (64 zeros for the first), `hash` is SHA-256 over the canonical line without
`hash`. A file is named by the n of its first line; the chain goes on over the files.

A process says before its first line, and each file in its first, which epoch begins: `audit.epoch` {epoch, reason, key}.
`epoch` counts from 1, `reason` is genesis, boot, start, full (another file) or key, `key` the thumbprint of the key that
signs bundles, as far as this log knows. `boot` and `prev` of the line bind the epoch to its boot and to the head before. The
last line of a file is `audit.turned` {next: n of the next one's first line}. So a file that nobody explains is none of ours.

Invariants:
1. A line is written by one write(2) as soon as it is recorded, so a kill loses nothing that was recorded.
2. When `witness` returns, its line and all before it are on disk, so a power cut loses nothing that was witnessed.
3. What is in the files is one chain, save a tail that no sync covered: a power cut may keep any part of it. Opening moves
   it aside from its first bad line on, and records that.
4. A line that could not be written (disk full) is counted, and the count is recorded as soon as there is room.
5. A file is compressed once it has ended, by `packing.py`, and removed by `retention.py` alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from actod.audit.carried import Carried, HeadsOut
from actod.audit.files import (
    EPOCH,
    TURNED,
    Standing,
    cut_torn_tail,
    first_n,
    is_packed,
    log_files,
    mark_of,
    size_of,
    standing,
    whole_lines,
)
from actod.audit.line import OWN_FIELDS, ZERO, allowed_event, allowed_fields, line_hash
from actod.audit.packing import settle_all
from actod.audit.room import COLLECTING, SEALING, Room
from actod.audit.tail import Tail
from actod.config import AuditConfig
from actod.durable import sync_folder
from actod.errors import TransientError
from actod.ports import AlertSink, Clock
from actod.proof.canonical import canonical
from actod.proof.envelope import iso


class AuditLog:
    """Implements the AuditLog port on files `audit-<n of the first line>.jsonl`, 0600 in a folder 0700.

    `_lock` guards the chain and is held for a write(2) only; `_syncing` is held during fdatasync, so that a `record` on
    the event loop does not wait for the disk. Who takes both takes `_syncing` first.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        config: AuditConfig,
        alerts: AlertSink | None = None,
        share_bytes: int | None = None,
    ) -> None:
        self.folder, self._clock, self._config, self._alerts = folder, clock, config, alerts
        self._room = Room(share_bytes)
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._n, self._head, self._at = 0, ZERO, ""
        self._synced = (0, ZERO, "")  # n, head and time of the newest line that is on disk
        self._epoch, self._key, self._owed = 0, "", ""  # `_owed`: why an epoch begins with the next line
        self._out = HeadsOut()
        self._unwritten, self._torn_bytes = 0, 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tail = self._open()
            self._say_torn()
        except OSError as exc:
            raise TransientError("audit_full", exc.strerror or "") from exc

    def record(self, event: str, **fields: Any) -> None:
        """Append one line; durable with the next `witness` or `flush`. A full disk is not the caller's failure.

        Text longer than 256 characters is refused: its length stands in its place. Raises ValueError for what cannot be
        a code, a count or an id: bytes, objects, a field named like one of the log's own.
        """
        with self._lock:
            try:
                self._append(event, fields, held=True)
            except OSError:
                self._unwritten += 1
                self._tell("audit.unwritten", {"count": self._unwritten})
        with contextlib.suppress(OSError):
            self._turn()

    def witness(self, event: str, fields: Mapping[str, Any]) -> tuple[int, int]:
        """Append one line and return (n, mark) when it, and all before it, is on disk.

        Raises TransientError("audit_full") if it cannot be: then the line is in the log or it is not. ValueError as above.
        """
        try:
            with self._lock:
                self._append(event, fields)
                line = self._n, mark_of(self._head)
            self._sync()
        except OSError as exc:
            raise TransientError("audit_full", exc.strerror or "") from exc
        with contextlib.suppress(OSError):
            self._turn()
        return line

    def flush(self) -> None:
        """Bring what was recorded to disk, if anything was. For the daemon's timer of one second."""
        with contextlib.suppress(OSError):  # nothing was promised yet: the next witness tries again, and says so
            self._sync()

    def head(self) -> str:
        """Return the hash of the newest line that is on disk, 64 zeros before the first. A bundle carries it: see `carried`.

        A line that a power cut could still take must not be vouched for: the log would look cut afterwards.
        """
        with self._lock:
            n, head, at = self._synced
            self._out.give(head, n, at)
            return head

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Note that the collector confirmed a bundle that carries this head: it vouches for all lines up to there."""
        with self._lock:
            self._out.confirm(head, proof_id=proof_id, date=date)

    @property
    def newest_carried(self) -> Carried | None:
        """The newest line that this process knows to be carried by a confirmed bundle."""
        return self._out.newest

    def coverage(self) -> dict[str, Any]:
        """Return how many lines there are, and how much of the end no confirmed bundle covers (None: not known yet)."""
        with self._lock:
            newest = self._out.newest
            told = {"unwitnessed_lines": self._n - newest.n, "unwitnessed_since": newest.at} if newest else {}
            return {"last_n": self._n, "bytes": self._room.closed_bytes + self._tail.size, **told}

    def require_room(self, *, sealing: bool = False) -> None:
        """Refuse more while the log's share is full of lines that must not go yet, since no receipt covers them.

        Sealing may use a part that collecting leaves to it. Raises TransientError("audit_unreceipted").
        """
        if not self._room.is_left(self._tail.size, keep=SEALING if sealing else COLLECTING):
            raise TransientError("audit_unreceipted", "the audit log has its share, and no receipt covers its oldest lines")

    def room_bytes(self) -> int | None:
        """Return how much of the log's share a compressed file may take beside the plain one; None without a share."""
        return self._room.to_compress(self._tail.size)

    def freed(self, size_bytes: int) -> None:
        """Take note that closed files, removed or compressed, take so many bytes less."""
        with self._lock:
            self._room.closed_bytes -= size_bytes

    @property
    def length(self) -> int:
        """Return how many lines the log has had, over all files."""
        return self._n

    def lines(self, *, back_to: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (event, fields) of the newest files, oldest first: what was known before a crash or damage.

        What the log says of its own files and epochs is left out. At least two files; with `back_to` as many as it takes to
        reach a line that has a field of this name.
        """
        files = log_files(self.folder)
        start = max(0, len(files) - 2)
        while back_to and start and not any(back_to in line for file in files[start:] for line in whole_lines(file)):
            start -= 1
        for file in files[start:]:
            for line in whole_lines(file):
                if line["event"] in (EPOCH, TURNED):
                    continue
                yield line["event"], {name: value for name, value in line.items() if name not in OWN_FIELDS}

    def close(self) -> None:
        """Bring everything to disk and close; what is recorded afterwards is lost."""
        self.flush()
        with self._syncing, self._lock:
            self._tail.close()

    def _append(self, event: str, fields: Mapping[str, Any], *, held: bool = False) -> None:
        """Write a line, and before it the count of those that could not be written."""
        event, checked = allowed_event(event), allowed_fields(fields)
        self._tell(event, checked)  # before the disk has its say: an alert must not need room on it
        self._tail.require_writable()
        if held and not self._room.is_left(self._tail.size, keep=SEALING):
            raise OSError("the audit log has its share")
        if self._owed:
            self._write(EPOCH, {"epoch": self._epoch + 1, "reason": self._owed, "key": self._key or None})
            self._epoch, self._owed = self._epoch + 1, ""
        if self._unwritten:
            self._write("audit.unwritten", {"count": self._unwritten})
            self._unwritten = 0
        self._write(event, checked)
        if event == "key.used" and checked.get("ed25519") != self._key:
            self._key, self._owed = str(checked.get("ed25519")), "key"

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
        self._tail.append(canonical(line) + b"\n")
        self._n, self._head, self._at = self._n + 1, line["hash"], line["at"]

    def _sync(self) -> None:
        """Bring all that was written to disk. A record on another thread may go on meanwhile."""
        with self._syncing:  # only who holds it begins another file
            with self._lock:
                covered = self._tail.unsynced
                if not covered:
                    return
                self._tail.write_again()
                reached = self._n, self._head, self._at
            self._tail.sync()
            with self._lock:
                self._tail.synced(covered)
                self._synced = reached

    def _turn(self) -> None:
        """Begin a new file when this one is full. The old one is on disk, with the word that it ended, before."""
        if self._tail.size < self._config.max_file_bytes:
            return
        self._sync()
        with self._syncing, self._lock:
            if self._tail.size < self._config.max_file_bytes or self._tail.closed or self._tail.unsynced:
                return  # another thread was faster: with the turn, or with a line that is not on disk yet
            following = self._n + 2  # behind the line that ends this file
            begun = Tail.create(self.folder, following)
            try:
                self._write(TURNED, {"next": following})
                self._tail.sync()
            except OSError:
                begun.close()
                begun.file.unlink()
                raise
            self._synced = self._n, self._head, self._at
            self._tail.close()
            self._room.closed_bytes += self._tail.size
            self._tail, self._owed = begun, self._owed or "full"

    def _open(self) -> Tail:
        """Continue the newest file, or begin one. A tail that a crash tore is moved aside, for `_say_torn`."""
        settle_all(self.folder)
        files = log_files(self.folder)
        if (
            files and not is_packed(files[-1]) and not files[-1].stat().st_size
        ):  # begun, and nothing written: it gets its name anew
            files.pop().unlink()
            sync_folder(self.folder)
        if not files:
            sync_folder(self.folder.parent)
            self._owed = "genesis"
            return Tail.create(self.folder, 1)
        self._torn_bytes = 0 if is_packed(files[-1]) else cut_torn_tail(files[-1])
        last = standing(files)
        self._n, self._head, self._at, self._epoch, self._key = last.n, last.head, last.at, last.epoch, last.key
        self._owed = "genesis" if not last.n else "start" if last.boot == self._clock.boot_id() else "boot"
        self._synced = last.n, last.head, last.at
        return self._continue(files, last)

    def _continue(self, files: list[Path], last: Standing) -> Tail:
        if is_packed(files[-1]):
            self._n = max(last.n, first_n(files[-1]))  # one that cannot be read any more has lines all the same
            self._room.closed_bytes = sum(size_of(file) for file in files)
            return Tail.create(self.folder, self._n + 1)
        self._room.closed_bytes = sum(size_of(file) for file in files[:-1])
        newest = Tail.continued(files[-1])
        if not newest.size or last.event != TURNED:
            return newest
        newest.close()
        self._room.closed_bytes += size_of(files[-1])
        return Tail.create(self.folder, last.n + 1)

    def _say_torn(self) -> None:
        if self._torn_bytes:
            with self._lock:
                self._append("audit.repaired", {"torn_bytes": self._torn_bytes})
            self._sync()
