"""Strict decoding: never a false refusal, never a missed one, in linear time."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actod.errors import RejectedError
from actod.proof.canonical import DATA_MAX_DEPTH, canonical
from actod.proof.decode import REASONS, parse_json


class _Pairs(list[Any]):
    """An object as the text has it: equal keys kept."""


def reference(payload: bytes, max_depth: int) -> tuple[Any, set[str] | None]:
    """Read slowly and keep everything: (value, all reasons), reasons None where the text is no JSON at all."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None, {"not_utf8"}
    try:
        raw = json.loads(text, object_pairs_hook=_Pairs, parse_int=lambda digits: ("int", digits))
    except ValueError:
        return None, None
    found: set[str] = set()
    return _plain(raw, found, 0, max_depth), found


def _plain(raw: Any, found: set[str], level: int, max_depth: int) -> Any:
    if isinstance(raw, tuple):
        if not -(2**63) <= int(raw[1]) < 2**64:
            found.add("integer_range")
        return int(raw[1])
    if isinstance(raw, float):
        if raw != raw or raw in {float("inf"), float("-inf")}:  # noqa: PLR0124 - the definition of NaN
            found.add("nan")
        elif abs(raw) >= 1e16:
            found.add("float_too_large")
    if isinstance(raw, str) and any("\ud800" <= char <= "\udfff" for char in raw):
        found.add("lone_surrogate")
    if isinstance(raw, list):
        if level == max_depth:
            found.add("too_deep")
        if not isinstance(raw, _Pairs):
            return [_plain(item, found, level + 1, max_depth) for item in raw]
        if len({key for key, _ in raw}) < len(raw):
            found.add("duplicate_key")
        return {_plain(key, found, 0, 1): _plain(item, found, level + 1, max_depth) for key, item in raw}
    return raw


pieces = st.sampled_from(
    [
        *("a", "b", "\\u0061", "\\u0022", '\\"', "\\\\", "\\u005c", "\\n", "\\/", "null", "\\u006eull", "e+", "e+16"),
        *(
            "[",
            "]",
            "{",
            "}",
            ":",
            ",",
            "NaN",
            "é",
            "\\u00e9",
            "🤖",
            "\\ud83e\\udd16",
            "\\ud83e",
            "\\udd16",
            "1",
            "\x7f",
            " ",
        ),
    ]
)
strings = st.lists(pieces, max_size=5).map(lambda found: '"' + "".join(found) + '"')
keys = st.sampled_from(['"a"', '"\\u0061"', '"b"', '""', '"\\\\"', '"\\u005c"', '"\\""', '"\\u0022"']) | strings
numbers = (
    st.integers(-(2**66), 2**66).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.sampled_from(["-0", "-0.0", "1e15", "1E16", "1e+16", "10000000000000000.0", "9999999999999998.0", "1e999"])
    | st.sampled_from(["-1e999", "1e-999", "18446744073709551615", "18446744073709551616", "-9223372036854775809"])
    | st.sampled_from(["1" * 400, "1" * 400 + ".5", "0." + "0" * 400 + "1"])
)
scalars = st.sampled_from(["null", "true", "false", "NaN", "Infinity", "-Infinity"]) | numbers | strings
space = st.sampled_from(["", "", " ", "\n\t"])


