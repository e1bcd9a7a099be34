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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from actod.mask.finding import MARKER, UNREADABLE, Finding
from actod.mask.keys import fold
from actod.mask.operators import DROPPED
from actod.mask.vda5050 import ACTION_TYPES, ANY, COUNT, FLAG, ID, MESSAGES, NUMBER, OWN, TEXT, TIME, UNIT, VERSION, Words
from actod.mask.verdicts import Decision
from actod.mask.vocabulary import BENIGN
from actod.mask.walk import Walk
from actod.mask.words import GIVEN_NAMES, NOT_NAMES

_LARGEST_NUMBER = 1e9  # no measure of a vehicle is larger; a telephone or card number is
_LARGEST_COUNT = 2**32 - 1
_MOST_CLEAN = 4096
_LONGEST_WORD = 64
_MOST_DIGITS, _MOST_DIGITS_IN_ALL = 6, 8
_FEWEST_PIECES, _LONGEST_PIECE = 2, 5
_SHORT, _MOST_BESIDE = 2, 3  # letters of an unknown abbreviation, and digits beside it
_IDENTIFIER = re.compile(r"_?[A-Za-z0-9][A-Za-z0-9._:/+#-]{0,127}\Z")
_SEPARATOR = re.compile(r"[._:/+#-]")
_TOKEN = re.compile(r"[A-Za-z]*[0-9]*\Z")  # between separators a word, a number, or a word and its number
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
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
    members: Members | None = None
    items: Field | None = None


@dataclass(slots=True, eq=False)
class Members:
    """What an object may hold. `other` is for members that the table does not name."""

    named: dict[str, Field] = field(default_factory=dict)
    other: Field | None = None
    telling: tuple[str, str] | None = None


class Strict:
    """Filters one message after the other by the tables of `vda5050.py`; holds none of them."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._messages = {kind: self._members(table) for kind, table in MESSAGES.items()}
        self._nothing = Members()

    def members_of(self, topic: str) -> Members:
        """Return the table for a topic by its last level; one that names nothing for any other topic."""
        return self._messages.get(topic.rpartition("/")[2], self._nothing)

    def remember(self, text: str) -> None:
        """Note an identifier that may stay."""
        if len(self._ids) >= _MOST_CLEAN:
            self._ids.clear()
        self._ids.add(text)

    def _members(self, table: Mapping[str, Any]) -> Members:
        named = {name: self._field(spec) for name, spec in table.items() if name != ANY}
        telling = next((pair for pair in _TELLING if pair[0] in named and pair[1] in named), None)
        return Members(named, self._field(table[ANY]) if ANY in table else None, telling)

    def _field(self, spec: Any) -> Field:
        made = Field()
        for one in spec if isinstance(spec, tuple) else (spec,):
            if isinstance(one, Words):
                made.kind, made.clean = "words", one
            elif isinstance(one, dict):
                made.members = self._members(one)
            elif isinstance(one, list):
                made.items = self._field(one[0])
            elif one == NUMBER:
                made.low, made.high = -_LARGEST_NUMBER, _LARGEST_NUMBER
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
        return self._object(value, self._strict.members_of(topic)) if type(value) is dict else {}

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
                if spec.low <= value <= spec.high:
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
            return value if spec.low <= value <= spec.high else self._foreign(key, value)
        if value is None or (kind is bool and spec.flag):
            return value
        self._path.append(key)
        try:
            if kind is dict and spec.members is not None:
                return self._object(value, spec.members)
            if kind is list and spec.items is not None:
                return self._array(value, spec.items)
        finally:
            self._path.pop()
        return self._foreign(key, value)

    def _array(self, items: list[Any], spec: Field) -> list[Any]:
        if spec.kind == ID and _is_cut_up(items):
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
        if kind in {ID, OWN}:
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


def _is_cut_up(items: list[Any]) -> bool:
    """Whether identifiers are so short that they may be the pieces of one value that is none."""
    if len(items) < _FEWEST_PIECES or any(type(item) is not str or len(item) > _LONGEST_PIECE for item in items):
        return False
    return not is_plain("".join(items))


def is_plain(text: str) -> bool:
    """Whether each part of an identifier is a word of the trade, a letter or two, or a short number."""
    if _IDENTIFIER.match(text) is None:
        return False
    if text in ACTION_TYPES or _UUID.match(text):
        return True
    if len(text) > _LONGEST_WORD or not all(map(_TOKEN.match, _SEPARATOR.split(text))):
        return False
    parts = _PARTS.findall(text)
    unknown = [part for part in parts if part.isalpha() and not _is_trade(part)]
    digits = [len(part) for part in parts if part.isdigit()]
    if not unknown:
        return max(digits, default=0) <= _MOST_DIGITS and sum(digits) <= _MOST_DIGITS_IN_ALL
    # `A-17` or `n3`; with more letters or digits it may be a number plate, a badge, a passport.
    return len(unknown) == 1 and len(unknown[0]) <= _SHORT and sum(digits) <= _MOST_BESIDE


def _is_trade(part: str) -> bool:
    word = fold(part)
    if len(word) <= _SHORT:
        return word in _TRADE
    if word in GIVEN_NAMES and word not in NOT_NAMES:
        return False
    return word in _WORDS or word.removesuffix("s") in _WORDS


def _member_names(table: Any) -> Iterator[str]:
    """Yield the names of all members in a table: their words are the trade's, too."""
    if isinstance(table, dict):
        yield from table
        for spec in table.values():
            yield from _member_names(spec)
    elif isinstance(table, list | tuple):
        for spec in table:
            yield from _member_names(spec)


_TRADE = frozenset(
    "acknowledged alignment amr approach area base battery blocked bottom buffer button calibration camera cell chain charger "
    "clearance cnv collision command corridor count cycle deck degraded derating destination detected deviation diagnostic "
    "distance dock docking driver dunnage edge element emergency encoder end epal epsg estop factory false field fine flr "
    "footprint fork frame front gate grid ground group hall header hook horizontal idle index infeed init insufficient "
    "invalid joint kiosk kinematic known lane laser layout level lidar lim limit line load localization logistics main "
    "maint maintenance map mezz mission mode motor nav navigation node none not num obstacle occluded offset ord order origin "
    "outfeed overflow park parking part path payload pilot pin point pos pose position positioning post production profile protective "
    "pump queue rack ramp range reach ready rear reference reflector route safe safety scanner segment seq sequence side site "
    "slot slow sort source speed staging standby start station stn stuck supported sys system target task temp temperature "
    "tilt timeout top tote tower tracking traffic transfer transport true tsk turn undefined unit unknown unreachable "
    "validation value var vertical via virtual wait warehouse wheel wp waypoint wrapper yard zone zoneset".split()
)

_WORDS = _TRADE | NOT_NAMES | BENIGN | {fold(word) for name in _member_names(MESSAGES) for word in _PARTS.findall(name)}
