"""Routes: which messages to take, and where robot, task, run and time stand in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from actod.collect.subscriptions import matches
from actod.config import RouteConfig
from actod.errors import ConfigError
from actod.model import TrafficClass

NO_ROUTE = "_none"
Selector = Callable[[Sequence[str], Any], Any]
_MOST_CACHED, _LONGEST_CACHED = 4096, 256  # a publisher of endless topics must not fill the memory
_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")  # of a JSON Pointer (RFC 6901), or a topic level
_PROFILES = {"vda5050-v2": "uagv/v2/", "vda5050-v3": "vda5050/v3/"}


@dataclass(frozen=True, slots=True)
class Route:
    """One compiled route. A selector takes (topic levels, payload) and returns a JSON value or None."""

    name: str
    levels: tuple[str, ...]
    topic: str
    qos: int
    profile: str
    mask_profile: str
    traffic_class: TrafficClass
    robot_id: Selector
    task_id: Selector
    run_id: Selector
    timestamp: Selector
    interval_ns: int = 0
    on_change: tuple[Selector, ...] = ()
    deadband: tuple[tuple[Selector, float], ...] = ()
    digest: bool = False

    @property
    def thins(self) -> bool:
        """Whether messages are left out."""
        return bool(self.interval_ns or self.on_change or self.deadband)


class Routes:
    """All routes, in the order of the configuration: the first that matches takes the message."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = tuple(routes)
        self._cache: dict[str, Route | None] = {}

    @classmethod
    def compile(cls, configs: Sequence[RouteConfig]) -> Routes:
        """Check and compile. Raises ConfigError."""
        return cls([_compile(config) for config in configs])

    def find(self, topic: str) -> Route | None:
        """Return the route of a topic, None if no filter matches."""
        try:
            return self._cache[topic]
        except KeyError:
            pass
        levels = topic.split("/")
        found = next((route for route in self._routes if matches(route.levels, levels)), None)
        if len(topic) <= _LONGEST_CACHED:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[topic] = found
        return found

    def __iter__(self) -> Iterator[Route]:
        """Yield them in the order of the configuration."""
        return iter(self._routes)

    def describe(self, topic: str) -> tuple[str, str]:
        """Name (route, traffic class) of what came under a topic, for the ledger; ("_none", "normal") if none."""
        route = self.find(topic)
        return (route.name, str(route.traffic_class)) if route else (NO_ROUTE, str(TrafficClass.NORMAL))

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return (filter, QoS) pairs, each filter once with its highest QoS."""
        result: dict[str, int] = {}
        for route in self._routes:
            result[route.topic] = max(route.qos, result.get(route.topic, 0))
        return list(result.items())


def _compile(config: RouteConfig) -> Route:
    levels = _filter(config)
    if config.profile and not config.topic.startswith(_PROFILES[config.profile]):
        prefix = _PROFILES[config.profile]
        raise _refused(config, "topic", f"a filter that begins with {prefix} for {config.profile}", f"write {prefix}+/+/+")
    return Route(
        name=config.name,
        levels=levels,
        topic=config.topic,
        qos=config.qos,
        profile=config.profile,
        mask_profile=config.mask or ("strict" if config.profile else "balanced"),
        traffic_class=TrafficClass(config.traffic_class),
        robot_id=_selector(config, "robot_id", config.robot_id),
        task_id=_selector(config, "task_id", config.task_id or "=idle"),
        run_id=_selector(config, "run_id", config.run_id),
        timestamp=_selector(config, "timestamp", config.timestamp),
        interval_ns=round(1e9 / config.max_hz) if config.max_hz else 0,
        on_change=tuple(_pointer(config, "on_change", text) for text in config.on_change),
        deadband=tuple((_pointer(config, "deadband", text), band) for text, band in config.deadband.items()),
        digest=config.digest,
    )


def _pointer(config: RouteConfig, key: str, text: str) -> Selector:
    """Compile a JSON Pointer; the empty one is the whole content."""
    if not text:
        return lambda _levels, payload: payload
    if not text.startswith("/"):
        raise _refused(config, key, "a JSON Pointer (/battery/charge)", f"correct {key} of route {config.name}")
    return _selector(config, key, text)


def _filter(config: RouteConfig) -> tuple[str, ...]:
    topic = config.topic
    if topic.startswith("$share/"):
        raise _refused(
            config,
            "topic",
            "no shared subscription",
            "split robots by topic filter, one actod each: a member with a kept session that dies keeps its share",
        )
    levels = tuple(topic.split("/"))
    if not topic or "\0" in topic or len(topic.encode()) > 65535:  # noqa: PLR2004 - MQTT's limit
        raise _refused(config, "topic", "an MQTT topic filter", "write a filter such as robot/+/state")
    for index, level in enumerate(levels):
        if ("#" in level and (level != "#" or index != len(levels) - 1)) or ("+" in level and level != "+"):
            raise _refused(config, "topic", "'+' alone in a level and '#' alone in the last", "correct the wildcards")
    return levels


def _selector(config: RouteConfig, key: str, text: str) -> Selector:
    if not text:
        return lambda _levels, _payload: None
    if text.startswith("="):
        return lambda _levels, _payload: text[1:]
    if text.startswith("topic:") and _INDEX.match(text[6:]) and int(text[6:]) > 0:
        index = int(text[6:]) - 1
        return lambda levels, _payload: levels[index] if index < len(levels) else None
    if text.startswith("/"):
        parts = [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]
        return lambda _levels, payload: _point(payload, parts)
    raise _refused(
        config,
        key,
        "a JSON Pointer (/order/id), a topic level (topic:3) or a fixed word (=word)",
        f"correct {key} of route {config.name}",
    )


def _point(value: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and _INDEX.match(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _refused(config: RouteConfig, key: str, expected: str, fix: str) -> ConfigError:
    return ConfigError(key=f"routes.{key}", expected=expected, found=f"route {config.name!r}", fix=fix)
