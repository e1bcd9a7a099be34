"""What the store counts for the metrics: each message once, whatever was refused, tried again, dropped or told again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from actod.errors import TransientError
from actod.model import Group
from actod.store.schema import DATABASE_NAME
from tests.store.parts import HandClock, RememberedLog, group, open_store, receipt, sealed


def test_losses_and_redactions_count_each_message_once(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    taken = group(range(10), clock=clock)
    found: list[dict[str, int]] = [{"email": 2, "phone": 1}] * 7 + [{}] * 3
    taken.readings = [replace(reading, masked=masked) for reading, masked in zip(taken.readings, found, strict=True)]
    taken.refuse(reason="nan", traffic_class="normal", route="site", count=3)
    log_refuses = partial(store.commit, taken)
    log.full = True
    with pytest.raises(TransientError):
        store.run(log_refuses)
    log.full = False
    store.run(log_refuses)
    told = store.run(store.tally)
    assert told.losses == {("nan", "normal", "site"): 3}
    assert (told.redactions, told.masked_messages) == ({"email": 14, "phone": 7}, 7)

    store.run(store.make_due)
    bundle = store.run(store.next_bundle)
    assert bundle is not None
    assert sum(loss.count for loss in bundle.loss) == 3
    envelope = sealed(bundle)
    store.run(partial(store.put, bundle, envelope))
    assert store.run(partial(store.purge, envelope.proof_id)) == 10
    assert store.run(store.status).losses_pending == {"purged": 13}  # the ledger must tell the three again
    assert store.run(store.tally).losses == {("nan", "normal", "site"): 3, ("purged", "normal", "_store"): 10}
    store.close()


def test_a_transaction_that_was_rolled_back_counted_nothing(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as other:
        pages = other.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")
    taken = Group(identities={f"{number:064x}": f"robot-{number}" for number in range(500)})
    taken.refuse(reason="nan", traffic_class="normal", route="site", count=3)
    with pytest.raises(TransientError):
        store.run(partial(store.commit, taken))
    assert store.run(store.tally).losses == {}
    store._db.execute("PRAGMA max_page_count=100000")
    store.run(partial(store.commit, taken))
    assert store.run(store.tally).losses == {("nan", "normal", "site"): 3}
    store.close()


def test_the_newest_receipts_come_first(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    confirmed = []
    for number in range(6):
        store.run(partial(store.commit, group([number], clock=clock)))
        store.run(store.make_due)
        bundle = store.run(store.next_bundle)
        assert bundle is not None
        store.run(partial(store.put, bundle, sealed(bundle)))
        envelope = store.run(store.take)
        assert envelope is not None
        store.run(partial(store.receipt, envelope, receipt(envelope)))
        confirmed.append(envelope.proof_id)
    assert [row.proof_id for row in store.run(partial(store.newest_receipts, 4))] == confirmed[:1:-1]
    assert store.passed() == (6, 6)
    store.close()
