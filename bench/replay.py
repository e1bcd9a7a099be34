"""The line's own code on a fixed workload, one thread, no waiting: `python -m bench.replay`, for counting.

States come in through a socket as a broker writes them, and go through what the daemon runs: link, router, admission,
masker, store, sealing with a key in memory, receipt. The floor is paho's own loop over the same bytes, and orjson's reading
and writing of the same payloads. Between the stages a mark is called, so that whoever counts can tell them apart.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
from nacl.signing import SigningKey

from actod.audit.log import AuditLog
from actod.collect import link
from actod.collect.admission import IntakeAdmission
from actod.collect.arrivals import Arrivals
from actod.collect.broker_drops import BrokerDrops
from actod.collect.contents import Contents
from actod.collect.intake import Intake
from actod.collect.link import Link, make_client
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.collect.transport import FrameSocket, Publish
from actod.config import AuditConfig, CollectorConfig, Config, MaskingConfig, RouteConfig, SealConfig, TokenConfig
from actod.mask.engine import PolicyMasker
from actod.mask.policy import Policy
from actod.model import Delivery, Group, Instant, PublicKeys, Receipt
from actod.proof import thumbprint
from actod.proof.envelope import SealContext, assemble
from actod.service.clock import SystemClock
from actod.store.sqlite import SqliteStore
from bench.mask import state
from bench.wire import GROUP, Broker, Floor, Mark

STAGES = ("floor", "json", "collect", "mask", "journal", "seal", "settle")
MESSAGES = 200
WARM_UP = 100


class SteadyClock(SystemClock):
    """A clock that goes on by 1 ms at each message: what depends on time is then the same in each run."""

    def __init__(self) -> None:
        super().__init__()
        self._milliseconds = 0

    def tick(self) -> None:
        self._milliseconds += 1

    def now(self) -> Instant:
        ns = self._milliseconds * 1_000_000
        return Instant(1_772_366_400_000_000_000 + ns, 1_000_000_000_000 + ns)


class Line:
    """The daemon's parts, put together without its tasks."""

    def __init__(self, folder: Path) -> None:
        config = _config(folder)
        self._clock = clock = SteadyClock()
        self._audit = AuditLog(folder / "audit", clock=clock, config=AuditConfig())
        self.store = SqliteStore(
            folder=folder / "state",
            seal=SealConfig(),
            store=config.store,
            clock=clock,
            witness=self._audit.witness,
            known=None,
            compress=True,
        )
        routes, drops = Routes.compile(config.routes), BrokerDrops()
        self._router = PayloadRouter(
            routes=routes, device=config.device, intake=config.intake, identities={}, digest_key=bytes(32)
        )
        self._admission = IntakeAdmission(
            config=config,
            routes=routes,
            router=self._router,
            broker_drops=drops,
            contents=Contents(folder / "contents", max_bytes=1, on_event=self._audit.record),
            clock=clock,
            digest_key=bytes(32),
            memory={},
            on_event=self._audit.record,
        )
        self._masker = PolicyMasker(policy=Policy.compile(MaskingConfig()), pseudonym_key=bytes(32))
        self._intake = Intake(config.intake, receive_maximum=config.mqtt.receive_maximum, clock=clock)
        self._arrivals = Arrivals(intake=self._intake, clock=clock, broker_drops=drops, describe=routes.describe)
        self._broker = Broker()
        self._link = Link(
            make_client(config.mqtt),
            has_room=lambda: True,
            on_read=self._intake.arm,
            on_lost=lambda: None,
            on_publish=self._on_publish,
        )
        self._link.open(
            FrameSocket(self._broker.ours, largest_payload_bytes=config.intake.largest_payload_bytes), host="-", port=1
        )
        self._link._read()  # noqa: SLF001 - what the loop would call
        self._key = SigningKey(bytes(32))
        public = bytes(self._key.verify_key)
        self._keys = PublicKeys(public, thumbprint.ed25519(public), None, "software")
        self._groups = self._intake.groups()

    def _on_publish(self, publish: Publish) -> None:
        self._clock.tick()
        self._arrivals.take(
            publish,
            connection=1,
            brought_by=self._link.subscriptions(qos=publish.qos),
            oversize_bytes=self._link.oversize_bytes,
            is_only_ours=lambda _topic: False,
        )

    async def take(self, first: int, mark: Mark) -> None:
        """Bring one group from the socket to the disk, and acknowledge it."""
        self._broker.send(first, GROUP)
        mark("")
        self._link._read()  # noqa: SLF001
        self._intake._due.set()  # noqa: SLF001 - the time is up
        deliveries = list(await anext(self._groups))
        assert len(deliveries) == GROUP, "a packet is missing"
        group, readings = Group(), []
        for delivery in deliveries:
            reading = self._router.route(delivery)
            self._admission.admit(reading)
            readings.append(reading)
        mark("collect")
        for reading in readings:
            group.readings.append(self._masker.mask(reading))
        mark("mask")
        for reading, masked in zip(readings, group.readings, strict=True):
            self._admission.finish(reading, masked)
        group.memory = self._admission.memory()
        mark("collect")
        self.store.run(_call(self.store.commit, group))
        mark("journal")
        self._acknowledge(deliveries)
        mark("collect")
        self._broker.drain()

    def _acknowledge(self, deliveries: list[Delivery]) -> None:
        self._link.acknowledge([delivery.packet_id for delivery in deliveries])
        self._link.write()
        self._intake.release(deliveries, acknowledged=len(deliveries))

    def seal(self, mark: Mark) -> None:
        """Seal all that is journaled, and have it confirmed."""
        self.store.make_due()
        mark("")
        while bundle := self.store.run(self.store.next_bundle):
            unsigned = assemble(bundle, keys=self._keys, context=self._context()).finish(None)
            envelope = unsigned.sign(self._key.sign(unsigned.payload_hash.encode()).signature)
            self.store.run(_call(self.store.put, bundle, envelope))
        mark("seal")
        while envelope := self.store.run(self.store.take):
            self.store.run(_call(self.store.receipt, envelope, Receipt(envelope.proof_id, 1, None)))
        mark("settle")

    def _context(self) -> SealContext:
        return SealContext(
            boot_id=self._clock.boot_id(),
            clock={"wall": "2026-01-01T00:00:00.000000Z", "monotonic_ms": 1, "synchronised": None, "server": None},
            policy="0" * 64,
            config="0" * 64,
            audit=self._audit.head(),
            hash_alg="sha256",
            created_at="2026-01-01T00:00:00.000000Z",
        )

    def close(self) -> None:
        self._link.close()
        self.store.close()
        self._audit.close()


