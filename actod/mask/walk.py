"""One walk over one message: which hint reaches which leaf, and what the policy says about each finding.

Nothing is changed in place. A container without findings is returned as it is, so a clean message costs no copy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from actod.mask.fields import NUMERIC, in_field
from actod.mask.financial import is_card
from actod.mask.finding import Finding
from actod.mask.keys import Hint, KeyBook, fold
from actod.mask.leaf import LeafReader, TooMuchError
from actod.mask.operators import DROPPED, Operators
from actod.mask.policy import Policy, Rule
from actod.mask.text import BORING
from actod.mask.words import GIVEN_NAMES

_GEOJSON = frozenset(("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"))
_SHORT, _MOST_PIECES, _LONGEST_BYTES = 4, 40, 4096
_CARD_FLOOR, _CARD_CEILING = 10**13, 10**16
_SMALLEST_IDENTITY = 10_000
_SMALLEST = {"password": 1000, "wifi_key": 1000}  # a PIN has four digits
_DEGREES, _E7 = 180.0, 1_000_000
_LABEL = re.compile(r"[^\W\d_]+(?:[ _.-][^\W\d_]+){0,3}[:=]?\Z")  # ["phone", "...", ...]
UNREADABLE = "<UNREADABLE>"


class Decision(NamedTuple):
    """One decision, for `--explain`. Never holds the value."""

    path: str
    type: str
    rule: str
    confidence: float
    operator: str


class Walk:
    """Masks one message (data, topic, ids) under one profile."""

    def __init__(
        self,
        *,
        profile: str,
        policy: Policy,
        rules: tuple[Rule, ...],
        operators: Operators,
        book: KeyBook,
        only: frozenset[str] | None,
        counts: Counter[str],
        explain: Callable[[Decision], None] | None = None,
    ) -> None:
        self.profile = profile
        self._policy = policy
        self._rules = rules
        self._path_rules = tuple(rule for rule in rules if rule.path is not None and not rule.type)
        self._operators = operators
        self._book = book
        self._only = only
        self._counts = counts
        self._explain = explain
        self._path: list[str] = []
        self._reader = LeafReader(
            policy=policy, book=book, only=only, mask_json=self._inner, mask_text=self._inner_text, path=self._path
        )
        self._memo = not rules and not policy.detectors

    # --- entry points

    def message(self, value: Any) -> Any:
        """Mask a whole JSON value."""
        masked = self._value(value, self._book.neutral, 0)
        return None if masked is DROPPED else masked

    def topic(self, topic: str) -> str:
        """Mask each level of a topic; a level that names a kind gives its hint to the next."""
        levels = topic.split("/")
        previous = self._book.neutral
        self._path[:] = ["#topic"]
        for index, level in enumerate(levels):
            if level:
                levels[index] = str(self._level(level, previous))
            previous = self._book.hint(level)
        self._path.clear()
        return "/".join(levels)

    def identifier(self, role: str, name: str) -> str:
        """Mask what stands in robot_id, task_id or run_id."""
        self._path[:] = ["#" + role]
        masked = self._text(name, self._book.hint(role), 0)
        self._path.clear()
        return UNREADABLE if masked is DROPPED else str(masked)

    def _level(self, level: str, previous: Hint) -> Any:
        hint = self._book.neutral
        if previous.kind in ("person", "agent"):
            parts = [
                part
                for part in fold(level).replace(".", " ").replace("_", " ").replace("-", " ").replace("+", " ").split()
                if part.isalpha()
            ]
            if (len(parts) > 1 and not any(ch.isdigit() for ch in level)) or any(part in GIVEN_NAMES for part in parts):
                hint = previous
        elif previous.kind:
            hint = previous
        masked = self._text(level, hint, 0)
        return UNREADABLE if masked is DROPPED else masked

    # --- containers

    def _value(self, value: Any, hint: Hint, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            return self._object(value, hint, depth)
        if kind is list:
            return self._array(value, hint, depth)
        if kind is str:
            return self._text(value, hint, depth)
        if kind is int or kind is float:
            return self._number(value, hint)
        return value

    def _object(self, members: dict[str, Any], inherited: Hint, depth: int) -> Any:
        if depth >= self._policy.max_depth:
            return self._unreadable()
        changed: dict[str, tuple[str, Any]] = {}
        hint_of = self._book.known
        path = self._path
        for key, value in members.items():
            hint = hint_of.get(key)
            new_key = key
            if hint is None:
                hint, new_key = self._key(key, inherited)
            kind = type(value)
            if not hint.kind and (inherited.kind or hint.slot):
                hint = self._neighbour_hint(members, hint, inherited)
            path.append(key)
            if self._path_rules and (rule := self._path_rule()):
                new = self._configured(value, rule)
            elif kind is str:
                new = value if value in hint.clean else self._text(value, hint, depth)
            elif kind is bool or value is None:
                new = value
            elif kind is float or kind is int:
                new = self._number(value, hint) if hint.kind or kind is int else value
            elif kind is list:
                if key == "coordinates" and members.get("type") not in _GEOJSON and inherited.kind != "gps":
                    hint = self._book.neutral
                new = self._array(value, hint, depth + 1)
            else:
                new = self._object(value, hint, depth + 1)
            path.pop()
            if new is not value or new_key is not key:
                changed[key] = (new_key, new)
        return self._rebuilt(members, changed) if changed else members

    def _rebuilt(self, members: dict[str, Any], changed: dict[str, tuple[str, Any]]) -> dict[str, Any]:
        taken = {key for key in members if changed.get(key, (key,))[0] is key}
        masked: dict[str, Any] = {}
        for key, value in members.items():
            new_key, new = changed.get(key, (key, value))
            if new is DROPPED:
                continue
            if new_key is not key:
                new_key = _free(new_key, taken)
                taken.add(new_key)
            masked[new_key] = new
        return masked

    def _array(self, items: list[Any], hint: Hint, depth: int) -> Any:
        if depth >= self._policy.max_depth:
            return self._unreadable()
        if not items:
            return items
        kinds = set(map(type, items))
        if str not in kinds and dict not in kinds and list not in kinds:
            return self._numbers(items, hint, kinds)
        if len(items) <= _MOST_PIECES and len(items) > 2 and dict not in kinds and list not in kinds:
            whole = self._pieces(items, hint)
            if whole is not None:
                return whole
        new_items = []
        changed = dropped = False
        previous = self._book.neutral
        path = self._path
        for index, value in enumerate(items):
            kind = type(value)
            path.append(str(index))
            if self._path_rules and (rule := self._path_rule()):
                new = self._configured(value, rule)
            elif kind is str:
                use = previous if previous.kind and not hint.kind else hint
                new = value if value in use.clean else self._text(value, use, depth)
                previous = self._book.hint(value) if _LABEL.match(value) else self._book.neutral
            else:
                new = self._value(value, hint, depth + 1)
            path.pop()
            changed = changed or new is not value
            dropped = dropped or new is DROPPED
            new_items.append(new)
        if not changed:
            return items
        return [item for item in new_items if item is not DROPPED] if dropped else new_items

    def _numbers(self, items: list[Any], hint: Hint, kinds: set[type]) -> Any:
        """Arrays of numbers: measured values, unless the key says otherwise."""
        if hint.kind:
            if (
                hint.kind in ("mac", "ip")
                and all(type(x) is int and 0 <= x <= 255 for x in items)
                and len(items) in (4, 6, 8, 16)
            ):
                return self._blank(items, "mac" if hint.kind == "mac" else "ipv4", "pieces")
            joined = "".join(map(str, items))
            if kinds == {int} and len(items) <= _MOST_PIECES and hint.kind in NUMERIC and in_field(hint.kind, joined):
                return self._blank(items, in_field(hint.kind, joined)[0].type, "pieces")
            masked = [self._number(x, hint) if type(x) in (int, float) else x for x in items]
            return masked if any(a is not b for a, b in zip(masked, items, strict=True)) else items
        if kinds == {int} and 8 <= len(items) <= _LONGEST_BYTES and min(items) >= 9 and max(items) < 256:
            text = _text_of_bytes(items)
            found = self._reader.find(text, hint, 0) if text.isprintable() else []
            if found:
                return self._blank(items, found[0].type, "byte_array")
        elif kinds == {int} and self._path_rules and (rule := self._path_rule()):
            return self._configured(items, rule)
        return items

    def _pieces(self, items: list[Any], hint: Hint) -> list[Any] | None:
        """Blank a value cut in pieces: ["4111", "1111", ...], ["a4", "c3", ...], [192, "168", ...]."""
        if any(len(x) > _SHORT if type(x) is str else type(x) is not int or abs(x) >= 10**_SHORT for x in items):
            return None
        texts = [str(x) for x in items]
        joined = "".join(texts)
        found: list[Finding] = []
        if hint.kind:
            for candidate in (joined, ".".join(texts), ":".join(texts)):
                found = found or in_field(hint.kind, candidate)
        if not found and len(texts) == 6 and all(len(x) == 2 for x in texts):
            found = self._reader.find(":".join(texts), hint, 0)
        if not found:
            found = [f for f in self._reader.find(joined, hint, 0) if f.end - f.start >= 0.7 * len(joined)]
        if not found and len(texts) == 4 and not hint.benign and all(type(x) is str for x in items):
            found = self._reader.find(".".join(texts), hint, 0)
        return self._blank(items, found[0].type, "pieces") if found else None

    def _blank(self, items: list[Any], type_: str, rule: str) -> list[Any]:
        if self._only is not None and type_ not in self._only:
            return items
        operator = self._decide(Finding(0, 0, type_, rule, 0.9))
        if operator == "keep":
            return items
        blank = f"<{type_.upper()}>"
        return [x if x is None or type(x) is bool else blank if type(x) is str else 0 for x in items]

    # --- hints

    def _key(self, key: str, inherited: Hint) -> tuple[Hint, str]:
        """Classify a key that is seen for the first time; mask it where it is itself a finding."""
        if BORING.fullmatch(key) is None:
            found = self._reader.find(key, self._book.neutral, 0)
            if not found and inherited.kind and sum(map(str.isdigit, key)) >= 6:
                found = in_field(inherited.kind, key)
            if found:
                new = self._applied(key, found)
                return self._book.neutral, UNREADABLE if new is DROPPED else str(new)
        return self._book.learn(key), key

    def _neighbour_hint(self, members: dict[str, Any], hint: Hint, inherited: Hint) -> Hint:
        """Where a value's key says nothing, ask what stands around it."""
        if hint.slot:
            for key, value in members.items():
                known = self._book.known.get(key)
                if known is not None and known.descriptor and type(value) is str and len(value) <= 48:
                    told = self._book.hint(value)
                    if told.kind:
                        return told
            if inherited.kind:
                return inherited
        return hint

    # --- leaves

    def _text(self, text: str, hint: Hint, depth: int) -> Any:
        if not hint.kind and self._memo and BORING.fullmatch(text) is not None:
            return text
        try:
            found = self._reader.find(text, hint, depth)
        except TooMuchError:
            return self._unreadable()
        if not found:
            if self._memo and len(text) <= 64:
                hint.remember(text)
            return text
        return self._applied(text, found)

    def _applied(self, text: str, found: list[Finding]) -> Any:
        pieces = []
        last = 0
        for f in found:
            pieces.append(text[last : f.start])
            if f.replacement is not None:
                pieces.append(f.replacement)
            else:
                operator = self._decide(f)
                if operator == "drop":
                    return DROPPED
                pieces.append(self._operators.text(operator, f.type, text[f.start : f.end]))
            last = f.end
        pieces.append(text[last:])
        masked = "".join(pieces)
        return text if masked == text else masked

    def _number(self, value: float, hint: Hint) -> Any:
        kind = hint.kind
        if not kind:
            if _CARD_FLOOR <= value < _CARD_CEILING and not hint.benign and is_card(str(value)):
                return self._masked_number(value, "card", "card_number", 0.7)
            return value
        if kind in ("gps_lat", "gps_lon", "gps"):
            if (type(value) is float and abs(value) <= _DEGREES) or abs(value) >= _E7:
                return self._masked_number(value, "gps", "field_degrees", 0.95)
        elif kind == "biometric" or (kind in NUMERIC and abs(value) >= _SMALLEST.get(kind, _SMALLEST_IDENTITY)):
            return self._masked_number(value, kind, "field_" + kind, 0.9)
        return value

    def _masked_number(self, value: float, type_: str, rule: str, confidence: float) -> Any:
        if self._only is not None and type_ not in self._only:
            return value
        operator = self._decide(Finding(0, 0, type_, rule, confidence), value)
        if operator == "drop":
            return DROPPED
        masked = self._operators.number(operator, type_, value)
        return value if masked == value else masked

    def _inner(self, value: Any, depth: int) -> Any:
        """Mask what was found inside a container (called by the leaf reader)."""
        masked = self._value(value, self._book.neutral, depth)
        return None if masked is DROPPED else masked

    def _inner_text(self, text: str, hint: Hint, depth: int) -> str:
        masked = self._text(text, hint, depth)
        return "" if masked is DROPPED else str(masked)

    # --- policy

    def _decide(self, finding: Finding, number: float | None = None) -> str:
        operator = self._policy.default_operator(finding.type)
        for rule in self._rules:
            if rule.type in ("", finding.type) and (rule.path is None or rule.matches_path(tuple(self._path))):
                operator = rule.operator
                break
        if operator != "keep" and (number is None or number):
            self._counts[finding.type] += 1
        if self._explain is not None:
            pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in self._path)
            self._explain(Decision(pointer, finding.type, finding.rule, finding.confidence, operator))
        return operator

    def _path_rule(self) -> Rule | None:
        path = tuple(self._path)
        for rule in self._path_rules:
            if rule.matches_path(path):
                return rule
        return None

    def _configured(self, value: Any, rule: Rule) -> Any:
        """Apply a rule that names a path and no type to all that stands there."""
        if rule.operator == "keep" or value is None:
            return value
        if type(value) is dict:
            masked = {key: self._configured(member, rule) for key, member in value.items()}
            return DROPPED if rule.operator == "drop" else masked
        if type(value) is list:
            return DROPPED if rule.operator == "drop" else [self._configured(item, rule) for item in value]
        self._counts["configured"] += 1
        if rule.operator == "drop":
            return DROPPED
        if type(value) is str:
            return self._operators.text(rule.operator, "configured", value)
        return (
            False
            if type(value) is bool
            else self._operators.number(rule.operator, "gps" if rule.operator == "coarsen" else "configured", value)
        )

    def _unreadable(self) -> str:
        self._counts["unreadable"] += 1
        return UNREADABLE


def _text_of_bytes(items: list[int]) -> str:
    try:
        return bytes(items).decode()
    except UnicodeDecodeError:
        return ""


def _free(key: str, taken: set[str]) -> str:
    """Make a masked key that no other member has."""
    if key not in taken:
        return key
    number = 2
    head, tail = (key[:-1], ">") if key.endswith(">") else (key, "")
    while f"{head}:{number}{tail}" in taken:
        number += 1
    return f"{head}:{number}{tail}"
