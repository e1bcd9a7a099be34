"""Topic filters: what they match, and which of them to subscribe to.

A broker may send a message once for each subscription that it matches (mosquitto does). So a filter that another one
covers is not subscribed to: the wider one brings its messages. Filters that only cross (`a/+` and `+/b`) stay as they are,
and bring the messages that both match twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from paho.mqtt.subscribeoptions import SubscribeOptions

from actod.collect.broker_drops import TOPIC as BROKER_DROPS_TOPIC


class Subscriptions:
    """What to subscribe to for the routes' (filter, QoS) pairs, and for the count of what the broker drops."""

    def __init__(self, routes: Sequence[tuple[str, int]]) -> None:
        self.pairs, self.covered = without_covered([*routes, (BROKER_DROPS_TOPIC, 0)])
        drops = BROKER_DROPS_TOPIC.split("/")
        self._drops_are_routed = any(matches(topic.split("/"), drops) for topic, _ in routes)

    def is_only_ours(self, topic: str) -> bool:
        """Whether no route asked for a topic."""
        return topic == BROKER_DROPS_TOPIC and not self._drops_are_routed

    def options(self) -> list[tuple[str, SubscribeOptions]]:
        """Say what each subscription is to bring: at most QoS 1, see decision 1.

        Retained messages come with a new subscription only, since a kept session must not bring them again; but what
        the broker dropped while we were away is told at each return.
        """
        return [
            (topic, SubscribeOptions(qos=min(qos, 1), retainHandling=0 if topic == BROKER_DROPS_TOPIC else 1))
            for topic, qos in self.pairs
        ]


def matches(pattern: Sequence[str], levels: Sequence[str]) -> bool:
    """Whether an MQTT filter matches a topic; `$` topics are not matched by a leading wildcard [MQTT-4.7.2-1]."""
    if levels[0].startswith("$") and pattern[0] in {"+", "#"}:
        return False
    for index, part in enumerate(pattern):
        if part == "#":
            return True
        if index >= len(levels) or (part != "+" and part != levels[index]):
            return False
    return len(pattern) == len(levels)


def covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether every topic that `narrow` matches is one that `wide` matches."""
    if narrow[0].startswith("$") and wide[0] in {"+", "#"}:
        return False
    for index, part in enumerate(wide):
        if part == "#":
            return True
        if index >= len(narrow) or (part != narrow[index] and (part != "+" or narrow[index] == "#")):
            return False
    return len(wide) == len(narrow)


def without_covered(filters: Sequence[tuple[str, int]]) -> tuple[list[tuple[str, int]], list[str]]:
    """Return (filter, QoS) pairs to subscribe to, and the filters that they cover. A QoS is the highest that it covers."""
    levels = {topic: topic.split("/") for topic, _ in filters}
    kept = [topic for topic in levels if not any(covers(levels[other], levels[topic]) for other in levels if other != topic)]
    pairs = [(topic, max(qos for other, qos in filters if covers(levels[topic], levels[other]))) for topic in kept]
    return pairs, [topic for topic in levels if topic not in kept]