def _call(work: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: work(*arguments)


def _config(folder: Path) -> Config:
    return Config(
        environment="dev",
        state_directory=folder,
        token=TokenConfig(uri="pkcs11:", pin_file=folder / "pin"),
        collector=CollectorConfig(url="https://localhost", pins=[], api_key_file=folder / "key"),
        routes=[RouteConfig(name="vda-v2", topic="uagv/v2/+/+/+", profile="vda5050-v2")],
    )


def read_and_write(first: int, mark: Mark) -> None:
    """Do what nobody can do without: read the payloads, and write them."""
    payloads = [state(number) for number in range(first, first + GROUP)]
    mark("")
    for payload in payloads:
        orjson.dumps(orjson.loads(payload))
    mark("json")


async def replay(folder: Path, *, messages: int, mark: Mark, ready: Callable[[], None] = lambda: None) -> None:
    """Warm up, then `messages` in groups. `mark(stage)` books what ran since the mark before; "" books nothing."""
    link._TURN_SECONDS = 3600.0  # noqa: SLF001 - who counts instructions is slow, and a turn must not end early for it
    line, floor = Line(folder), Floor()
    with closing(line):
        for first in range(0, WARM_UP, GROUP):
            await _round(line, floor, first, lambda _stage: None)
        line.seal(lambda _stage: None)
        gc.collect()
        gc.freeze()
        ready()
        for first in range(WARM_UP, WARM_UP + messages, GROUP):
            await _round(line, floor, first, mark)
        line.seal(mark)


async def _round(line: Line, floor: Floor, first: int, mark: Mark) -> None:
    floor.run(first, mark)
    read_and_write(first, mark)
    await line.take(first, mark)


class Stopwatch:
    """Books CPU time to stages."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._since = time.process_time_ns()

    def mark(self, stage: str) -> None:
        now = time.process_time_ns()
        self.spent[stage] += now - self._since
        self._since = time.process_time_ns()


def counted(folder: Path) -> None:
    """Let callgrind count: one call of getloadavg is a mark, at which it writes down what it has counted."""
    stages: list[str] = []

    def mark(stage: str) -> None:
        os.getloadavg()
        stages.append(stage)

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    asyncio.run(replay(folder, messages=MESSAGES, mark=mark, ready=ready))
    print(*stages, sep=",", flush=True)


def main() -> None:
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(prefix="bench-replay-") as folder:
        if sys.argv[1:] == ["counted"]:
            counted(Path(folder))
            return
        asyncio.run(replay(Path(folder), messages=20_000, mark=watch.mark))
    for stage in STAGES:
        print(f"{stage:<8} {watch.spent[stage] / 20_000 / 1000:7.2f} us a message")


if __name__ == "__main__":
    main()
