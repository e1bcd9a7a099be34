"""An operator's own schema for profile `strict`: a small part of JSON Schema, brought to the form of `vda5050.py`.

What a schema does not say cannot go through, so a keyword that could let something through unseen is refused, and so is a
number under a name that means somebody (`phone`): a range does not tell a measure from a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actod.mask.keys import KeyBook
from actod.mask.vda5050 import FLAG, ID, TEXT, TIME, Words

LARGEST_NUMBER = 1e9  # no measure of a vehicle is larger; a telephone or card number is
MOST_BYTES = 1 << 20
_DEEPEST = 32
_LONGEST_WORD = 128
_FORMATS = {"date-time": TIME, "uuid": ID}
_NOTES = frozenset(
    "$schema $id $comment title description default examples deprecated readOnly writeOnly additionalProperties minItems maxItems "
    "uniqueItems minLength maxLength multipleOf".split()
)
"""Keywords that only narrow or explain. Members that are not named are left out, whatever `additionalProperties` says."""
_READ = frozenset("type properties required items enum const minimum maximum pattern format".split())
# What a pattern for identifiers must not take: it would let free text through.
_FREE = ("Jane Roe", "jo.roe@example.org", "+49 151 1234567", "12 Mill Lane", "a b")
Compile = Callable[[str], Any]


class SchemaError(ValueError):
    """A schema cannot be used. `where` is a JSON Pointer into it."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        super().__init__(expected)
        self.where, self.expected, self.found = where or "/", expected, found


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both included; `whole` takes no fractions."""

    low: float
    high: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Shaped:
    """An identifier of one form. `pattern` is compiled by the linear-time engine."""

    pattern: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Named:
    """An object: what each member may be, and which ones make it one of its kind."""

    members: Mapping[str, Any]
    required: frozenset[str]


@dataclass(frozen=True, slots=True)
class Schema:
    """What messages under a topic filter may hold."""

    levels: tuple[str, ...]
    table: Named

    def is_for(self, topic: str) -> bool:
        """Whether the filter matches."""
        levels = topic.split("/")
        for want, got in zip(self.levels, levels, strict=False):
            if want == "#":
                return True
            if want not in ("+", got):
                return False
        return len(self.levels) == len(levels) or self.levels[len(levels) :] == ("#",)


def read_schema(document: Any, compile_pattern: Compile) -> Named:
    """Return what a message may hold. Raises SchemaError that says where and what was expected."""
    made = _Reader(compile_pattern).any(document, "", 0)
    if not isinstance(made, Named):
        raise SchemaError("", 'an object with "properties"', "another type")
    return made


class _Reader:
    def __init__(self, compile_pattern: Compile) -> None:
        self._compile = compile_pattern
        self._book = KeyBook()

    def any(self, schema: Any, where: str, depth: int, name: str = "") -> Any:
        """Return one member's spec: a constant, Words, Range, Shaped, Named, a list of one, or a tuple of several."""
        if type(schema) is not dict or depth > _DEEPEST:
            raise SchemaError(where, f"a schema, at most {_DEEPEST} deep", type(schema).__name__)
        if unknown := sorted(schema.keys() - _READ - _NOTES):
            raise SchemaError(f"{where}/{unknown[0]}", "only " + ", ".join(sorted(_READ)), unknown[0])
        if "enum" in schema or "const" in schema:
            return self._words(schema, where)
        types = schema.get("type")
        types = types if type(types) is list else [types]
        readers = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "integer": self._number,
        }
        made: list[Any] = []
        for one in types:
            if one == "boolean":
                made.append(FLAG)
            elif one in readers:
                made.append(readers[one](schema, where, depth, name))
            elif one != "null":  # which goes through anyway
                raise SchemaError(f"{where}/type", "a type, or a list of types", repr(one))
        return made[0] if len(made) == 1 else tuple(made)

    def _words(self, schema: dict[str, Any], where: str) -> Words:
        words = schema["enum"] if "enum" in schema else [schema["const"]]
        if type(words) is not list or not words:
            raise SchemaError(f"{where}/enum", "a list of words", type(words).__name__)
        for word in words:
            if word is not None and (type(word) is not str or len(word) > _LONGEST_WORD):
                expected = f"words of up to {_LONGEST_WORD} characters; numbers take minimum and maximum"
                raise SchemaError(f"{where}/enum", expected, type(word).__name__)
        return Words(word for word in words if word is not None)

    def _object(self, schema: dict[str, Any], where: str, depth: int, _name: str) -> Named:
        properties = schema.get("properties")
        if type(properties) is not dict or not properties:
            raise SchemaError(f"{where}/properties", "the members by name", type(properties).__name__)
        required = schema.get("required", [])
        if type(required) is not list or not all(type(name) is str and name in properties for name in required):
            raise SchemaError(f"{where}/required", 'a list of names that stand in "properties"', repr(required)[:64])
        members = {
            name: self.any(one, f"{where}/properties/{_escaped(name)}", depth + 1, name) for name, one in properties.items()
        }
        return Named(members, frozenset(required))

    def _array(self, schema: dict[str, Any], where: str, depth: int, name: str) -> list[Any]:
        return [self.any(schema.get("items"), f"{where}/items", depth + 1, name)]

    def _string(self, schema: dict[str, Any], where: str, _depth: int, _name: str) -> Any:
        if "pattern" in schema:
            return Shaped(self._pattern(schema["pattern"], f"{where}/pattern"))
        if "format" not in schema:
            return TEXT
        if schema["format"] not in _FORMATS:
            raise SchemaError(f"{where}/format", "one of " + ", ".join(_FORMATS), repr(schema["format"])[:64])
        return _FORMATS[schema["format"]]

    def _pattern(self, pattern: Any, where: str) -> Any:
        if type(pattern) is not str or pattern[:1] != "^" or pattern[-1:] != "$" or pattern[-2:] == "\\$":
            raise SchemaError(where, "a pattern for the whole text, from ^ to $", repr(pattern)[:64])
        try:
            compiled = self._compile(pattern)
        except ValueError:
            raise SchemaError(where, "an RE2 pattern (no look-around, no back-reference)", repr(pattern)[:64]) from None
        if any(compiled.fullmatch(text) for text in _FREE):
            raise SchemaError(
                where, "a pattern for identifiers that takes no names, addresses or numbers", repr(pattern)[:64]
            )
        return compiled

    def _number(self, schema: dict[str, Any], where: str, _depth: int, name: str) -> Range:
        if kind := self._book.hint(name).kind:
            expected = f"no number under a name that means {kind}; a rule of the policy can keep or coarsen its path"
            raise SchemaError(where, expected, repr(name)[:64])
        low, high = schema.get("minimum", -LARGEST_NUMBER), schema.get("maximum", LARGEST_NUMBER)
        for limit in (low, high):
            if type(limit) not in (int, float) or not math.isfinite(limit):
                raise SchemaError(f"{where}/minimum", "numbers for minimum and maximum", type(limit).__name__)
        types = schema["type"]
        return Range(low, high, whole="number" not in (types if type(types) is list else [types]))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
