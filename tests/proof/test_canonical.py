"""Canonical bytes: inside the domain they are orjson's, outside a reason is raised; both exactly."""

from __future__ import annotations

import datetime as dt
import enum
import math
import tracemalloc
import uuid
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actod.errors import RejectedError
from actod.proof.canonical import MAX_DEPTH, REASONS, canonical, deeper_than, depth, digest


class _Text(str):
    __slots__ = ()


class _Word(enum.StrEnum):
    A = "x"


def reasons(value: Any, level: int = 0) -> set[str]:  # noqa: PLR0911 - one line for each rule
    """Write the domain down a second time: slow, and with all reasons."""
    if value is None or isinstance(value, bool):
        return set()
    if type(value) is str:
        return {"lone_surrogate"} if any(0xD800 <= ord(char) <= 0xDFFF for char in value) else set()
    if type(value) is int:
        return set() if -(2**63) <= value < 2**64 else {"integer_range"}
    if type(value) is float:
        if not math.isfinite(value):
            return {"nan"}
        return {"float_too_large"} if abs(value) >= 1e16 else set()
    if type(value) in {list, tuple, dict}:
        if level == 128:
            return {"too_deep"}
        found: set[str] = set()
        members = list(value.values()) if type(value) is dict else list(value)
        for key in value if type(value) is dict else ():
            found |= reasons(key) if type(key) is str else {"key_not_string"}
        return found.union(*(reasons(member, level + 1) for member in members))
    return {"not_json"}


text = st.text(max_size=8) | st.sampled_from(["null", "e+", '"', "\\", "[{", "]}", "\ud800", "é", "🤖", "\x7f\x00"])
scalars = (
    st.none()
    | st.booleans()
    | text
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.floats(9e15, 2e16)
    | st.sampled_from([1e16, -1e16, 9999999999999998.0, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1])
    | st.sampled_from([_Text("a"), _Word.A, uuid.UUID(int=1), b"x", Decimal(1), {1}, orjson.Fragment(b"NaN")])
)


def _wrap(value: Any, shape: list[bool]) -> Any:
    for is_object in shape:
        value = {"k": value} if is_object else [value]
    return value


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(text | st.sampled_from([1, None, _Text("k"), "\udc00"]), inner, max_size=4)
    ),
    max_leaves=12,
)
nested = st.builds(_wrap, values, st.lists(st.booleans(), max_size=4))
deep = st.builds(_wrap, scalars, st.lists(st.booleans(), min_size=124, max_size=132))


@given(nested | deep)
def test_canonical_accepts_exactly_the_domain_and_names_a_true_reason(value: Any) -> None:
    expected = reasons(value)
    if expected:
        with pytest.raises(RejectedError) as caught:
            canonical(value)
        assert caught.value.reason in expected
        assert caught.value.reason in REASONS
    else:
        body = canonical(value)
        assert body == orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        assert orjson.loads(body) == value


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        dt.date(2026, 1, 2),
        dt.time(3, 4),
        uuid.UUID(int=1),
        _Word.A,
        _Text("q"),
        {1, 2},
        b"x",
        Decimal("1.1"),
        type("D", (dict,), {})(),
    ],
)
def test_types_that_orjson_would_print_are_refused_all_the_same(value: Any) -> None:
    with pytest.raises(RejectedError, match="not_json"):
        canonical({"v": [value]})


def test_a_cycle_is_too_deep_and_no_endless_loop() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(RejectedError, match="too_deep"):
        canonical(cycle)


def test_a_refusal_never_quotes_what_was_refused() -> None:
    for value in ({"canary": "canary\ud800"}, {"canary": float("nan")}, {"canary": _Text("canary")}, {"canary": {1}}):
        with pytest.raises(RejectedError) as caught:
            canonical(value)
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None  # where a debugger would find it


@given(st.lists(st.sampled_from(["[", "{", "]", "}", '"', "\\", "a", ","]), max_size=20).map("".join), st.integers(0, 40))
def test_brackets_in_strings_neither_hide_nor_make_depth(string: str, levels: int) -> None:
    value = _wrap([string, {string: string}], [index % 2 == 0 for index in range(levels)])
    assert depth(orjson.dumps(value)) == levels + 2
    assert not deeper_than(orjson.dumps(value), levels + 2)
    assert deeper_than(orjson.dumps(value), levels + 1)


def test_depth_is_exact_where_objects_and_lists_alternate_and_strings_look_like_brackets() -> None:
    for levels in (MAX_DEPTH, MAX_DEPTH + 1, 200):
        alternating = _wrap(1, [index % 2 == 0 for index in range(levels)])
        hidden: Any = 1
        for _ in range(levels):
            hidden = ["]", hidden, "["]
        for value in (alternating, hidden):
            assert depth(orjson.dumps(value)) == levels
            if levels == MAX_DEPTH:
                canonical(value)
            else:
                with pytest.raises(RejectedError, match="too_deep"):
                    canonical(value)


def test_depth_is_exact_in_texts_of_several_megabytes() -> None:
    for filler in ("[", '\\"[', "\\[", '"["', "a]"):
        value = ["]", filler * 700_001, "[", {"k": [filler * 700_001, "}"]}]
        assert depth(orjson.dumps(value)) == 3
        assert depth(orjson.dumps([[filler] * 400_000, [[[]]]])) == 4


def test_an_unknown_hash_is_refused_by_name() -> None:
    with pytest.raises(RejectedError, match="hash_alg"):
        digest(b"", "md5")


def test_a_result_takes_the_memory_of_its_length() -> None:
    value = {"joints": [0.125] * 60, "text": "x" * 200}
    tracemalloc.start()
    held = [canonical(value) for _ in range(100)]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 100 * (len(held[0]) + 200)
