"""What may stand in a bundle for support. What no shape allows is dropped and counted, whatever it is. Pure.

A shape is a leaf, a table of named members, or a container of shapes. A leaf allows numbers, words of the program's own
lists, and forms that only the program writes (a time, a digest, a version): never free text, an id, a path or a name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Leaf = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Each:
    """An object whose names the leaf allows, with values of one shape."""

    names: Leaf
    values: Shape


@dataclass(frozen=True, slots=True)
class Items:
    """A list of one shape."""

    of: Shape


Shape: TypeAlias = "Leaf | Mapping[str, Shape] | Each | Items"
_DROPPED = object()
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(\+00:00|Z)\Z")
_VERSION = re.compile(r"\d{1,4}(\.\d{1,5}){0,3}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def number(value: Any) -> bool:
    """Allow a number, a truth value, or nothing."""
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def one_of(*lists: Collection[str]) -> Leaf:
    """Allow the words of the program's own lists."""
    words = frozenset(word for words in lists for word in words)
    return lambda value: value is None or (isinstance(value, str) and value in words)


def moment(value: Any) -> bool:
    """Allow a time as the program writes it."""
    return value is None or (isinstance(value, str) and bool(_MOMENT.match(value)))


def version(value: Any) -> bool:
    """Allow up to four numbers with full stops between them."""
    return isinstance(value, str) and bool(_VERSION.match(value))


def digest(value: Any) -> bool:
    """Allow a SHA-256 in hex."""
    return isinstance(value, str) and bool(_DIGEST.match(value))


def select(value: Any, shape: Shape) -> tuple[Any, int]:
    """Return what the shape allows of a value, and how many leaves were dropped (None and a count, if it allows nothing)."""
    kept, dropped = _select(value, shape)
    return (None if kept is _DROPPED else kept), dropped


def _select(value: Any, shape: Shape) -> tuple[Any, int]:
    if isinstance(shape, Items) and isinstance(value, list | tuple):
        pairs = [_select(item, shape.of) for item in value]
        return [kept for kept, _dropped in pairs if kept is not _DROPPED], sum(dropped for _kept, dropped in pairs)
    if isinstance(shape, Each | Mapping) and isinstance(value, Mapping):
        found: dict[str, Any] = {}
        lost = 0
        for name, item in value.items():
            inner = _shape_of(name, shape)
            kept, dropped = (_DROPPED, _leaves(item)) if inner is None else _select(item, inner)
            lost += dropped
            if kept is not _DROPPED:
                found[name] = kept
        return found, lost
    if callable(shape) and not isinstance(value, Mapping | list | tuple) and shape(value):
        return value, 0
    return _DROPPED, _leaves(value)


def _shape_of(name: Any, shape: Each | Mapping[str, Shape]) -> Shape | None:
    if isinstance(shape, Each):
        return shape.values if isinstance(name, str) and shape.names(name) else None
    return shape.get(name)


def _leaves(value: Any) -> int:
    """Count what is dropped with a value."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else None
    return 1 if inner is None else sum(map(_leaves, inner))


def described(shape: Shape) -> Any:
    """Return the names that a shape allows, for people."""
    if isinstance(shape, Items):
        return [described(shape.of)]
    if isinstance(shape, Each):
        return {"(each)": described(shape.values)}
    if isinstance(shape, Mapping):
        return {name: described(inner) for name, inner in shape.items()}
    kinds: dict[Leaf, str] = {number: "number", moment: "time", version: "version", digest: "digest"}
    return kinds.get(shape, "word")
