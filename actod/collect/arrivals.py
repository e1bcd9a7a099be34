"""What the link hands over becomes a delivery; QoS 0 beyond the bound is counted, and so is what the broker dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from actod.collect.broker_drops import TOPIC as BROKER_DROPS_TOPIC
from actod.collect.broker_drops import BrokerDrops
from actod.collect.intake import Intake
from actod.collect.limits import URGENT
from actod.collect.overlap import Copies
from actod.collect.transport import Publish
from actod.model import Delivery
from actod.ports import Clock


class Arrivals:
    """Fills the intake. `lost` counts what was lost here, by (reason, traffic class, route)."""

    def __init__(
        self, *, intake: Intake, clock: Clock, broker_drops: BrokerDrops, describe: Callable[[str], tuple[str, str]]
    ) -> None:
        self._intake, self._clock, self._broker_drops = intake, clock, broker_drops
        self.describe = describe
        self.copies = Copies()
        self.lost: Counter[tuple[str, str, str]] = Counter()

    def take(
        self,
        publish: Publish,
        *,
        connection: int,
        brought_by: Sequence[int],
        oversize_bytes: Callable[[bytes], int],
        is_only_ours: Callable[[str], bool],
    ) -> None:
        """Take one message in. `brought_by` are the identifiers of its subscriptions."""
        received = self._clock.now()
        topic, payload, qos = publish.topic, publish.payload, publish.qos
        if topic == BROKER_DROPS_TOPIC:
            self._broker_drops.see(payload.decode("ascii", "replace"))
            if is_only_ours(topic):
                return
        if not qos and not self._intake.has_room_for_qos0():
            route, traffic_class = self.describe(topic)
            if traffic_class not in URGENT or self._intake.full():
                self.lost["qos0_overflow", traffic_class, route] += 1
                return
        oversize = oversize_bytes(payload)
        self._intake.add(
            Delivery(
                topic=topic,
                payload=b"" if oversize else payload,
                qos=qos,
                packet_id=publish.packet_id,
                connection=connection,
                duplicate=publish.duplicate,
                retained=publish.retained,
                received=received,
                oversize_bytes=oversize,
                copy=bool(brought_by) and self.copies.is_copy(topic, payload, brought_by, received.monotonic_ns),
            )
        )
