"""Opens what a power cut left, with the code that the daemon opens it with, and holds it to what had been promised."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from actod.audit.files import holds
from actod.audit.verify import verify_log
from actod.errors import TransientError
from actod.store.ledger import robot_key
from actod.store.outbox import Sealed
from actod.store.schema import ARCHIVE, OUTBOX, QUARANTINE
from actod.store.sqlite import SqliteStore
from tests.power.daemon import REFUSED, Daemon, event_of, group_of, open_daemon, stream_of
from tests.power.facts import Facts, Inside, numbers_in
from tests.store.parts import HandClock, sealed

START_SECONDS = 2.0  # of processor time: a busy machine is not a slow start
AFTERWARDS, MORE = 9_000_000, 5  # numbers of what is committed after the cut
PLACES = {OUTBOX: "outbox", ARCHIVE: "archive", QUARANTINE: "quarantine"}


@dataclass(slots=True)
class Held:
    """All that a store holds. Sealed bundles by proof id, with what their envelope says."""

    bundles: dict[str, tuple[Sealed, Inside]] = field(default_factory=dict)
    unreadable: Counter[str] = field(default_factory=Counter)  # messages, by place
    journal: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    epoch: int = 0
    device: str = ""


async def judge(state: Path, facts: Facts, *, life: int = 90) -> list[str]:
    """Return what is wrong with a state: nothing, if all that `facts` know was kept."""
    wrong: list[str] = []
    try:
        held = await _first_start(state, facts, wrong, life=life)
        wrong += [*_kept(held, facts), *_chained(held, facts), *_counted(held, facts), *_log(state, facts)]
        wrong += await _again(state, held, life=life + 1)
    except Exception as exc:  # noqa: BLE001 - whatever it is, the daemon did not start or not work
        wrong.append(f"it fails: {type(exc).__name__}: {exc}")
    return wrong


async def _first_start(state: Path, facts: Facts, wrong: list[str], *, life: int) -> Held:
    started = time.process_time()
    daemon = await open_daemon(state, life=life)
    try:
        if time.process_time() - started > START_SECONDS:
            wrong.append("the start took too long")
        wrong += _witnessed(daemon, facts) + _opened(daemon, facts)
        return await daemon.spool._worker.call(_go_on, daemon.spool._store, daemon.clock)
    finally:
        await daemon.close()


def _go_on(store: SqliteStore, clock: HandClock) -> Held:
    """Work on after the cut, on the store's thread: commit, and seal everything. Return what there is then."""
    store.run(partial(store.commit, group_of(AFTERWARDS, MORE, 0, clock)))
    while store.run(store.status).journal_messages:
        store.run(store.make_due)  # a repair forgets it
        if bundle := store.run(store.next_bundle):
            with contextlib.suppress(TransientError):  # the store was repaired since it was cut: it is cut anew
                store.run(partial(store.put, bundle, sealed(bundle)))
    for _ in range(store.status().outbox_bundles):  # each has its turn, so that what is damaged is met and counted
        if envelope := store.run(store.next_envelope):
            store.run(partial(store.defer, envelope))
    return store.run(partial(_look, store))


def _look(store: SqliteStore) -> Held:
    """Read every bundle in every place, as one who looks into the file."""
    status = store.status()
    held = Held(journal=status.journal_messages, epoch=status.epoch, device=status.device)
    held.losses.update(status.losses_pending)
    for place, word in PLACES.items():
        for row in store._outbox.first(place, limit=1_000_000):
            envelope = store._outbox.envelope(row)
            if envelope is None or row.proof_id in held.bundles:
                held.unreadable[word] += row.count
            else:
                held.bundles[row.proof_id] = row, Inside.read(envelope.body)
    return held


def _witnessed(daemon: Daemon, facts: Facts) -> list[str]:
    """D2: the audit log tells of all that was acknowledged and of all that left; what it tells of, the file has."""
    wrong = []
    last, device_seq = daemon.known.get("last", 0), daemon.known.get("device_seq")
    if last < len(facts.acknowledged):
        wrong.append(f"the audit log knows of {last} messages, {len(facts.acknowledged)} were acknowledged")
    newest = max((inside.device_seq for _hash, inside in facts.left.values()), default=0)
    if isinstance(device_seq, int) and device_seq < newest:
        wrong.append(f"the audit log knows of bundle {device_seq}, {newest} had left")
    told, mark = daemon.spool.heard
    if told and not holds(daemon.audit.folder, n=told, mark=mark):
        wrong.append(f"the store was told of line {told} of the audit log, which does not hold it")
    if daemon.spool.repaired is not None and not facts.damaged:
        wrong.append(f"it repaired what was not damaged: {daemon.spool.repaired}")
    return wrong


def _opened(daemon: Daemon, facts: Facts) -> list[str]:
    wrong = []
    if facts.device and (daemon.spool.device != facts.device or daemon.spool.epoch != 1):
        wrong.append("another device or epoch came out of it")
    if facts.device and daemon.spool.genesis:
        wrong.append("genesis came twice")
    if not facts.identities.items() <= dict(daemon.spool.identities).items():
        wrong.append("an identity was forgotten")
    return wrong


