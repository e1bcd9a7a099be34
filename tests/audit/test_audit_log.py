"""The audit log keeps its chain over kills, full disks, rotation and threads."""

from __future__ import annotations

import enum
import errno
import json
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from actod.audit.files import EPOCH, TURNED, log_files, whole_lines
from actod.audit.log import AuditLog
from actod.audit.verify import verify_log
from actod.config import AuditConfig
from actod.errors import TransientError
from actod.service.clock import SystemClock
from tests.audit.conftest import OpenLog, SetClock

ROOT = Path(__file__).parents[2]


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Return all lines but those with which the log speaks of its own files and epochs."""
    lines = [line for file in log_files(folder) for line in whole_lines(file)]
    return [line for line in lines if line["event"] not in (EPOCH, TURNED)]


def events(folder: Path) -> list[str]:
    return [line["event"] for line in lines_of(folder)]


def test_lines_are_chained_canonical_and_private_from_the_first_byte(folder: Path, open_log: OpenLog) -> None:
    previous_mask = os.umask(0)
    try:
        log = open_log()
        assert log.head() == "0" * 64
        log.record("start", version="0.1.0")
        log.witness("journal.committed", {"rows": 3, "heads": {"r1": [1, "a" * 64]}})
    finally:
        os.umask(previous_mask)
    (file,) = log_files(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    epoch, first, second = whole_lines(file)
    assert (epoch["event"], epoch["epoch"], epoch["reason"], epoch["key"]) == (EPOCH, 1, "genesis", None)
    assert first.keys() == {"n", "at", "boot", "mono_ms", "event", "prev", "hash", "version"}
    assert (first["n"], first["at"], first["mono_ms"]) == (2, "2026-01-02T03:04:05.000000+00:00", 1000)
    assert (epoch["prev"], first["prev"], second["prev"]) == ("0" * 64, epoch["hash"], first["hash"])
    assert second["hash"] == log.head()
    assert verify_log(folder).problem == ""


def test_the_chain_goes_on_after_opening_anew(folder: Path, open_log: OpenLog) -> None:
    for number in range(3):
        log = open_log()
        log.record("start", number=number)
        log.close()
    report = verify_log(folder)
    assert (report.problem, report.lines, report.last_n) == ("", 6, 6)
    epochs = [line for file in log_files(folder) for line in whole_lines(file) if line["event"] == EPOCH]
    assert [(line["epoch"], line["reason"]) for line in epochs] == [(1, "genesis"), (2, "start"), (3, "start")]


def test_a_file_that_is_full_says_so_and_the_next_begins_with_an_epoch(folder: Path, open_log: OpenLog) -> None:
    log = open_log(max_file_bytes=2000)
    for number in range(40):
        log.record("x", number=number)
        assert verify_log(folder).problem == ""
    assert [line["number"] for line in lines_of(folder)] == list(range(40))
    files = log_files(folder)
    assert len(files) > 5
    for file, following in pairwise(files):
        assert file.stat().st_size < 3000
        *_, last = whole_lines(file)
        first = next(whole_lines(following))
        assert (last["event"], last["next"]) == (TURNED, first["n"])
        assert (first["event"], first["reason"], following.name) == (EPOCH, "full", f"audit-{first['n']:012}.jsonl")
    log.close()
    again = open_log(max_file_bytes=2000)
    again.record("start")
    assert verify_log(folder).problem == ""


def test_what_a_crash_tore_is_moved_aside_and_that_is_recorded(folder: Path, open_log: OpenLog) -> None:
    log = open_log()
    for number in range(5):
        log.record("x", number=number)
    log.close()
    (file,) = log_files(folder)
    whole = file.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10][1:]  # the first line is the epoch's
    for cut in [*range(ends[3], len(whole)), len(whole)]:
        file.write_bytes(whole[:cut])
        (folder / "audit-000000000001.torn").unlink(missing_ok=True)
        log = open_log()
        log.record("after")
        log.close()
        torn = cut - ends[3] if cut < len(whole) else 0
        assert events(folder) == ["x"] * (4 if cut < len(whole) else 5) + ["audit.repaired"] * bool(torn) + ["after"]
        assert verify_log(folder).problem == ""
        if torn:
            side = folder / "audit-000000000001.torn"
            assert side.read_bytes() == whole[ends[3] : cut]
            assert stat.S_IMODE(side.stat().st_mode) == 0o600


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff\n\0\n", b'{"n":99}\n', b"\n\n", b'{"n":6,"event":"x"'])
def test_garbage_behind_the_last_line_is_moved_aside(folder: Path, open_log: OpenLog, tail: bytes) -> None:
    log = open_log()
    log.record("x")
    log.close()
    (file,) = log_files(folder)
    file.write_bytes(file.read_bytes() + tail)
    log = open_log()
    log.record("after")
    assert events(folder) == ["x", "audit.repaired", "after"]
    assert (folder / "audit-000000000001.torn").read_bytes() == tail
    assert verify_log(folder).problem == ""


@pytest.mark.parametrize("hole", [b"", b"\n"])
def test_a_line_that_a_power_cut_took_out_of_the_unsynced_tail_goes_with_all_behind_it(
    folder: Path, open_log: OpenLog, hole: bytes
) -> None:
    """A page of the tail reached the disk and the one before it did not: the last line is whole and follows nothing."""
    log = open_log()
    log.witness("checkpoint.commit", {"last": 1})
    log.close()
    (file,) = log_files(folder)
    synced = file.read_bytes()
    log = open_log()
    log.record("lost")
    lost = len(file.read_bytes()) - len(synced)
    log.record("x")
    log.witness("checkpoint.commit", {"last": 2})
    log.close()
    whole = file.read_bytes()
    file.write_bytes(synced + b"\0" * (lost - len(hole)) + hole + whole[len(synced) + lost :])
    log = open_log()
    log.record("after")
    log.close()
    assert events(folder) == ["checkpoint.commit", "audit.repaired", "after"]
    assert verify_log(folder).problem == ""
    assert len(file.with_suffix(".torn").read_bytes()) == len(whole) - len(synced)


def test_damage_before_what_was_witnessed_is_no_torn_tail_and_stays_to_be_seen(folder: Path, open_log: OpenLog) -> None:
    log = open_log()
    log.record("x")
    for last in (1, 2):
        log.witness("checkpoint.commit", {"last": last})
    log.close()
    (file,) = log_files(folder)
    damaged = b"\0" + file.read_bytes()[1:]
    file.write_bytes(damaged)
    open_log().close()
    assert file.read_bytes() == damaged
    assert verify_log(folder).line == 1


@pytest.mark.parametrize("n", [-1, 0, 2**63, 2**64 - 1])
def test_a_line_whose_number_nothing_could_follow_is_none_and_does_not_keep_the_log_from_opening(
    n: int, folder: Path, open_log: OpenLog
) -> None:
    folder.mkdir()
    (folder / "audit-000000000001.jsonl").write_bytes(b'{"event":"x","hash":"h","n":%d}\n' % n)
    log = open_log()
    log.record("a.b")
    assert [event for event, _ in log.lines()] == ["audit.repaired", "a.b"]


@pytest.mark.parametrize("said", [True, False])
def test_a_crash_between_two_files_loses_nothing(folder: Path, open_log: OpenLog, said: bool) -> None:
    log = open_log(max_file_bytes=800)
    log.record("x")
    log.record("x")
    log.close()
    old, new = log_files(folder)
    assert new.stat().st_size == 0  # made, and nothing written yet
    if not said:  # nor that the old one ended
        old.write_bytes(b"".join(old.read_bytes().splitlines(keepends=True)[:-1]))
    log = open_log()
    log.record("after")
    assert verify_log(folder).problem == ""
    assert events(folder)[-1] == "after"


class _Colour(enum.StrEnum):
    RED = "red"


def test_fields_are_codes_counts_and_ids_only(folder: Path, open_log: OpenLog) -> None:
    log = open_log()
    for wrong in (b"payload", bytearray(b"payload"), object(), {1, 2}, [[[[["deep"]]]]], Path("/etc")):
        with pytest.raises(ValueError, match="does not belong") as caught:
            log.record("x", field=wrong)
        assert "payload" not in str(caught.value)
    for name in ("n", "at", "boot", "mono_ms", "prev", "hash"):
        with pytest.raises(ValueError, match="own field"):
            log.witness("x", {name: 1})
    for event in ("", "Two words", "x" * 65, "ä", "x\n"):
        with pytest.raises(ValueError, match="dotted word"):
            log.record(event)
    assert events(folder) == []
    log.record(
        "x",
        long="payload" * 100,
        member={"payload" * 100: 1},
        colour=_Colour.RED,
        lone="a\ud800",
        huge=2**70,
        large=1e300,
        nan=float("nan"),
        flag=True,
        none=None,
    )
    (line,) = lines_of(folder)
    assert "payload" not in json.dumps(line)
    assert (line["long"], line["member"]) == ("(700 characters)", {"(700 characters)": 1})
    assert (line["colour"], line["lone"], line["flag"], line["none"]) == ("red", "a?", True, None)
    assert line["huge"].startswith("(")
    assert verify_log(folder).problem == ""


def test_many_threads_write_one_chain(folder: Path) -> None:
    log = AuditLog(folder, clock=SystemClock(), config=AuditConfig(max_file_bytes=5000))
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(60):
                if number % 2:
                    log.record("recorded", thread=number, step=step)
                else:
                    log.witness("witnessed", {"thread": number, "step": step})
                if step % 10 == 0:
                    log.flush()
        except BaseException as exc:  # noqa: BLE001 - told by the assertion below
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert failures == []
    report = verify_log(folder)
    assert (report.problem, len(lines_of(folder))) == ("", 360)
    assert report.files > 10


_WRITER = """
import sys
from pathlib import Path
from actod.audit.log import AuditLog
from actod.config import AuditConfig
from actod.service.clock import SystemClock

