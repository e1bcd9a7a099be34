"""`actod queue` beside a store that is at work, after a kill, and alone."""

from __future__ import annotations

import base64
import io
import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import orjson
import pytest

from actod.errors import RejectedError
from actod.store.export import MAGIC, read_export, write_export
from actod.store.outbox import Sealed
from actod.store.sqlite import SqliteStore
from actod.store.vault import make_operator_key
from tests.store.parts import HandClock, RememberedLog, event, group, open_store, sealed_as_sent


def actod(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "actod", "queue", *arguments], capture_output=True, check=False)


def vault(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "actod", "vault", *arguments], capture_output=True, check=False)


def rows(store: SqliteStore, place: int) -> list[Sealed]:
    return store.run(partial(store._outbox.first, place, limit=100))


@pytest.fixture
def at_work(tmp_path: Path) -> SqliteStore:
    clock = HandClock()
    store = open_store(tmp_path / "state", clock=clock, log=RememberedLog())
    for number in range(3):
        store.run(partial(store.commit, group(range(number * 10, number * 10 + 10), clock=clock)))
        bundle = store.run(store.next_bundle)
        assert bundle
        store.run(partial(store.put, bundle, sealed_as_sent(bundle)))
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


def test_it_shows_a_bundle_with_its_content_and_an_envelope_to_the_byte(at_work: SqliteStore, tmp_path: Path) -> None:
    proof_id = str(check_list(tmp_path / "state")[0]["proof_id"])
    shown = actod("inspect", proof_id, "--envelope", "--state", tmp_path / "state").stdout
    envelope = at_work.run(at_work.next_envelope)
    assert envelope
    assert shown == envelope.body + b"\n"
    assert event(10) in shown
    text = actod("inspect", proof_id, "--state", tmp_path / "state").stdout
    assert b"seq            2" in text
    assert [orjson.loads(line)["data"]["n"] for line in text.splitlines() if line.startswith(b"{")] == list(range(10, 20))
    at_work.close()


def test_an_export_is_read_by_the_recipient_alone_and_refused_without_one(at_work: SqliteStore, tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "out"
    refused = actod("export", "--state", state, "--out", out)
    assert refused.returncode == 78
    assert b"--to: expected the public key" in refused.stderr
    assert not out.exists()
    key = make_operator_key(tmp_path / "key")
    assert actod("export", "--to", key, "--state", state, "--out", out).returncode == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert event(10)[:12] not in out.read_bytes()
    opened = vault("open", "--key", tmp_path / "key", out)
    bodies = [at_work.run(partial(at_work._outbox.envelope, row)) for place in (0, 2) for row in rows(at_work, place)]
    assert opened.stdout.splitlines() == [envelope.body for envelope in bodies if envelope]
    assert len(bodies) == 3
    make_operator_key(tmp_path / "other")
    assert b"not_sealed_to_us" in vault("open", "--key", tmp_path / "other", out).stderr
    again = actod("export", "--to", key, "--state", state, "--out", out)
    assert again.returncode == 1, "what is there is not written over"
    at_work.close()


def test_an_export_whose_chunks_are_missing_moved_or_cut_is_refused(tmp_path: Path) -> None:
    public = base64.b64decode(make_operator_key(tmp_path / "key"))
    private = base64.b64decode((tmp_path / "key").read_text())
    lines = [bytes([65 + index]) * 200_000 for index in range(6)]
    assert write_export(tmp_path / "whole", lines, recipient=public) == 6
    data = (tmp_path / "whole").read_bytes()
    assert b"".join(read_export(io.BytesIO(data), private_key=private)) == b"".join(line + b"\n" for line in lines)
    chunks, at = [], len(MAGIC)
    while at < len(data):
        size = 4 + int.from_bytes(data[at : at + 4])
        chunks.append(data[at : at + size])
        at += size
    assert len(chunks) == 5
    write_export(tmp_path / "other", lines, recipient=public)
    foreign = (tmp_path / "other").read_bytes()[len(MAGIC) : len(MAGIC) + len(chunks[0])]
    for made, reason in (
        (chunks[:-1], "export_cut"),
        (chunks[:2] + chunks[3:], "export_damaged"),
        ([chunks[1], chunks[0], *chunks[2:]], "export_damaged"),
        ([foreign, *chunks[1:]], "export_damaged"),
        ([*chunks, b"more"], "export_damaged"),
        ([chunks[0][:-1] + b"x", *chunks[1:]], "not_sealed_to_us"),
    ):
        with pytest.raises(RejectedError, match=reason):
            list(read_export(io.BytesIO(MAGIC + b"".join(made)), private_key=private))


def test_it_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    missing = actod("list", "--state", tmp_path / "nowhere")
    assert missing.returncode == 78
    assert missing.stderr.count(b"\n") == 1
    open_store(tmp_path, clock=HandClock(), log=RememberedLog()).close()
    unknown = actod("inspect", "0" * 32, "--state", tmp_path)
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