def _kept(held: Held, facts: Facts) -> list[str]:
    """Nothing acknowledged is missing, nothing is there twice, nothing is there that was not offered, to the byte."""
    wrong = []
    if held.unreadable if not facts.damaged else held.unreadable["outbox"]:
        wrong.append(f"bundles cannot be read or stand in two places: {held.unreadable}")
    found: Counter[int] = Counter()
    for row, inside in held.bundles.values():
        numbers = numbers_in(inside.events)
        found.update(numbers)
        streams = {(robot_key(stream.robot_id), stream.traffic_class) for stream in map(stream_of, numbers)}
        if inside.events != b",".join(map(event_of, numbers)) or streams != {(row.robot, row.traffic_class)}:
            wrong.append(f"bundle {row.device_seq} holds what nobody sent")
    delivered = {
        number
        for proof, place in facts.settling.items()
        if place == "archive" and proof not in held.bundles
        for number in numbers_in(facts.left[proof][1].events)
    }
    missing = facts.acknowledged - set(found) - delivered
    invented = set(found) - facts.offered - set(range(AFTERWARDS, AFTERWARDS + MORE))
    twice = [number for number, count in found.items() if count > 1]
    if facts.damaged and len(missing) <= _told(held, facts)["damaged"] + held.unreadable["quarantine"]:
        missing = set()  # none of them in silence; what is withheld is in the ledger as such
    for word, some in (("acknowledged and missing", missing), ("invented", invented), ("there twice", twice)):
        if some:
            wrong.append(f"{len(some)} messages are {word}, the first is {min(some)}")
    return wrong


def _chained(held: Held, facts: Facts) -> list[str]:
    """I3: what left is there as it left, or was confirmed; no number names two contents; each chain is whole."""
    wrong = []
    for proof, (payload_hash, inside) in facts.left.items():
        row, _inside = held.bundles.get(proof, (None, None))
        allowed = {facts.settled[proof]} if proof in facts.settled else {"outbox", facts.settling.get(proof, "outbox")}
        if row is None and facts.settling.get(proof) not in ("archive", "split") and not facts.damaged:
            wrong.append(f"bundle {inside.device_seq} left and is gone")
        if facts.damaged:
            allowed.add("outbox")  # an older file has it still: it is sent again, to the same proof id
        if row is not None and (row.payload_hash != payload_hash or PLACES[row.place] not in allowed):
            wrong.append(f"bundle {inside.device_seq} left and is another, or not where it was: {PLACES[row.place]}")
    names: dict[tuple[str, int], set[str]] = {}
    for row, inside in held.bundles.values():
        names.setdefault(("", inside.device_seq), set()).add(row.payload_hash)
        names.setdefault((row.robot, inside.seq), set()).add(row.payload_hash)
        if (row.seq, row.device_seq) != (inside.seq, inside.device_seq):
            wrong.append(f"bundle {row.device_seq} says that it is {inside.device_seq}")
    for payload_hash, inside in facts.left.values():
        numbers = numbers_in(inside.events)
        names.setdefault(("", inside.device_seq), set()).add(payload_hash)
        names.setdefault((robot_key(stream_of(numbers[0]).robot_id), inside.seq), set()).add(payload_hash)
    for (chain, number), hashes in names.items():
        if len(hashes) > 1:
            wrong.append(f"number {number} of chain {chain or 'device_seq'} names {len(hashes)} contents")
    for row, inside in held.bundles.values():
        before = names.get((row.robot, inside.seq - 1))
        if inside.previous is not None and before is not None and inside.previous not in before:
            wrong.append(f"bundle {inside.seq} of chain {row.robot} does not follow the one before")
    return wrong


def _counted(held: Held, facts: Facts) -> list[str]:
    """I4: each refusal that was acknowledged is in the ledger, in a bundle, or has left in one; none is invented."""
    count = _told(held, facts)[REFUSED]
    if facts.damaged:  # a damaged ledger may know how many they were and not of what kind, an older one tells them twice
        return []
    if not facts.refused <= count <= facts.refused_offered:
        return [f"{count} refusals are counted, {facts.refused} were acknowledged of {facts.refused_offered}"]
    return []


def _told(held: Held, facts: Facts) -> Counter[str]:
    """Sum up every loss that waits in the ledger, stands in a bundle or has left in one."""
    inside = sum((bundle.losses for _row, bundle in held.bundles.values()), Counter())
    return held.losses + inside + facts.told(set(held.bundles))


def _log(state: Path, facts: Facts) -> list[str]:
    report = verify_log(state / "audit", expected_heads=facts.heads)
    return [f"the audit log does not verify: {report.problem} ({report.file}:{report.line})"] if report.problem else []


async def _again(state: Path, held: Held, *, life: int) -> list[str]:
    """Start once more: it finds what the first start left."""
    daemon = await open_daemon(state, life=life)
    store = daemon.spool._store
    try:
        again = await daemon.spool._worker.call(store.run, partial(_look, store))
        repaired = daemon.spool.repaired
    finally:
        await daemon.close()
    return [] if repaired is None and again == held else ["a second start finds another state"]
