"""A store of the present layout is read by every version to come, and one of tomorrow that can be used today is."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from actod.errors import IntegrityError
from actod.store.chunk import digest
from actod.store.outbox import Outbox
from actod.store.schema import APPLICATION_ID, ARCHIVE, OUTBOX, QUARANTINE, VERSION
from tests.store.parts import HandClock, RememberedLog, numbers, open_store, receipt, sealed

KEPT = Path(__file__).parent / "fixtures"
MESSAGES = 120


@pytest.mark.parametrize("version", [1])
def test_all_that_a_kept_store_holds_comes_out(tmp_path: Path, version: int) -> None:
    (tmp_path / "spool.db").write_bytes(gzip.decompress((KEPT / f"spool-{version}.db.gz").read_bytes()))
    store = open_store(tmp_path, clock=HandClock(), log=RememberedLog())
    assert store.repaired is None
    assert store.device == "d-kept"
    assert store.identities["07"] == "robot-7"
    status = store.run(store.status)
    assert (status.acknowledged, status.quarantined_bundles, status.archived_bundles) == (MESSAGES, 1, 1)
    assert status.losses_pending["not_json"] == 3
    store.run(store.make_due)
    while bundle := store.run(store.next_bundle):
        store.run(partial(store.put, bundle, sealed(bundle)))
        store.run(store.make_due)
    while envelope := store.run(store.next_envelope):
        store.run(partial(store.receipt, envelope, receipt(envelope)))
    outbox: Outbox = store._outbox
    found = [outbox.envelope(row) for place in (OUTBOX, ARCHIVE, QUARANTINE) for row in outbox.first(place, limit=1000)]
    assert sorted(number for envelope in found if envelope for number in numbers(envelope.body)) == list(range(MESSAGES))


def test_what_a_later_version_adds_is_passed_over_so_that_an_update_can_be_taken_back(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    open_store(tmp_path, clock=clock, log=log).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db", isolation_level=None)) as later:
        later.execute("CREATE TABLE tomorrow (id INTEGER PRIMARY KEY, what TEXT)")
        later.execute("INSERT INTO state VALUES (99, '{}', ?)", (digest(("tomorrow", "{}")),))
    store = open_store(tmp_path, clock=clock, log=log)
    assert (store.repaired, store.epoch) == (None, 1)
    assert store._db.execute("SELECT COUNT(*) FROM tomorrow").fetchone() == (0,)
    store.close()


def test_a_layout_that_this_version_cannot_use_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    open_store(tmp_path, clock=HandClock(), log=RememberedLog()).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as newer:
        newer.execute(f"PRAGMA user_version={VERSION + 1}")
        newer.execute(f"PRAGMA application_id={APPLICATION_ID + VERSION + 1}")
    before = (tmp_path / "spool.db").read_bytes()
    with pytest.raises(IntegrityError, match=f"schema {VERSION + 1} was made by a newer actod"):
        open_store(tmp_path, clock=HandClock(), log=RememberedLog())
    assert (tmp_path / "spool.db").read_bytes() == before
