"""A fleet back from an outage, against one server bucket: `python -m hil.fleet --robots 1000 --bundles 10`.

Discrete events: the daemon's own submit loop, backoff, pace and verdicts, on an event loop whose clock jumps from one event
to the next. The server is that of the protocol: 5 requests a second with a burst of 20 over all robots, beyond it 500.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import random
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from actod import pipeline
from actod.config import CollectorConfig
from actod.errors import TransientError
from actod.model import Envelope, Instant, Receipt, TrafficClass
from actod.submit.uplink import PacedUplink

WINDOW_SECONDS = 60
_LATENCY_SECONDS = 0.1


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: when nothing is ready its clock is set to the next event."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            self.now = max(self.now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    """The Clock port over the loop's time."""

    def __init__(self, loop: JumpingLoop) -> None:
        self._loop = loop

    def now(self) -> Instant:
        ns = int(self._loop.now * 1e9)
        return Instant(1_790_000_000_000_000_000 + ns, ns)

    def boot_id(self) -> str:
        return "6b7f3c1e-0000-4000-8000-000000000002"

    def synchronised(self) -> bool | None:
        return True


@dataclass
class Server:
    """One bucket for all. Unreachable until `back_at`; `arrivals` are the times of requests since then."""

    loop: JumpingLoop
    back_at: float
    per_second: float = 5.0
    burst: float = 20.0
    tokens: float = 20.0
    at: float = 0.0
    arrivals: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)

    async def submit(self, envelope: Envelope) -> Receipt:
        await asyncio.sleep(_LATENCY_SECONDS / 2)
        now = self.loop.now
        if now < self.back_at:
            raise TransientError("unreachable")
        self.arrivals.append(now)
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_second)
        self.at = now
        granted = self.tokens >= 1
        self.tokens -= granted
        await asyncio.sleep(_LATENCY_SECONDS / 2)
        if not granted:
            raise TransientError("server_error")
        self.accepted.append(now)
        return Receipt(proof_id=envelope.proof_id, received_wall_ns=0, server_date=None)


class Outbox:
    """As much of the Spool port as the submit loop needs: oldest first, deferred ones last."""

    def __init__(self, robot: int, bundles: int, settled: Callable[[], None]) -> None:
        self.waiting = deque(_envelope(robot, number) for number in range(bundles))
        self.aside, self._settled = 0, settled
        self._changed = asyncio.Event()

    async def take(self, _held: Callable[[], Any]) -> Envelope:
        while not self.waiting:
            self._changed.clear()
            await self._changed.wait()
        return self.waiting.popleft()

    async def give_back(self, envelope: Envelope) -> None:
        self.waiting.appendleft(envelope)
        self._changed.set()

    async def defer(self, envelope: Envelope) -> None:
        self.waiting.append(envelope)
        self._changed.set()

    async def receipt(self, _envelope: Envelope, _receipt: Receipt) -> None:
        self._settled()

    async def set_aside(self, _envelope: Envelope, _reason: str) -> None:
        self._settled()
        self.aside += 1


class NoAudit:
    """The AuditLog port; nobody reads it."""

    def record(self, _event: str, **_fields: Any) -> None:
        return

    def witness(self, _event: str, _fields: Any) -> None:
        return

    def carried(self, head: str, *, proof_id: str, date: str | None) -> None:
        """Nobody asks."""

    def require_room(self, *, sealing: bool = False) -> None:
        """There is always room."""

    def head(self) -> str:
        return "0" * 64


def _envelope(robot: int, number: int) -> Envelope:
    payload_hash = hashlib.sha256(b"%d/%d" % (robot, number)).hexdigest()
    proof_id = hashlib.sha256(payload_hash.encode()).hexdigest()[:32]
    return Envelope(proof_id, payload_hash, b"{}", TrafficClass.NORMAL)


@dataclass(frozen=True)
class Return:
    """What a run showed. `curve` counts arrivals by window since the server is back; times are in seconds since then."""

    curve: list[int]
    served: list[int]
    requests: int
    needed: int
    aside: int
    seconds: float

    @property
    def peak(self) -> int:
        """The busiest window after the first."""
        return max(self.curve[1:])

    @property
    def mean(self) -> float:
        """Arrivals in a window, on average over all after the first."""
        return sum(self.curve[1:]) / len(self.curve[1:])


def simulate(*, robots: int, bundles: int, outage_seconds: float, seed: int) -> Return:
    """Run until every robot has delivered everything."""
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(_run(loop, robots, bundles, outage_seconds, random.Random(seed)))
    finally:
        loop.close()


async def _run(loop: JumpingLoop, robots: int, bundles: int, outage_seconds: float, chance: random.Random) -> Return:
    server = Server(loop, back_at=outage_seconds)
    done, left = asyncio.Event(), [robots * bundles]

    def settled() -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    outboxes = [Outbox(robot, bundles, settled) for robot in range(robots)]
    tasks = [loop.create_task(_robot(server, outbox, loop, chance.uniform(0, 60), chance)) for outbox in outboxes]
    await done.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    end = server.accepted[-1] - outage_seconds
    curve, served = (
        Counter(int((at - outage_seconds) // WINDOW_SECONDS) for at in times) for times in (server.arrivals, server.accepted)
    )
    windows = range(int(end // WINDOW_SECONDS) + 1)
    return Return(
        curve=[curve[window] for window in windows],
        served=[served[window] for window in windows],
        requests=len(server.arrivals),
        needed=robots * bundles,
        aside=sum(outbox.aside for outbox in outboxes),
        seconds=end,
    )


async def _robot(server: Server, outbox: Any, loop: JumpingLoop, starts_at: float, chance: random.Random) -> None:
    await asyncio.sleep(starts_at)
    nowhere: Any = None
    collector = CollectorConfig(url="https://collector.example", pins=[], api_key_file=nowhere)
    audit = NoAudit()
    uplink = PacedUplink(client=server, collector=collector, clock=LoopClock(loop), audit=audit, uniform=chance.uniform)
    await pipeline.submit(spool=outbox, uplink=uplink, audit=audit, parallel=collector.max_parallel_requests)


def report(result: Return) -> str:
    """Draw the arrival curve, and say how it went."""
    lines = [f"arrivals a minute since the server is back ({result.mean:.0f} on average after the first)"]
    step = max(1, len(result.curve) // 40)
    for minute in range(0, len(result.curve), step):
        count = sum(result.curve[minute : minute + step]) / len(result.curve[minute : minute + step])
        served = sum(result.served[minute : minute + step]) / len(result.served[minute : minute + step])
        lines.append(f"{minute:5} {count:7.0f} {'#' * int(served / 8)}{'.' * int(max(0, count - served) / 8)}")
    lines.append(f"peak {result.peak} after the first minute, {result.peak / result.mean:.2f} times the mean")
    lines.append(
        f"{result.needed} bundles in {result.seconds:.0f} s (the bucket alone: {(result.needed - 20) / 5:.0f} s), "
        f"{result.requests / result.needed:.2f} requests for each, {result.aside} set aside"
    )
    return "\n".join(lines)


def main() -> int:
    """Run one return, and print it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robots", type=int, default=1000)
    parser.add_argument("--bundles", type=int, default=10)
    parser.add_argument("--outage-seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = simulate(
        robots=options.robots, bundles=options.bundles, outage_seconds=options.outage_seconds, seed=options.seed
    )
    print(report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
