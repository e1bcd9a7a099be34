"""`actod queue` beside a store that is at work, after a kill, and alone."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest

from actod.store.sqlite import SqliteStore
from tests.store.parts import HandClock, RememberedLog, event, group, open_store, sealed


def actod(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "actod", "queue", *arguments], capture_output=True, check=False)


@pytest.fixture
def at_work(tmp_path: Path) -> SqliteStore:
    clock = HandClock()
    store = open_store(tmp_path / "state", clock=clock, log=RememberedLog())
    for number in range(3):
        store.run(partial(store.commit, group(range(number * 10, number * 10 + 10), clock=clock)))
        bundle = store.run(store.next_bundle)
        assert bundle
        store.run(partial(store.put, bundle, sealed(bundle)))
    envelope = store.run(store.next_envelope)
    assert envelope
    store.run(partial(store.set_aside, envelope, "http_422"))
    store.run(partial(store.commit, group([99], clock=clock)))
    return store


def check_list(state: Path) -> list[dict[str, object]]:
    shown = orjson.loads(actod("list", "--state", state, "--json").stdout)
    assert (shown["status"]["journal_messages"], shown["status"]["outbox_bundles"]) == (1, 2)
    assert [(row["place"], row["seq"], row["note"]) for row in shown["bundles"]] == [
        ("waiting", 2, None),
        ("waiting", 3, None),
        ("quarantine", 1, "http_422"),
    ]
    bundles: list[dict[str, object]] = shown["bundles"]
    return bundles


def test_it_lists_beside_the_daemon_and_alone_and_changes_nothing(at_work: SqliteStore, tmp_path: Path) -> None:
    state = tmp_path / "state"
    check_list(state)
    at_work.close()
    before = {file.name: file.read_bytes() for file in state.iterdir()}
    check_list(state)
    assert {file.name: file.read_bytes() for file in state.iterdir()} == before
    text = actod("list", "--state", state).stdout.decode()
    assert "http_422" in text
    assert "withheld 10" in text


def test_it_shows_an_envelope_to_the_byte(at_work: SqliteStore, tmp_path: Path) -> None:
    proof_id = str(check_list(tmp_path / "state")[0]["proof_id"])
    shown = actod("show", proof_id, "--envelope", "--state", tmp_path / "state").stdout
    envelope = at_work.run(at_work.next_envelope)
    assert envelope
    assert shown == envelope.body + b"\n"
    assert event(10) in shown
    assert b"task" not in actod("show", proof_id, "--state", tmp_path / "state").stdout
    at_work.close()


def test_it_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    missing = actod("list", "--state", tmp_path / "nowhere")
    assert missing.returncode == 78
    assert missing.stderr.count(b"\n") == 1
    open_store(tmp_path, clock=HandClock(), log=RememberedLog()).close()
    unknown = actod("show", "0" * 32, "--state", tmp_path)
    assert unknown.returncode == 1
    assert b"no bundle" in unknown.stderr


def test_it_reads_after_a_kill(at_work: SqliteStore, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir(mode=0o700)
    for name in ("spool.db", "spool.db-wal"):
        (copy / name).write_bytes((tmp_path / "state" / name).read_bytes())
        os.chmod(copy / name, 0o600)  # noqa: PTH101
    check_list(copy)
    at_work.close()


@pytest.mark.parametrize("limit", ["0", "-5", "x", "1e3"])
def test_a_limit_that_is_none_is_refused_with_what_is_expected(at_work: SqliteStore, tmp_path: Path, limit: str) -> None:
    at_work.close()
    done = actod("list", "--state", tmp_path / "state", f"--limit={limit}")
    assert done.returncode == 2
    assert "a whole number from 1 on is expected" in done.stderr.decode()
    assert done.stdout == b""
