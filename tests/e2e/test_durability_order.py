"""The promise at the level of system calls: a message is on disk before its acknowledgement leaves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hil.parts.witness import PUBACK, frames
from hil.rig import Rig, build, wait_for
from hil.soak import SETTINGS, Publisher

_CALL = re.compile(r"^(?P<pid>\d+) +[\d.]+ (?P<name>\w+)\(\d+<(?P<path>[^>]*(?:->[^>]*)?)>(?P<rest>.*)$")
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
                call.returned, call.result = number, int(result[1])
                yield call
        elif match := _CALL.match(line):
            call = Call(match["name"], _text(match["path"]), _bytes(match["rest"]), number, number, 0)
            if "<unfinished ...>" in line:
                begun[match["pid"]] = call
            elif result := _RETURNED.search(line):
                call.result = int(result[1])
                yield call


def check_order(calls: list[Call], *, delivered: list[tuple[int, int]], broker_port: int, file: str) -> int:
    """Hold each message's PUBACK against the sync that covers it. Returns how many acknowledgements were held.

    `delivered` has (packet id, number) in the order of delivery. For each PUBACK that was sent there must be a write of
    the message to `file` that returned before a sync of `file` began, which returned before the send began.
    """
    writes = [call for call in calls if call.name in {"write", "pwrite64"} and call.path.endswith(file)]
    syncs = [call for call in calls if call.name in {"fdatasync", "fsync"} and call.path.endswith(file)]
    sends = [call for call in calls if f"->127.0.0.1:{broker_port}]" in call.path]
    written: dict[int, int] = {}
    for call in writes:
        for found in re.finditer(rb"k(\d{7})k", call.data):
            written.setdefault(int(found[1]), call.returned)
    outgoing, acknowledged = bytearray(), []
    for call in sorted(sends, key=lambda call: call.began):
        outgoing += call.data[: call.result]
        acknowledged += [(call, int.from_bytes(body[:2])) for first, body in frames(outgoing) if first >> 4 == PUBACK]
    for (call, packet_id), (wanted_id, number) in zip(acknowledged, delivered, strict=False):
        assert packet_id == wanted_id, f"PUBACK {packet_id} left where {wanted_id} was next to arrive"
        assert number in written, f"message {number} was acknowledged and never written"
        covered = any(written[number] < sync.began and sync.returned < call.began for sync in syncs)
        assert covered, f"the PUBACK of message {number} left before a sync covered it"
    return len(acknowledged)


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


def test_each_message_is_synced_before_its_acknowledgement_leaves_and_in_arrival_order(
    rig: Rig, tmp_path: Path
) -> None:
    calls = trace(rig, tmp_path, messages=300)
    held = check_order(calls, delivered=deliveries(rig), broker_port=rig.witness.port, file="spool.db-wal")
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
        check_order(calls, delivered=deliveries(rig), broker_port=rig.witness.port, file="spool.db-wal")
