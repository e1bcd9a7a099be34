"""The promise at the level of system calls: a message is on disk before its acknowledgement leaves."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actod.errors import ActodError
from actod.store.inspection import inspect
from hil.parts.witness import PUBACK, frames
from hil.rig import Rig, build, wait_for
from hil.soak import SETTINGS, Publisher

_CALL = re.compile(r"^(?P<pid>\d+) +[\d.]+ (?P<name>\w+)\(\d+<(?P<path>TCP:\[[^\]]*\]|[^>]*)>(?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +[\d.]+ <\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)$")
_DATA = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_RETURNED = re.compile(r"= (\d+)$")


@dataclass
class Call:
    """One finished system call: the lines of the trace on which it began and returned."""

    name: str
    path: str
    data: bytes
    began: int
    returned: int
    result: int
    offset: int = 0


def trace(rig: Rig, folder: Path, *, messages: int) -> list[Call]:
    """Run actod under strace while `messages` are published, and return the calls that finished."""
    file = folder / "trace"
    rig.actod.command = (
        "strace",
        "-f",
        "-ttt",
        "-yy",
        "-xx",
        "-s",
        "1000000",
        "-o",
        str(file),
        "-e",
        "trace=fdatasync,fsync,write,pwrite64,send,sendto,sendmsg",
    )
    rig.actod.start()
    wait_for(rig.witness.subscribed, seconds=60, what="the subscription")
    publisher = Publisher(port=rig.broker.port, messages=messages, per_second=400)
    publisher.start()
    publisher.join(60)
    wait_for(lambda: rig.witness.count_pubacks() >= messages, seconds=90, what="every acknowledgement")
    rig.actod.stop(timeout=60)
    return list(_calls(file.read_text(encoding="ascii").splitlines()))


def _calls(lines: list[str]) -> Iterator[Call]:
    begun: dict[str, Call] = {}
    for number, line in enumerate(lines):
        if resumed := _RESUMED.match(line):
            call = begun.pop(resumed["pid"], None)
            result = _RETURNED.search(line)
            if call and result:
                call.data += _bytes(resumed["rest"])
                call.offset = call.offset or _offset(call.name, resumed["rest"])
                call.returned, call.result = number, int(result[1])
                yield call
        elif match := _CALL.match(line):
            call = Call(match["name"], _text(match["path"]), _bytes(match["rest"]), number, number, 0)
            call.offset = _offset(call.name, match["rest"])
            if "<unfinished ...>" in line:
                begun[match["pid"]] = call
            elif result := _RETURNED.search(line):
                call.result = int(result[1])
                yield call


class SyncedFiles:
    """What the platter holds of SQLite's files by the trace: only what a sync covered, moment by moment."""

    def __init__(self, calls: list[Call], folder: Path) -> None:
        for call in calls:
            if call.path.endswith("/spool.building"):  # the database is made under this name, and renamed when it is whole
                call.path = call.path.removesuffix("building") + "db"
        ours = [call for call in calls if call.path.endswith(("/spool.db", "/spool.db-wal"))]
        self._writes = sorted((c for c in ours if c.name in {"write", "pwrite64"}), key=lambda call: call.returned)
        self._syncs = sorted((c for c in ours if c.name in {"fdatasync", "fsync"}), key=lambda call: call.returned)
        self._folder = folder
        self._files: dict[str, bytearray] = {}
        self._numbers: set[int] = set()

    def numbers_at(self, line: int) -> set[int]:
        """Return the numbers of the messages that a power cut at this line of the trace would have left."""
        moved = False
        while self._syncs and self._syncs[0].returned < line:
            sync, moved = self._syncs.pop(0), True
            for call in [c for c in self._writes if c.path == sync.path and c.returned < sync.began]:
                self._writes.remove(call)
                content = self._files.setdefault(call.path, bytearray())
                content.extend(bytes(max(0, call.offset - len(content))))
                content[call.offset : call.offset + len(call.data)] = call.data
        if moved:
            self._numbers |= self._read()
        return self._numbers

    def _read(self) -> set[int]:
        """Open what is there as the daemon's own inspection does, and collect the numbers in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for path, content in self._files.items():
            (self._folder / Path(path).name).write_bytes(content)
        try:
            with inspect(self._folder) as inspection:
                return {int(n) for body in inspection.contents() for n in re.findall(rb'"n":(\d+)', body)}
        except (ActodError, sqlite3.Error):
            return set()  # the file is not whole yet: nothing was promised


def check_order(calls: list[Call], *, delivered: list[tuple[int, int]], broker_port: int, folder: Path) -> int:
    """Hold each PUBACK against what was synced when its send began. Returns how many were held.

    `delivered` has (packet id, number) in the order of delivery, in which the PUBACKs must leave.
    """
    platter = SyncedFiles(calls, folder)
    outgoing, held = bytearray(), 0
    for call in sorted((c for c in calls if f"->127.0.0.1:{broker_port}]" in c.path), key=lambda call: call.began):
        outgoing += call.data[: call.result]
        for first, body in frames(outgoing):
            if first >> 4 != PUBACK:
                continue
            wanted, number = delivered[held]
            packet_id = int.from_bytes(body[:2])
            assert packet_id == wanted, f"PUBACK {packet_id} left where {wanted} was next to arrive"
            assert number in platter.numbers_at(call.began), f"the PUBACK of message {number} left before a sync covered it"
            held += 1
    return held


def _offset(name: str, rest: str) -> int:
    found = re.search(r", (\d+)(?:\) += \d+| <unfinished \.\.\.>)$", rest) if name == "pwrite64" else None
    return int(found[1]) if found else 0


def _text(escaped: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), escaped)


def _bytes(rest: str) -> bytes:
    return b"".join(bytes.fromhex(part.replace("\\x", "")) for part in _DATA.findall(rest))


def deliveries(rig: Rig) -> list[tuple[int, int]]:
    """Return (packet id, number) of each QoS 1 delivery that the witness saw, in order."""
    published = [seen for seen in rig.witness.seen if seen.kind == "publish" and seen.packet_id]
    return [(seen.packet_id, json.loads(seen.payload)["n"]) for seen in published]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    if not shutil.which("strace"):
        pytest.fail("strace is missing: apt-get install strace")
    with build(tmp_path / "rig", settings=SETTINGS) as built:
        yield built


def test_each_message_is_synced_before_its_acknowledgement_leaves_and_in_arrival_order(rig: Rig, tmp_path: Path) -> None:
    calls = trace(rig, tmp_path, messages=300)
    held = check_order(calls, delivered=deliveries(rig), broker_port=rig.witness.port, folder=tmp_path / "platter")
    assert held >= 300
    # The audit log's checkpoint is on disk as well before an acknowledgement leaves.
    assert any(call.name == "fdatasync" and "/audit/" in call.path for call in calls)


def test_the_order_test_notices_when_the_syncs_are_taken_out(rig: Rig, tmp_path: Path) -> None:
    source, library = tmp_path / "nosync.c", tmp_path / "nosync.so"
    source.write_text("int fdatasync(int fd) { return 0; }\nint fsync(int fd) { return 0; }\n", encoding="ascii")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source], check=True)
    rig.actod.environment["LD_PRELOAD"] = str(library)
    calls = trace(rig, tmp_path, messages=60)
    with pytest.raises(AssertionError, match="left before a sync covered it"):
        check_order(calls, delivered=deliveries(rig), broker_port=rig.witness.port, folder=tmp_path / "platter")
