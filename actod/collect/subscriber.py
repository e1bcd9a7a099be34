"""Subscribes on each connection, and holds what the broker grants against what was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from actod.collect.link import Client
from actod.collect.subscriptions import Pair, Subscriptions, options

_FAILED = 0x80

_log = structlog.get_logger(__name__)


class Subscriber:
    """Asks for all filters of the routes. `refused` says whether the broker refused one that a route needs."""

    def __init__(self, client: Client, subscriptions: Subscriptions, *, on_event: Callable[..., None]) -> None:
        self._client, self._subscriptions, self._on_event = client, subscriptions, on_event
        self._left: set[str] = set()  # filters that no route asks for any more
        self._names_subscriptions = False
        self._asked: dict[int | None, Sequence[Pair]] = {}
        self.refused = False

    def subscribe(self, *, session_kept: bool, names_subscriptions: bool) -> None:
        """Send what is to be sent on a new connection. `names_subscriptions` says whether the broker does."""
        self._asked.clear()
        self.refused = False
        unwanted = [*self._subscriptions.covered, *self._left]  # older routes': they bring messages twice, or for nobody
        if unwanted and session_kept:
            self._client.unsubscribe(unwanted)
        self._left.clear()
        self._names_subscriptions = names_subscriptions
        if self._subscriptions.cross and not names_subscriptions:
            _log.warning("The broker names no subscriptions: what two crossing filters match may be recorded twice.")
        for pairs, identifier in self._subscriptions.packets():
            properties = None
            if identifier and names_subscriptions:
                properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
                properties.SubscriptionIdentifier = identifier
            _result, mid = self._client.subscribe(options(pairs), properties=properties)
            self._asked[mid] = pairs

    def adopt(self, subscriptions: Subscriptions, *, connected: bool) -> None:
        """Take other filters: asked for now, or with the next connection. Messages that come meanwhile are not lost."""
        before, self._subscriptions = self._subscriptions, subscriptions
        self._left = (self._left | {topic for topic, _ in before.pairs}) - {topic for topic, _ in subscriptions.pairs}
        if connected and subscriptions.pairs != before.pairs:
            self.subscribe(session_kept=True, names_subscriptions=self._names_subscriptions)

    def answered(self, mid: int, reasons: Sequence[ReasonCode]) -> None:
        """Take a SUBACK."""
        pairs = self._asked.pop(mid, ())
        if not self._asked:
            self._on_event("broker.subscribed", filters=len(self._subscriptions.pairs))
        for (topic, qos), reason in zip(pairs, reasons, strict=False):
            self._check(topic, qos, reason)

    def _check(self, topic: str, qos: int, reason: Any) -> None:
        if reason.value >= _FAILED and self._subscriptions.is_only_ours(topic):
            _log.warning("The broker does not let us see what it drops.", reason=str(reason))
        elif reason.value >= _FAILED:
            self.refused = True
            self._on_event("broker.subscription_refused", code=reason.value)
            _log.error("The broker refused a subscription.", topic=topic, reason=str(reason))
        elif reason.value < min(qos, 1):
            self._on_event("broker.qos_lowered")
            _log.warning("The broker grants QoS 0 only: what it loses on the way is not sent again.", topic=topic)
