"""Profile `strict`: what a schema names and types goes through, everything else is left out.

A number must be a number, a word one of the standard's, a time a time. Free text and unknown members are dropped. An
identifier is kept where each part of it is a word of the trade or a short number (`node-12`, `order_2026_0017`); any other
becomes a keyed pseudonym, which stays the same for an epoch: an order can still be followed, and a badge that somebody wrote
into its id cannot be read. Rules of the policy come first: a path can be kept or dropped, and the types `free_text`,
`unknown_field` and `identifier` take an operator of their own (`mask` sends the text through the detectors).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actod.mask.finding import MARKER, UNREADABLE, Finding
from actod.mask.identifiers import is_cut_up, is_plain
from actod.mask.operators import DROPPED
from actod.mask.schema import LARGEST_NUMBER, Named, Range, Schema, Shaped
from actod.mask.vda5050 import ANY, COUNT, FLAG, ID, MESSAGES, NUMBER, OWN, TEXT, TIME, UNIT, VERSION, Words
from actod.mask.verdicts import Decision
from actod.mask.walk import Walk

_LARGEST_COUNT = 2**32 - 1
_MOST_CLEAN = 4096
_TIME = re.compile(r"[12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?\Z", re.ASCII)
_VERSION = re.compile(r"\d{1,2}\.\d{1,3}(?:\.\d{1,3})?(?:[-+][a-z]{1,8}\.?\d{0,3})?\Z", re.ASCII)
_TELLING = (("key", "value"), ("referenceKey", "referenceValue"), ("translationKey", "translationValue"))


@dataclass(slots=True, eq=False)
class Field:
    """What one member may be. `clean` are texts that may stay as they are: the standard's words, or ids seen before."""

    kind: str = ""
    low: float = math.inf
    high: float = -math.inf
    flag: bool = False
    clean: Any = frozenset()
    whole: bool = False
    pattern: Any = None
    members: Members | None = None
    items: Field | None = None


@dataclass(slots=True, eq=False)
class Members:
    """What an object may hold. `other` is for members that the table does not name."""

    named: dict[str, Field] = field(default_factory=dict)
    other: Field | None = None
    telling: tuple[str, str] | None = None
    required: frozenset[str] = frozenset()


class Strict:
    """Filters one message after the other by the tables of `vda5050.py` and the operator's schemas; holds none of them."""

    def __init__(self, schemas: tuple[Schema, ...] = ()) -> None:
        self._ids: set[str] = set()
        self._messages = {kind: self._members(table) for kind, table in MESSAGES.items()}
        self._own = [(schema, self._members(schema.table.members, schema.table.required)) for schema in schemas]
        self._nothing = Members()

    def members_of(self, topic: str) -> Members:
        """Return the table of the first schema for a topic, else the standard's by its last level, else one that names nothing."""
        for schema, members in self._own:
            if schema.is_for(topic):
                return members
        return self._messages.get(topic.rpartition("/")[2], self._nothing)

    def remember(self, text: str) -> None:
        """Note an identifier that may stay."""
        if len(self._ids) >= _MOST_CLEAN:
            self._ids.clear()
        self._ids.add(text)

    def _members(self, table: Mapping[str, Any], required: frozenset[str] = frozenset()) -> Members:
        named = {name: self._field(spec) for name, spec in table.items() if name != ANY}
        telling = next((pair for pair in _TELLING if pair[0] in named and pair[1] in named), None)
        return Members(named, self._field(table[ANY]) if ANY in table else None, telling, required)

    def _field(self, spec: Any) -> Field:
        made = Field()
        for one in spec if isinstance(spec, tuple) else (spec,):
            if isinstance(one, Words):
                made.kind, made.clean = "words", one
            elif isinstance(one, Range):
                made.low, made.high, made.whole = one.low, one.high, one.whole
            elif isinstance(one, Shaped):
                made.kind, made.pattern = ID, one.pattern
            elif isinstance(one, Named):
                made.members = self._members(one.members, one.required)
            elif isinstance(one, dict):
                made.members = self._members(one)
            elif isinstance(one, list):
                made.items = self._field(one[0])
            elif one == NUMBER:
                made.low, made.high = -LARGEST_NUMBER, LARGEST_NUMBER
            elif one == UNIT:
                made.low, made.high = 0, 1
            elif one == COUNT:
                made.low, made.high = 0, _LARGEST_COUNT
            elif one == FLAG:
                made.flag = True
            else:
                made.kind = one
                made.clean = self._ids if one == ID else frozenset()
        return made


