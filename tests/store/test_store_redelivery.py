"""A message that the broker sends again is known for one; a new message never is."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from actod.store.recent import WINDOW
from actod.store.sqlite import SqliteStore
from tests.store.parts import DEVICE, SEAL, HandClock, RememberedLog, group, open_store, sealed


def marks(store: SqliteStore) -> dict[str, tuple[int, ...]]:
    store.run(store.make_due)
    bundle = store.run(store.next_bundle)
    assert bundle
    return dict(bundle.marks)


def test_a_redelivered_message_is_marked_also_after_a_restart(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    store.run(partial(store.commit, group([7, 8], clock=clock, packet_id=5)))
    store.close()
    store = open_store(tmp_path, clock=clock, log=log)
    again = group([8], clock=clock, packet_id=5, duplicate=True, stamp="2026-01-01T00:00:09Z")  # our own arrival time
    store.run(partial(store.commit, again))
    assert marks(store) == {"redelivered": (2,)}
    store.close()


def test_a_duplicate_of_which_nothing_is_known_is_only_possibly_one(tmp_path: Path) -> None:
    clock = HandClock()
    store = open_store(tmp_path, clock=clock, log=RememberedLog())
    store.run(partial(store.commit, group([1], clock=clock, packet_id=5)))
    store.run(partial(store.commit, group([2], clock=clock, packet_id=5, duplicate=True)))  # other content
    store.run(partial(store.commit, group([1], clock=clock, packet_id=6, duplicate=True)))  # other packet id
    store.run(partial(store.commit, group([1], clock=clock, packet_id=5)))  # sent anew: no duplicate at all
    assert marks(store) == {"possible_duplicate": (1, 2)}
    store.close()


def test_retained_messages_are_marked(tmp_path: Path) -> None:
    clock = HandClock()
    store = open_store(tmp_path, clock=clock, log=RememberedLog())
    store.run(partial(store.commit, group([1], clock=clock)))
    store.run(partial(store.commit, group([2], clock=clock, retained=True)))
    assert marks(store) == {"retained": (1,)}
    store.close()


def test_the_window_is_bounded_on_disk_and_holds_what_it_must(tmp_path: Path) -> None:
    clock, log = HandClock(), RememberedLog()
    store = open_store(tmp_path, clock=clock, log=log)
    for number in range(WINDOW + 200):
        store.run(partial(store.commit, group([number], DEVICE, clock=clock, packet_id=number + 1)))
    assert WINDOW <= store._db.execute("SELECT COUNT(*) FROM recent").fetchone()[0] <= WINDOW + 18
    for first in range(0, WINDOW + 200, SEAL.max_events):
        bundle = store.run(store.next_bundle)
        assert bundle, first
        store.run(partial(store.put, bundle, sealed(bundle)))
    store.close()
    store = open_store(tmp_path, clock=clock, log=log)
    oldest = WINDOW + 200 - WINDOW + 2
    for number in (oldest, WINDOW + 199):
        made = group([number], clock=clock, packet_id=number + 1, duplicate=True)
        store.run(partial(store.commit, made))
    assert marks(store) == {"redelivered": (0, 1)}
    store.close()