@st.composite
def _container(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    gap = draw(space)
    if draw(st.booleans()):
        return "[" + f"{gap},".join(draw(st.lists(inner, max_size=4))) + gap + "]"
    members = draw(st.lists(st.tuples(keys, inner), max_size=4))
    return "{" + gap + f",{gap}".join(f"{key}{gap}:{value}" for key, value in members) + "}"


texts = st.recursive(scalars, _container, max_leaves=15)


def _nest(text: str, shape: list[bool]) -> str:
    for is_object in shape:
        text = '{"k":' + text + "}" if is_object else "[" + text + "]"
    return text


shapes = st.lists(st.booleans(), max_size=3) | st.lists(st.booleans(), min_size=120, max_size=126)
documents = st.builds(_nest, texts, shapes).map(lambda text: text.encode())


@given(documents, st.sampled_from([3, 64, DATA_MAX_DEPTH]))
@example(b'{"a":1,"\\u0061":2}', 64)
@example(b'{"\\\\":1,"\\\\\\\\":2}', 64)
@example(b'{"a\\\\":1,"a":2}', 64)
@example(b'{"a":{"b":1,"c":2},"a":{}}', 64)
@example(b"[9223372036854775808.0,9223372036854775808]", 64)
def test_every_document_is_accepted_or_refused_as_the_slow_reference_says(payload: bytes, max_depth: int) -> None:
    expected, reasons = reference(payload, max_depth)
    assert reasons is not None
    if reasons:
        with pytest.raises(RejectedError) as caught:
            parse_json(payload, max_depth=max_depth)
        assert caught.value.reason in reasons
    else:
        value = parse_json(payload, max_depth=max_depth)
        assert value == expected
        assert canonical(value)


@given(documents, st.data())
def test_a_damaged_document_is_refused_unless_it_is_still_good(payload: bytes, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        drop = data.draw(st.integers(0, 3))
        piece = data.draw(
            st.sampled_from([b"", b"\xff", b'"', b"\\", b"\x00", b"]", b"{", b",", b"\xed\xa0\x80", b"\xef\xbb\xbf"])
        )
        payload = payload[:at] + piece + payload[at + drop :]
    _, reasons = reference(payload, 64)
    if reasons == set():
        parse_json(payload, max_depth=64)
    else:
        with pytest.raises(RejectedError) as caught:
            parse_json(payload, max_depth=64)
        assert caught.value.reason in (reasons or REASONS)
        assert caught.value.__cause__ is caught.value.__context__ is None  # a JSONDecodeError carries the payload


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"x":[{"a":1,"\\u0061":2}]}', "duplicate_key"),
        (b'{"a":NaN}', "nan"),
        (b'{"a":-Infinity}', "nan"),
        (b'{"a":1e999}', "nan"),
        (b'{"a":1e16}', "float_too_large"),
        (b'{"a":-1e+300}', "float_too_large"),
        (b'{"a":18446744073709551616}', "integer_range"),
        (b'{"a":-9223372036854775809}', "integer_range"),
        (b'{"a":' + b"9" * 5000 + b"}", "integer_range"),
        (b'{"a":"\\ud800"}', "lone_surrogate"),
        (b'{"\\udc00":1}', "lone_surrogate"),
        (b'{"a":"\xff"}', "not_utf8"),
        (b'{"a":"\xed\xa0\x80"}', "not_utf8"),
        ('{"a":1}'.encode("utf-16"), "not_utf8"),
        ('{"a":1}'.encode("utf-16-le"), "not_json"),
        (b'\xef\xbb\xbf{"a":1}', "not_json"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"a":1}x', "not_json"),
        (b'{"a":"\n"}', "not_json"),
        (b'{"a":01}', "not_json"),
        (b"[" * 125 + b"]" * 125, "too_deep"),
        (b'{"a":[' * 63 + b"1" + b"]}" * 63, "too_deep"),
        (b"[" * 1_000_000, "too_deep"),
        (b'{"a":' * 1_000_000, "too_deep"),
    ],
)
def test_each_refusal_has_its_name(payload: bytes, reason: str) -> None:
    with pytest.raises(RejectedError) as caught:
        parse_json(payload)
    assert caught.value.reason == reason
    assert len(str(caught.value)) < 100


_HUGE = """
import resource, sys
from actod.errors import RejectedError
from actod.proof.decode import parse_json

def reason(payload):
    try:
        parse_json(payload)
    except RejectedError as exc:
        return exc.reason
    return "ok"

size = int(sys.argv[1])
found = [reason(make(size)) for make in (
    lambda n: b'"' + b"a" * n,
    lambda n: b'"' * n,
    lambda n: b'"' + b"\\\\\\\\" * (n // 2),
    lambda n: b'["' + b'\\\\"' * (n // 2) + b'",NaN]',
    lambda n: b'{"a":"' + b"x" * n + b'"}',
    lambda n: b'["' + b"[" * n + b'",NaN]',
    lambda n: b"[" + b"1" * n + b"]",
    lambda n: b"[1" + b"0" * n + b".0]",
    lambda n: b" " * n,
    lambda n: b'"' + b"\\xff" * n + b'"',
    lambda n: b"[" * n,
)]
usage = resource.getrusage(resource.RUSAGE_SELF)
print(*found, usage.ru_maxrss // 1024)
"""


def test_a_60_mb_payload_takes_linear_time_and_little_more_memory_than_itself() -> None:
    command = [sys.executable, "-c", _HUGE, "60000000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)  # quadratic would take days
    *found, mib = done.stdout.split()
    assert found == [
        *("not_json", "not_json", "not_json", "nan", "ok", "nan", "integer_range", "nan", "not_json", "not_utf8"),
        "too_deep",
    ]
    assert int(mib) < 600