class StrictWalk:
    """One walk over one message. `walk` is the one of profile `balanced` under the same rules: it has the detectors."""

    def __init__(self, *, strict: Strict, walk: Walk) -> None:
        self.profile = walk.profile
        self._strict, self._walk, self._verdicts = strict, walk, walk.verdicts
        self._path = walk.verdicts.path
        self._ruled = bool(walk.verdicts.rules_with_path)
        self._levels: frozenset[str] = frozenset()

    def begin(self, counts: Counter[str], explain: Callable[[Decision], None] | None) -> None:
        """Start a message: its counts, its limits."""
        self._walk.begin(counts, explain)

    def message(self, value: Any, topic: str) -> Any:
        """Return what of a message goes through; {} for one that is no object."""
        self._levels = frozenset(topic.split("/"))
        table = self._strict.members_of(topic)
        return self._object(value, table) if type(value) is dict and table.required <= value.keys() else {}

    def topic(self, topic: str) -> str:
        """Mask each level of a topic, as in `balanced`."""
        return self._walk.topic(topic)

    def identifier(self, role: str, name: str) -> str:
        """Mask robot_id, task_id or run_id. A robot_id is ours or the operator's."""
        if role == "robot_id":
            return self._walk.identifier(role, name)
        masked = self._identifier("#" + role, name)
        return UNREADABLE if masked is DROPPED else str(masked)

    def _object(self, members: dict[str, Any], table: Members) -> dict[str, Any]:
        named, masked = table.named, None
        told = table.telling is not None and self._is_told(members, table.telling[0])
        for key, value in members.items():
            spec = named.get(key)
            kind = type(value)
            if spec is None or told or self._ruled:
                new = self._carefully(key, value, table, told=told)
            elif kind is str:
                if value in spec.clean:
                    continue
                new = self._text(key, value, spec)
            elif kind is float or kind is int:
                if spec.low <= value <= spec.high and (not spec.whole or value == int(value)):
                    continue
                new = self._foreign(key, value)
            elif (kind is bool and spec.flag) or value is None:
                continue
            else:
                new = self._value(key, value, spec)
            if new is not value:
                masked = dict(members) if masked is None else masked
                if new is DROPPED:
                    del masked[key]
                else:
                    masked[key] = new
        return members if masked is None else masked

    def _is_told(self, members: dict[str, Any], name: str) -> bool:
        """Whether a member that names its neighbour (`key`) says that it holds something sensitive."""
        told = members.get(name)
        return type(told) is str and bool(self._walk.hint(told).kind)

    def _carefully(self, key: str, value: Any, table: Members, *, told: bool) -> Any:
        """Take a member that a rule may be about, that its neighbour calls sensitive, or that no table names."""
        if self._ruled and (rule := self._verdicts.rule_for_member(key)):
            return self._verdicts.configured(value, rule)
        if told and table.telling is not None and key == table.telling[1]:
            return self._foreign(key, value)
        spec = table.named.get(key)
        if spec is None and table.other is not None and self._is_clean(key):
            spec = table.other
        return self._foreign(key, value) if spec is None else self._value(key, value, spec)

    def _value(self, key: str, value: Any, spec: Field) -> Any:
        """Hold one value against what it may be."""
        kind = type(value)
        if kind is str:
            return value if value in spec.clean else self._text(key, value, spec)
        if kind is float or kind is int:
            fits = spec.low <= value <= spec.high and (not spec.whole or value == int(value))
            return value if fits else self._foreign(key, value)
        if value is None or (kind is bool and spec.flag):
            return value
        self._path.append(key)
        try:
            if kind is dict and spec.members is not None and spec.members.required <= value.keys():
                return self._object(value, spec.members)
            if kind is list and spec.items is not None:
                return self._array(value, spec.items)
        finally:
            self._path.pop()
        return self._foreign(key, value)

    def _array(self, items: list[Any], spec: Field) -> list[Any]:
        if spec.kind == ID and is_cut_up(items):
            return [
                new for new in [self._foreign(str(index), value) for index, value in enumerate(items)] if new is not DROPPED
            ]
        made = [self._value(str(index), value, spec) for index, value in enumerate(items)]
        if all(new is value for new, value in zip(made, items, strict=True)):
            return items
        return [new for new in made if new is not DROPPED]

    # -- what does not go through as it is

    def _text(self, key: str, text: str, spec: Field) -> Any:
        kind = spec.kind
        if kind == TEXT:
            return self._free_text(key, text)
        if (kind == TIME and _TIME.match(text)) or (kind == VERSION and _VERSION.match(text)):
            return text
        if kind == OWN and text in self._levels:  # it stands in the topic, which was looked at itself
            return text
        if kind in {ID, OWN} and (spec.pattern is None or spec.pattern.fullmatch(text) or MARKER.fullmatch(text)):
            return self._identifier(key, text)
        if kind == "words":
            return self._pseudonym(key, text)
        return self._foreign(key, text)

    def _identifier(self, key: str, text: str) -> Any:
        if not text or MARKER.fullmatch(text):
            return text
        if self._is_clean(text):
            self._strict.remember(text)
            return text
        return self._pseudonym(key, text)

    def _is_clean(self, text: str) -> bool:
        """Whether nothing in an identifier can be anything but an identifier, and no detector objects."""
        return is_plain(text) and self._walk.look(text) is text

    def _pseudonym(self, key: str, text: str) -> Any:
        if MARKER.fullmatch(text):
            return text
        operator = self._found(key, "identifier", "not_plain")
        if operator == "mask":
            return self._walk.look(text)
        return self._verdicts.applied(operator, "identifier", text)

    def _free_text(self, key: str, text: str) -> Any:
        if not text:
            return text
        operator = self._found(key, "free_text", "schema")
        if operator == "mask":
            return self._walk.look(text)
        return self._verdicts.applied(operator, "free_text", text)

    def _foreign(self, key: str, value: Any) -> Any:
        operator = self._found(key, "unknown_field", "schema")
        if operator == "keep":
            return value
        return self._walk.member(key, value) if operator == "mask" else DROPPED

    def _found(self, key: str, type_: str, rule: str) -> str:
        self._path.append(key)
        try:
            return self._verdicts.decide(Finding(0, 0, type_, rule, 1.0))
        finally:
            self._path.pop()
