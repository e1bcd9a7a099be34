"""A new epoch: every chain starts anew, nothing waiting is lost, and the audit log knows why."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from actod.errors import TransientError
from tests.store.parts import DEVICE, HandClock, RememberedLog, group, numbers, open_store, sealed


def test_the_next_bundle_begins_the_new_epoch_and_says_where_the_old_one_ended(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    store.run(partial(store.commit, group(range(10), DEVICE, clock=clock)))
    bundle = store.run(store.next_bundle)
    assert bundle
    before = sealed(bundle)
    store.run(partial(store.put, bundle, before))
    store.run(partial(store.commit, group(range(10, 20), DEVICE, clock=clock)))
    cut = store.run(store.next_bundle)
    assert cut
    assert store.run(partial(store.begin_epoch, "key_adopted")) == 2
    with pytest.raises(TransientError, match="bundle_stale"):
        store.run(partial(store.put, cut, sealed(cut)))
    store.close()
    store = open_store(tmp_path, clock=clock, log=log)
    assert store.epoch == 2
    assert store.began == {"reason": "key_adopted", "before": {"epoch": 1, "device_seq": 1, "head": before.payload_hash}}
    store.run(store.make_due)
    first = store.run(store.next_bundle)
    assert first
    assert (first.epoch, first.seq, first.device_seq, first.previous) == (2, 1, 1, None)
    assert numbers(first.events) == list(range(10, 20))
    assert store.run(store.next_envelope) == before, "what was sealed in the old epoch is still delivered"


def test_an_epoch_whose_witness_failed_is_not_begun_twice(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    log.full = True
    for _ in range(2):
        with pytest.raises(TransientError, match="audit_full"):
            store.run(partial(store.begin_epoch, "clone"))
    log.full = False
    assert store.run(partial(store.begin_epoch, "clone")) == 2
    assert log.lines[-1][0] == "checkpoint.epoch"
    assert log.known["epoch"] == 2
    assert store.run(partial(store.begin_epoch, "clone")) == 3, "a second one is a second one"


def test_a_file_that_is_lost_after_a_new_epoch_goes_on_in_it(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    store.run(partial(store.commit, group(range(10), DEVICE, clock=clock)))
    store.run(partial(store.begin_epoch, "clone"))
    bundle = store.run(store.next_bundle)
    assert bundle
    envelope = sealed(bundle)
    store.run(partial(store.put, bundle, envelope))
    store.close()
    (tmp_path / "spool.db").unlink()
    store = open_store(tmp_path, clock=clock, log=log)
    store.run(partial(store.commit, group(range(10, 20), DEVICE, clock=clock)))
    after = store.run(store.next_bundle)
    assert after
    assert (after.epoch, after.seq, after.previous) == (2, 2, envelope.payload_hash)


def test_a_card_in_another_board_is_named_and_begins_a_new_epoch_once(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    assert store.run(partial(store.claim, {"machine": "a", "medium": "card-1"})) == []
    assert store.epoch == 1
    store.run(partial(store.commit, group(range(10), DEVICE, clock=clock)))
    store.close()
    store = open_store(tmp_path, clock=clock, log=log)
    assert store.run(partial(store.claim, {"machine": "a", "medium": "card-2"})) == ["medium"]
    assert store.run(partial(store.claim, {"machine": "a", "medium": "card-2"})) == []
    assert (store.epoch, store.began["reason"], store.began["changed"]) == (2, "host_changed", ["medium"])
    assert store.run(partial(store.claim, {"token": "serial-1"})) == [], "a token that answers late is only kept"
    store.run(partial(store.begin_epoch, "key_adopted"))
    assert store.run(partial(store.claim, {"token": "serial-2"})) == ["token"], "what is known outlives epochs"
    bundle = store.run(store.next_bundle)
    assert bundle
    assert (bundle.epoch, bundle.seq, numbers(bundle.events)) == (4, 1, list(range(10)))


@pytest.mark.parametrize("keep", ["none", "older store"])
def test_where_store_and_audit_log_are_both_gone_the_device_is_the_same_and_no_number_is_used_twice(
    tmp_path: Path, keep: str
) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    device = store.device
    store.run(partial(store.commit, group(range(10), DEVICE, clock=clock)))
    store.close()
    older = (tmp_path / "spool.db").read_bytes()
    store = open_store(tmp_path, clock=clock, log=log)
    store.run(partial(store.begin_epoch, "clone"))
    store.run(partial(store.begin_epoch, "clone"))
    store.close()
    (tmp_path / "spool.db").unlink()
    if keep == "older store":
        (tmp_path / "spool.db").write_bytes(older)
    store = open_store(tmp_path, clock=clock, log=RememberedLog())
    assert (store.device, store.epoch) == (device, 4)
    assert not store.genesis
    if keep == "none":
        assert store.run(store.status).losses_pending == {"damaged_unknown": 1}
