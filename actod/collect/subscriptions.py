"""Topic filters: what they match, and which of them to subscribe to.

A broker may send a message once for each subscription that it matches (mosquitto does). So a filter that another one
covers is not subscribed to: the wider one brings its messages. Filters that only cross (`a/+` and `+/b`) are subscribed
to each under an identifier, by which their copies are told (`overlap.py`), and at the highest QoS among them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from paho.mqtt.subscribeoptions import SubscribeOptions

from actod.collect.broker_drops import TOPIC as BROKER_DROPS_TOPIC

_LARGEST_IDENTIFIER = 268_435_455  # MQTT 5, 3.8.2.1.2

Pair = tuple[str, int]


class Subscriptions:
    """What to subscribe to for the routes' (filter, QoS) pairs, and for the count of what the broker drops."""

    def __init__(self, routes: Sequence[Pair]) -> None:
        pairs, self.covered = without_covered([*routes, (BROKER_DROPS_TOPIC, 0)])
        groups = [
            (topic, [qos for other, qos in pairs if crosses(topic.split("/"), other.split("/"))]) for topic, _ in pairs
        ]
        self.pairs = [(topic, max(qos)) for topic, qos in groups]
        self._crossing = [topic for topic, qos in groups if len(qos) > 1]
        drops = BROKER_DROPS_TOPIC.split("/")
        self._drops_are_routed = any(matches(topic.split("/"), drops) for topic, _ in routes)

    @property
    def cross(self) -> bool:
        """Whether some topics are matched by more than one filter."""
        return bool(self._crossing)

    def is_only_ours(self, topic: str) -> bool:
        """Whether no route asked for a topic."""
        return topic == BROKER_DROPS_TOPIC and not self._drops_are_routed

    def packets(self) -> list[tuple[list[Pair], int]]:
        """Return what each SUBSCRIBE holds: pairs, and the identifier of the one that crosses others; 0 is none."""
        plain = [pair for pair in self.pairs if pair[0] not in self._crossing]
        crossing = [([pair], identifier(pair[0])) for pair in self.pairs if pair[0] in self._crossing]
        return [(plain, 0), *crossing] if plain else crossing


def options(pairs: Sequence[Pair]) -> list[tuple[str, SubscribeOptions]]:
    """Say what each subscription is to bring: at most QoS 1, see decision 1.

    Retained messages come with a new subscription only, since a kept session must not bring them again; but what
    the broker dropped while we were away is told at each return.
    """
    return [
        (topic, SubscribeOptions(qos=min(qos, 1), retainHandling=0 if topic == BROKER_DROPS_TOPIC else 1))
        for topic, qos in pairs
    ]


def identifier(topic: str) -> int:
    """Name a filter by a number that stays its own: what waits in a kept session bears the one of its time."""
    digest = hashlib.sha256(topic.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4]) % _LARGEST_IDENTIFIER + 1


def crosses(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether some topic is matched by both filters."""
    if one[0].startswith("$") != other[0].startswith("$") and {one[0], other[0]} & {"+", "#"}:
        return False
    for left, right in zip(one, other, strict=False):
        if "#" in {left, right}:
            return True
        if left != right and "+" not in {left, right}:
            return False
    longer = max(one, other, key=len)
    return len(one) == len(other) or longer[min(len(one), len(other))] == "#"


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
