"""One walk over one message: which hint reaches which leaf, and what the policy says about each finding.

Nothing is changed in place. A container without findings is returned as it is, so a clean message costs no copy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from actod.mask.fields import in_field
from actod.mask.finding import UNREADABLE
from actod.mask.keys import LONGEST_REMEMBERED, Hint, KeyBook, fold
from actod.mask.leaf import LeafReader, TooMuchError
from actod.mask.neighbours import neighbour_hint
from actod.mask.numbers import CARD_FLOOR, MOST_PIECES, Numbers
from actod.mask.operators import DROPPED, Operators
from actod.mask.policy import Policy, Rule
from actod.mask.text import BORING
from actod.mask.verdicts import Decision, Verdicts
from actod.mask.words import GIVEN_NAMES

_GEOJSON = (
    "Point",
    "LineString",
    "Polygon",
    "MultiPoint",
    "MultiLineString",
    "MultiPolygon",
)  # a tuple: a type may be a list, which has no hash
_NUMBERS = frozenset((int, float))
_DIGITS_OF_AN_IDENTITY = 6
_TOUCHES = re.compile(r"[<>](?:(?<=>)[\w+(]|(?<=[\w)]<)[A-Z])")
_MOST_LOOKS = 3  # at what is left of a text in which something was found
_WORDS_OF_OTHER_SCRIPTS = frozenset(("name_cjk", "name_caseless", "address_cjk"))
_LABEL = re.compile(r"[^\W\d_]+(?:[ _.-][^\W\d_]+){0,3}[:=]?\Z")  # ["phone", "...", ...]


class Walk:
    """Masks one message (data, topic, ids) after the other under one profile; `begin` stands before each."""

    def __init__(
        self,
        *,
        profile: str,
        policy: Policy,
        rules: tuple[Rule, ...],
        operators: Operators,
        book: KeyBook,
        only: frozenset[str] | None,
    ) -> None:
        self.profile = profile
        self._book = book
        self._max_depth = policy.max_depth
        self.verdicts = Verdicts(policy=policy, rules=rules, operators=operators, only=only)
        self._path = self.verdicts.path
        self._path_rules = self.verdicts.path_rules
        self._reader = LeafReader(
            policy=policy, book=book, only=only, mask_json=self._inner, mask_text=self._inner_text, path=self._path
        )
        self._numbers = Numbers(verdicts=self.verdicts, reader=self._reader)
        self._memo = not policy.detectors

    # --- entry points

    def begin(self, counts: Counter[str], explain: Callable[[Decision], None] | None) -> None:
        """Start a message: its counts, its limits."""
        self.verdicts.begin(counts, explain)
        self._reader.begin()

    def message(self, value: Any, _topic: str) -> Any:
        """Mask a whole JSON value."""
        masked = self._value(value, self._book.neutral, 0)
        return None if masked is DROPPED else masked

    def look(self, text: str) -> Any:
        """Mask text of which nothing is known; the very same object if nothing is found."""
        return self._text(text, self._book.neutral, 0)

    def member(self, key: str, value: Any) -> Any:
        """Mask a value with what its key says, and drop it where the key is itself a finding."""
        hint, new_key = self._key(key, self._book.neutral)
        return self._value(value, hint, 1) if new_key is key else DROPPED

    def hint(self, key: str) -> Hint:
        """Return what a key tells."""
        return self._book.hint(key)

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
            return self._numbers.one(value, hint)
        return value

    def _object(self, members: dict[str, Any], inherited: Hint, depth: int) -> Any:
        if depth >= self._max_depth:
            return self.verdicts.unreadable()
        changed: dict[str, tuple[str, Any]] = {}
        hint_of = self._book.known.get
        path = self._path
        told = inherited.kind
        ruled = bool(self._path_rules)
        for key, value in members.items():
            hint = hint_of(key)
            new_key = key
            if hint is None:
                hint, new_key = self._key(key, inherited)
            kind = type(value)
            if (told or hint.slot or hint.unsure) and not hint.kind:
                hint = neighbour_hint(self._book, members, key, hint, inherited)
            if not ruled and (
                value in hint.clean
                if kind is str
                else value is None or kind is bool or (kind in _NUMBERS and not hint.kind and value < CARD_FLOOR)
            ):
                if new_key is key:
                    continue
                new = value
            else:
                path.append(key)
                if kind is str and not ruled:
                    new = self._text(value, hint, depth)
                else:
                    new = self._member(members, key, value, hint, inherited, depth)
                path.pop()
            if new is not value or new_key is not key:
                changed[key] = (new_key, new)
        return self._rebuilt(members, changed) if changed else members

    def _member(self, members: dict[str, Any], key: str, value: Any, hint: Hint, inherited: Hint, depth: int) -> Any:
        """Mask one value; the path already leads to it."""
        if self._path_rules and (rule := self.verdicts.rule_here()):
            return self.verdicts.configured(value, rule)
        kind = type(value)
        if kind is str:
            return value if value in hint.clean else self._text(value, hint, depth)
        if kind is bool or value is None:
            return value
        if kind in _NUMBERS:
            return self._numbers.one(value, hint)
        if kind is list:
            if key == "coordinates" and members.get("type") not in _GEOJSON and inherited.kind != "gps":
                hint = self._book.neutral
            return self._array(value, hint, depth + 1)
        return self._object(value, hint, depth + 1)

    def _rebuilt(self, members: dict[str, Any], changed: dict[str, tuple[str, Any]]) -> dict[str, Any]:
        masked = members.copy()
        for key, (new_key, new) in changed.items():
            if new_key is not key or new is DROPPED:
                break
            masked[key] = new
        else:
            return masked
        taken = {key for key in members if changed.get(key, (key,))[0] is key}
        masked = {}
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
        if depth >= self._max_depth:
            return self.verdicts.unreadable()
        if not items:
            return items
        kinds = set(map(type, items))
        ruled = bool(self._path_rules) and self.verdicts.rules_members()
        if not ruled and str not in kinds and dict not in kinds and list not in kinds:
            return self._numbers.array(items, hint, kinds)
        if (
            not ruled
            and len(items) <= MOST_PIECES
            and (len(items) > 2 or (hint.kind and len(items) > 1))
            and dict not in kinds
            and list not in kinds
        ):
            whole = self._numbers.pieces(items, hint)
            if whole is not None:
                return whole
        new_items = []
        changed = dropped = False
        previous = self._book.neutral
        path = self._path
        for index, value in enumerate(items):
            kind = type(value)
            path.append(str(index))
            if self._path_rules and (rule := self.verdicts.rule_here()):
                new = self.verdicts.configured(value, rule)
            elif kind is str:
                use = previous if not hint.kind and (previous.kind or previous.thing or previous.version) else hint
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

    # --- hints

    def _key(self, key: str, inherited: Hint) -> tuple[Hint, str]:
        """Classify a key that is seen for the first time; mask it where it is itself a finding."""
        many_digits = sum(map(str.isdigit, key)) >= _DIGITS_OF_AN_IDENTITY
        asked_each_time = many_digits or not self._memo
        opened = self._reader.opened
        if asked_each_time or BORING.fullmatch(key) is None:
            found = in_field(inherited.kind, key) if inherited.kind and many_digits else []
            try:
                found = found or self._reader.find(key, self._book.neutral, 0)
            except TooMuchError:
                return self._book.neutral, self.verdicts.unreadable()
            if found and not key.isascii():  # a key in another script is a word of that language before it is a name
                found = [f for f in found if f.rule not in _WORDS_OF_OTHER_SCRIPTS]
            if found:
                new = self.verdicts.text(key, found)
                new_key = UNREADABLE if new is DROPPED else str(new)
                return self._book.hint(new_key), new_key
        # What a key with many digits is depends on what stands above it, and own detectors look where they are told.
        if asked_each_time or self._reader.opened > opened:
            return self._book.hint(key), key
        return self._book.learn(key), key

    # --- leaves

    def _text(self, text: str, hint: Hint, depth: int) -> Any:
        if not hint.kind and self._memo and BORING.fullmatch(text) is not None:
            if text.isalpha():
                self._book.remember(text, hint)  # words repeat; numbers and times do not
            return text
        opened = self._reader.opened
        try:
            found = self._reader.find(text, hint, depth)
        except TooMuchError:
            return self.verdicts.unreadable()
        if not found:
            if self._memo and len(text) <= LONGEST_REMEMBERED and self._reader.opened == opened:
                self._book.remember(text, hint)
            return text
        return self._once_more(self.verdicts.text(text, found), text, hint)

    def _once_more(self, masked: Any, text: str, hint: Hint) -> Any:
        """Look again where something touches a mark: what stood there may have hidden its neighbour's beginning or end."""
        for _ in range(_MOST_LOOKS):
            if type(masked) is not str or masked is text:
                break
            coarser = self.verdicts.made_coarser  # a shorter text may read as something else
            touched = [m.start() for m in _TOUCHES.finditer(masked)]
            if not coarser and not touched:
                break
            text = masked
            found = self._reader.find_again(text, hint, near=None if coarser else touched)
            found = [f for f in found if coarser or text[f.start - 1 : f.start] == ">" or text[f.end : f.end + 1] == "<"]
            masked = self.verdicts.text(text, found) if found else text
        return masked

    def _inner(self, value: Any, depth: int) -> Any:
        """Mask what was found inside a container (called by the leaf reader)."""
        masked = self._value(value, self._book.neutral, depth)
        return None if masked is DROPPED else masked

    def _inner_text(self, text: str, hint: Hint, depth: int) -> str:
        masked = self._text(text, hint, depth)
        return "" if masked is DROPPED else str(masked)


def _free(key: str, taken: set[str]) -> str:
    """Make a masked key that no other member has."""
    if key not in taken:
        return key
    number = 2
    head, tail = (key[:-1], ">") if key.endswith(">") else (key, "")
    while f"{head}:{number}{tail}" in taken:
        number += 1
    return f"{head}:{number}{tail}"