log = AuditLog(Path(sys.argv[1]), clock=SystemClock(), config=AuditConfig(max_file_bytes=3000))
number = int(sys.argv[2])
while True:
    number += 1
    if number % 3:
        log.record("recorded", number=number, padding="p" * (number % 200))
    else:
        log.witness("witnessed", {"number": number})
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""


def test_a_kill_at_any_moment_loses_no_line_that_was_recorded(folder: Path) -> None:
    reached = 0
    for round_number in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(folder), str(reached)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert writer.stdout is not None
        wanted = random.Random(round_number).randint(1, 150)  # noqa: S311 - a moment, no secret
        for _ in range(wanted):
            reached = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        writer.stdout.close()
        reached = int(rest[-1]) if rest else reached
        numbers = [line["number"] for file in log_files(folder) for line in whole_lines(file) if "number" in line]
        assert numbers[: len(numbers)] == list(range(1, len(numbers) + 1))
        assert len(numbers) >= reached
        reached = len(numbers)
    log = AuditLog(folder, clock=SystemClock(), config=AuditConfig())
    log.record("after")
    log.close()
    assert verify_log(folder).problem == ""


def test_a_witness_returns_only_after_the_sync_that_covers_its_line(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    synced: list[int] = []
    real = os.fdatasync

    def watched(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", watched)
    log.record("x")
    assert synced == []
    log.witness("y", {})
    size = log_files(folder)[0].stat().st_size
    assert synced == [size]
    log.flush()
    assert synced == [size]  # nothing new: no sync
    log.record("z")
    log.flush()
    assert synced == [size, log_files(folder)[0].stat().st_size]


def test_a_record_does_not_wait_for_another_thread_s_sync(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    syncing, release = threading.Event(), threading.Event()

    def slow(_descriptor: int) -> None:
        syncing.set()
        assert release.wait(30)

    monkeypatch.setattr(os, "fdatasync", slow)
    thread = threading.Thread(target=log.witness, args=("slow", {}))
    thread.start()
    assert syncing.wait(30)
    log.record("quick")  # would hang until the release, were it to wait
    assert events(folder) == ["slow", "quick"]
    release.set()
    thread.join()


def test_what_a_failed_sync_may_have_lost_is_written_again_before_the_next_promise(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log()
    log.witness("safe", {})
    real, (file,) = os.fdatasync, log_files(folder)
    safe = file.stat().st_size

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    log.record("a")
    with pytest.raises(TransientError, match="audit_full"):
        log.witness("b", {})
    file.write_bytes(file.read_bytes()[:safe] + bytes(file.stat().st_size - safe))  # the pages that the disk never took
    monkeypatch.setattr(os, "fdatasync", real)
    log.witness("c", {})
    assert events(folder) == ["safe", "a", "b", "c"]
    assert verify_log(folder).problem == ""


@pytest.fixture
def small_disk() -> Any:
    """Limit the size of files as a full disk would; SIGXFSZ must be ignored for write(2) to say so."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size if size is not None else before[0], before[1]))

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_stops_nobody_and_what_could_not_be_written_is_counted(
    folder: Path, open_log: OpenLog, small_disk: Any
) -> None:
    log = open_log()
    log.record("before")
    (file,) = log_files(folder)
    size, head = file.stat().st_size, log.head()
    small_disk(size + 100)  # room for a part of a line: a write that is cut short
    for number in range(5):
        log.record("lost", number=number)
    with pytest.raises(TransientError) as caught:
        log.witness("promised", {})
    assert caught.value.reason == "audit_full"
    assert log.head() == head
    assert file.stat().st_size == size
    small_disk(None)
    log.witness("after", {})
    assert events(folder) == ["before", "audit.unwritten", "after"]
    assert lines_of(folder)[1]["count"] == 5
    assert verify_log(folder).problem == ""


def test_a_full_disk_at_rotation_goes_on_in_the_old_file(
    folder: Path, open_log: OpenLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(max_file_bytes=1200)
    real = os.open

    def full(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", full)
    for number in range(5):
        log.witness("x", {"number": number})
    assert len(log_files(folder)) == 1
    monkeypatch.setattr(os, "open", real)
    log.record("x")
    log.record("x")
    assert len(log_files(folder)) == 2
    assert (verify_log(folder).problem, len(lines_of(folder))) == ("", 7)


def test_after_closing_nothing_is_written_and_nothing_breaks(folder: Path, open_log: OpenLog) -> None:
    log = open_log()
    log.record("x")
    log.close()
    log.close()
    log.record("late")
    log.flush()
    with pytest.raises(TransientError, match="audit_full"):
        log.witness("late", {})
    assert events(folder) == ["x"]


def test_the_newest_lines_can_be_read_back_after_a_crash(open_log: OpenLog, clock: SetClock) -> None:
    log = open_log(max_file_bytes=700)
    for number in range(10):
        clock.pass_seconds(1)
        log.witness("store.committed", {"last": number})
    lines = list(log.lines())
    assert lines[-1] == ("store.committed", {"last": 9})
    assert [fields["last"] for _event, fields in lines] == list(range(10 - len(lines), 10))


@pytest.mark.parametrize("name", ["audit-copy.jsonl", "audit-000000000001-copy.jsonl", "audit-zzz.jsonl", "audit-1.jsonl"])
def test_a_copy_that_somebody_left_in_the_folder_is_no_part_of_the_log(folder: Path, open_log: OpenLog, name: str) -> None:
    log = open_log()
    log.record("x")
    log.close()
    (folder / name).write_bytes(log_files(folder)[0].read_bytes())
    log = open_log()
    log.record("after")
    assert events(folder) == ["x", "after"]
    assert verify_log(folder).problem == ""
    assert (folder / name).read_bytes().count(b"\n") == 2


def test_a_folder_that_cannot_be_made_is_a_named_failure(tmp_path: Path, clock: SetClock) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransientError, match="audit_full"):
        AuditLog(tmp_path / "file" / "audit", clock=clock, config=AuditConfig())


def test_reading_back_goes_as_far_as_the_last_line_that_says_it_all(open_log: OpenLog) -> None:
    log = open_log(max_file_bytes=700)
    log.witness("checkpoint.opened", {"device": "d-1", "last": 0})
    log.witness("checkpoint.opened", {"device": "d-2", "last": 0})
    for number in range(1, 20):
        log.witness("checkpoint.commit", {"last": number, "note": '"device":'})
    assert all("device" not in fields for _event, fields in log.lines())
    lines = list(log.lines(back_to="device"))
    assert [fields["device"] for _event, fields in lines if "device" in fields][-1] == "d-2"
    assert [fields["last"] for _event, fields in lines][-20:] == list(range(20))
    assert next(log.lines(back_to="nowhere"))[1]["device"] == "d-1"
