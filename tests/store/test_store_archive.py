"""What was delivered is kept until its share or a trusted age ends; what matters leaves the queue only once read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

from actod.config import StoreConfig
from actod.model import Envelope, Receipt, Stream
from actod.store.schema import ARCHIVE
from actod.store.sqlite import SqliteStore
from tests.store.parts import ROBOT, STOP, HandClock, RememberedLog, group, open_store, sealed

DAY = 86_400.0


class SettableClock(HandClock):
    known: bool | None = True

    def synchronised(self) -> bool | None:
        return self.known


def deliver(
    store: SqliteStore, clock: HandClock, number: int, stream: Stream = ROBOT, *, dated: bool = True, ahead_days: int = 0
) -> Envelope:
    store.run(partial(store.commit, group(range(number, number + 10), stream, clock=clock)))
    bundle = store.run(store.next_bundle)
    assert bundle
    store.run(partial(store.put, bundle, sealed(bundle)))
    envelope = store.run(store.next_envelope)
    assert envelope
    server = datetime.fromtimestamp(clock.wall_ns // 1_000_000_000, UTC) + timedelta(days=ahead_days)
    date = format_datetime(server, usegmt=True) if dated else None
    store.run(partial(store.receipt, envelope, Receipt(envelope.proof_id, clock.wall_ns, date)))
    return envelope


def archived(store: SqliteStore) -> int:
    return store.run(store.status).archived_bundles


def test_age_ends_the_archive_only_by_a_time_that_can_be_trusted(tmp_path: Path) -> None:
    clock = SettableClock()
    config = StoreConfig(archive_max_age_days=30)
    store = open_store(tmp_path, clock=clock, log=RememberedLog(), store=config)
    for number in range(3):
        deliver(store, clock, number * 10, (ROBOT, STOP)[number % 2])
    clock.advance(31 * DAY)
    clock.known = False
    deliver(store, clock, 30)
    assert archived(store) == 4, "the kernel does not trust its clock"
    clock.known = True
    deliver(store, clock, 40, dated=False)
    assert archived(store) == 5, "the collector did not say what time it is"
    deliver(store, clock, 50, ahead_days=-400)
    assert archived(store) == 6, "the two do not agree"
    deliver(store, clock, 60)
    assert archived(store) == 4, "the three of a month ago are gone, whatever their class"
    store.close()


def test_what_matters_is_read_back_from_the_disk_before_it_leaves_the_queue_and_written_anew_if_it_is_not_there(
    tmp_path: Path,
) -> None:
    clock = HandClock()
    store = open_store(tmp_path, clock=clock, log=RememberedLog())
    store.run(partial(store.commit, group(range(10), STOP, clock=clock)))
    bundle = store.run(store.next_bundle)
    assert bundle
    store.run(partial(store.put, bundle, sealed(bundle)))
    envelope = store.run(store.next_envelope)
    assert envelope
    store._db.execute("UPDATE chunk SET body = zeroblob(LENGTH(body))")  # the card lost what it had taken
    store.run(partial(store.receipt, envelope, Receipt(envelope.proof_id, clock.wall_ns, None)))
    (row,) = store._outbox.first(ARCHIVE)
    assert store._outbox.envelope(row) == envelope
    store.close()
    store = open_store(tmp_path, clock=clock, log=RememberedLog())
    assert store.repaired is None
    deliver(store, clock, 10, STOP)
    assert archived(store) == 2
    store.close()
    reopened = open_store(tmp_path, clock=clock, log=RememberedLog())
    assert reopened.repaired is None, "the descriptors that read back did not cost SQLite its locks"
