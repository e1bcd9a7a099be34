"""A clock that lies, is set by fifty years and goes back an hour: order, chains and files hold, bundles can be dated."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
from nacl.signing import SigningKey

from actod.audit.log import AuditLog
from actod.audit.verify import verify_log
from actod.config import AuditConfig, StoreConfig
from actod.model import Envelope, Receipt
from actod.proof.chain import verify_set
from actod.proof.envelope import assemble
from actod.proof.verify import Verdict
from actod.service.context import SealContextSource
from actod.service.steps import ClockSteps
from actod.store.checkpoint import merged
from actod.store.sqlite import SqliteStore
from tests.proof.conftest import keys_of
from tests.store.parts import DEVICE, OPENED, SEAL, HandClock, group, numbers

KEY = SigningKey(bytes(range(32)))
YEAR_NS = 365 * 86_400 * 1_000_000_000
HOUR_NS = 3600 * 1_000_000_000


class LyingClock(HandClock):
    """Boots in 1970, like a board without a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_ns, self.known = 5_000_000_000, False

    def synchronised(self) -> bool | None:
        return self.known

    def step(self, by_ns: int) -> None:
        self.wall_ns += by_ns
        self.known = True

    def reboot(self) -> None:
        super().reboot()
        self.wall_ns, self.known = 5_000_000_000, False


class Robot:
    """Store, sealing and audit log on one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.next = folder, LyingClock(), 0
        self.envelopes: list[Envelope] = []
        self.steps: list[dict[str, Any]] = []
        self.watch = ClockSteps(self.clock)
        self.start()

    def start(self) -> None:
        self.audit = AuditLog(self.folder / "audit", clock=self.clock, config=AuditConfig(max_file_bytes=4000))
        self.store = SqliteStore(
            folder=self.folder,
            clock=self.clock,
            seal=SEAL,
            store=StoreConfig(),
            witness=self.audit.witness,
            known=merged(self.audit.lines(back_to="device")),
        )
        OPENED.append(self.store)

    def live(self) -> None:
        """Journal, wait until it is due, seal, deliver."""
        for _ in range(4):
            made = group(range(self.next, self.next + 4), DEVICE, clock=self.clock)
            made.refuse(reason="not_json", traffic_class="bulk", route="notes")
            self.store.run(partial(self.store.commit, made))
            self.next += 4
            self.clock.advance(1)
            self.look()
        self.clock.advance(SEAL.max_age_seconds)
        while bundle := self.store.run(self.store.next_bundle):
            unsigned = assemble(bundle, keys=keys_of(KEY), context=self.context.now()).finish(None)
            envelope = unsigned.sign(KEY.sign(unsigned.payload_hash.encode()).signature)
            self.store.run(partial(self.store.put, bundle, envelope))
        while envelope := self.store.run(self.store.next_envelope):
            self.envelopes.append(envelope)
            self.store.run(partial(self.store.receipt, envelope, Receipt(envelope.proof_id, self.clock.wall_ns, None)))

    def look(self) -> None:
        if step := self.watch.look():
            self.steps.append(step)

    @property
    def context(self) -> SealContextSource:
        uplink = SimpleNamespace(server_date=None, confirmed="")
        return SealContextSource(
            config_digest="b" * 64, hash_alg="sha256", policy="a" * 64, clock=self.clock, audit=self.audit, uplink=uplink
        )

    def stop(self) -> None:
        self.store.close()
        self.audit.close()


def test_order_chains_and_ledger_hold_whatever_the_wall_clock_does(tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    robot.live()
    true_offset_ns = 50 * YEAR_NS
    robot.clock.step(true_offset_ns)  # the network is there: the clock is set
    robot.live()
    robot.clock.step(-HOUR_NS)  # and corrected
    robot.live()
    robot.stop()
    robot.clock.reboot()
    robot.start()
    robot.live()
    bodies = [orjson.loads(envelope.body) for envelope in robot.envelopes]
    report = verify_set(bodies)
    assert report.verdict is Verdict.VALID, report
    assert [body["payload"]["meta"]["actod"]["device_seq"] for body in bodies] == list(range(1, len(bodies) + 1))
    events = b",".join(envelope.body for envelope in robot.envelopes)
    assert numbers(events) == list(range(robot.next)), "in the order of their arrival"
    told = sum(line["count"] for body in bodies for line in body["payload"]["meta"]["actod"]["loss"])
    assert told + sum(loss.count for loss in robot.store._ledger.losses()) == 16
    assert robot.store.run(robot.store.status).archived_bundles == len(bodies), "no age counts under such a clock"
    robot.stop()
    report_of_log = verify_log(tmp_path / "audit")
    assert (report_of_log.problem, report_of_log.files > 1) == ("", True)


def test_a_bundle_that_was_sealed_in_1970_is_dated_by_the_offset_that_was_found_at_synchronisation(tmp_path: Path) -> None:
    robot = Robot(tmp_path)
    began_ns = robot.clock.wall_ns + 50 * YEAR_NS  # when it truly was
    robot.live()
    assert robot.steps == []
    robot.clock.step(50 * YEAR_NS)
    robot.live()
    robot.clock.step(-HOUR_NS)
    robot.live()
    assert [step["stepped_ms"] for step in robot.steps] == [50 * YEAR_NS // 1_000_000, -HOUR_NS // 1_000_000]
    meta = orjson.loads(robot.envelopes[0].body)["payload"]["meta"]["actod"]
    assert meta["clock"]["wall"].startswith("1970-")
    assert meta["clock"]["synchronised"] is False
    assert meta["boot_id"] == robot.steps[0]["boot_id"]
    dated_ms = meta["clock"]["monotonic_ms"] + robot.steps[0]["offset_ms"]
    assert 0 <= dated_ms - began_ns // 1_000_000 < 60_000
    robot.stop()


def test_a_clock_that_becomes_synchronised_without_a_step_is_recorded_and_slewing_adds_up() -> None:
    clock = LyingClock()
    watch = ClockSteps(clock)
    clock.known = True
    gained = watch.look()
    assert gained
    assert (gained["stepped_ms"], gained["synchronised"]) == (0, True)
    seen = []
    for _ in range(25):
        clock.step(100_000_000)
        seen.append(watch.look())
    assert [step["stepped_ms"] for step in seen if step] == [1000, 1000]
