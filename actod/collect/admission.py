"""What of the routed readings goes on to the mask, and what collect must know again after a restart.

Its memory (debts of the limits, the numbers that senders counted last, what is known of retained messages) is written in
the commit of the group that changed it. So it never says more, nor less, than the journal: a message that a kill took is
a gap, and one that is in the journal is none.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from actod.collect.broker_drops import BrokerDrops
from actod.collect.contents import Contents
from actod.collect.limits import Limits
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.collect.thinning import Thinning
from actod.config import Config
from actod.errors import RejectedError
from actod.model import MaskedReading, Reading
from actod.ports import Clock
from actod.proof.envelope import SAMPLED

_MOST_RETAINED = 256  # topics; beyond it the oldest is forgotten: its message would be recorded once more, marked
_DIGEST_BYTES = 8


class IntakeAdmission:
    """Implements the ports Admission and LossCounter."""

    def __init__(
        self,
        *,
        config: Config,
        routes: Routes,
        router: PayloadRouter,
        broker_drops: BrokerDrops,
        contents: Contents,
        clock: Clock,
        digest_key: bytes,
        memory: Mapping[str, Any],
        on_event: Callable[..., None],
    ) -> None:
        self._router, self._broker_drops, self._clock = router, broker_drops, clock
        self._on_event = on_event
        self._contents, self._key = contents, digest_key
        self._thinning = Thinning()
        self._take_routes(routes)
        self._digested: Counter[tuple[str, str, str]] = Counter()
        limits = Limits(intake=config.intake, routes=config.routes, on_event=on_event)
        self._limits = limits if config.intake.limits else None
        self._retained: OrderedDict[str, str] = OrderedDict()
        self._restore(memory)

    def adopt(self, *, config: Config, routes: Routes) -> None:
        """Take other routes, between two groups; the debts of limits that are still there go on."""
        self._take_routes(routes)
        self._thinning = Thinning()  # what was kept under other rules cannot be compared
        now_ns, before = self._clock.now().monotonic_ns, self._limits
        limits = Limits(intake=config.intake, routes=config.routes, on_event=self._on_event)
        self._limits = limits if config.intake.limits else None
        if before and self._limits:
            self._limits.restore(before.saved(now_ns), now_ns, same_boot=True)

    def _take_routes(self, routes: Routes) -> None:
        self._thinned = {route.name: route for route in routes if route.thins}
        self._replaced = {route.name for route in routes if route.digest}

    def admit(self, reading: Reading) -> None:
        """Let one reading in; see the port. A defect of ours is a refusal, too: no message must stop the daemon."""
        try:
            self._admit(reading)
        except RejectedError:
            raise
        except Exception as exc:  # noqa: BLE001 - as in the router
            kind = type(exc).__name__
        else:
            return
        raise RejectedError("admission_failed", kind)  # outside of the handler: what was caught may carry content

    def _admit(self, reading: Reading) -> None:
        known = self._once(reading) if reading.retained else None
        route = self._thinned.get(reading.route)
        kept = self._thinning.look(route, reading) if route else None
        if self._limits:
            self._limits.take(reading)
        if route and kept:
            self._thinning.keep(route, reading, kept)
        if known:
            self._note_retained(*known)

    def finish(self, reading: Reading, masked: MaskedReading) -> MaskedReading:
        """Put a commitment in the place of the masked content where the route says so."""
        if reading.route not in self._replaced:
            return masked
        self._digested[SAMPLED + "digest", str(reading.traffic_class), reading.route] += 1
        return self._contents.replace(masked)

    def take(self) -> Counter[tuple[str, str, str]]:
        """Hand over how many contents were replaced (the LossCounter port): they are records still, and no loss."""
        digested, self._digested = self._digested, Counter()
        return digested

    async def secure(self) -> None:
        """Bring the contents that were replaced to disk. Raises TransientError."""
        if self._contents.waits:
            await asyncio.to_thread(self._contents.secure)

    def memory(self) -> dict[str, Any]:
        """Return what must be known after a restart, as JSON."""
        now_ns = self._clock.now().monotonic_ns
        return {
            "boot": self._clock.boot_id()[:8],
            "limits": self._limits.saved(now_ns) if self._limits else {},
            "header_ids": self._router.header_ids(),
            "broker_dropped": self._broker_drops.last,
            "retained": dict(self._retained),
        }

    def _restore(self, memory: Mapping[str, Any]) -> None:
        if self._limits:
            same_boot = memory.get("boot") == self._clock.boot_id()[:8]
            self._limits.restore(memory.get("limits", {}), self._clock.now().monotonic_ns, same_boot=same_boot)
        self._router.restore_header_ids(memory.get("header_ids", {}))
        self._broker_drops.last = memory.get("broker_dropped")
        self._retained.update(memory.get("retained", {}))

    def _once(self, reading: Reading) -> tuple[str, str]:
        """Return digests of topic and content. Raises RejectedError if the journal has it: brokers bring it again."""
        topic = self._digest(reading.topic.encode("utf-8", "surrogatepass"))
        content = self._digest(orjson.dumps(reading.data, option=orjson.OPT_SORT_KEYS))
        if self._retained.get(topic) == content:
            raise RejectedError(SAMPLED + "retained")
        return topic, content

    def _note_retained(self, topic: str, content: str) -> None:
        self._retained[topic] = content
        self._retained.move_to_end(topic)
        if len(self._retained) > _MOST_RETAINED:
            self._retained.popitem(last=False)

    def _digest(self, data: bytes) -> str:
        return hashlib.blake2b(data, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()
