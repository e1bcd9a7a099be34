"""What holds for every message: nothing planted survives, twice is once, the output is canonical, and time stays linear."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import html
import json
import random
import time
import tracemalloc
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actod.config import MaskingConfig, MaskRuleConfig
from actod.errors import RejectedError
from actod.mask.assignments import assigned
from actod.mask.engine import PolicyMasker
from actod.mask.keys import KeyBook
from actod.mask.policy import Detector, Policy
from actod.proof.canonical import canonical
from tests.mask.parts import KEY, OTHER_KEY, masked, masker, reading

MASKER = masker()  # one for all examples: what it remembers of one message must not help or hurt the next
_quick = settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])

# A value, a key that tells (or none), and the run of it that must not survive.
PLANTED: list[tuple[str, str, str]] = [
    ("note", "jo.doe@example.org", "jo.doe"),
    ("note", "+49 151 12345678", "12345678"),
    ("note", "4111 1111 1111 1111", "1111 1111"),
    ("note", "DE89 3704 0044 0532 0130 00", "0044 0532"),
    ("note", "123-45-6789", "45-6789"),
    ("note", "AB123456C", "123456"),
    ("note", "529.982.247-25", "982.247"),
    ("note", "RSSMRA85T10A562S", "85T10A562"),
    ("note", "a4:c3:f0:85:ac:2d", "85:ac:2d"),
    ("note", "lost connection to 10.11.12.13", "11.12.13"),
    ("note", "2001:db8:1::8a2e:370:7334", "8a2e:370"),
    ("note", "GPS 52.520008, 13.404954", "520008"),
    ("note", "thanks, Jane Roe", "Jane Roe"),
    ("note", "12 Baker Street, London", "Baker Street"),
    ("note", "born on 1980-03-12", "1980-03-12"),
    ("note", "passport no. C01X00T47", "C01X00T47"),
    ("note", "license plate B-AB 1234", "AB 1234"),
    ("note", "AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ("note", "ghp_" + "a1B2" * 9, "a1B2a1B2"),
    ("note", "Authorization: Bearer Zx81kQ2mmP0yT7bb", "Zx81kQ2mmP"),
    ("note", "rtsp://admin:hunter22x@camera.local/s", "hunter22x"),
    ("note", "psk=Blue7kqz!901", "Blue7kqz!901"),
    ("phone", "555 0134", "555 0134"),
    ("operator_name", "Ximena", "Ximena"),
    ("mqtt_password", "correct horse", "correct horse"),
    ("api_key", "a8f5f167f44f4964e6c998dee827110c", "a8f5f167f44f"),
]


def _json(value: Any) -> str:
    return json.dumps(value)


LAYERS: dict[str, Callable[[Any], str]] = {
    "json": _json,
    "json_unescaped": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "base64": lambda value: base64.b64encode(_json(value).encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(_json(value).encode()).decode().rstrip("="),
    "hex": lambda value: _json(value).encode().hex(),
    "gzip_base64": lambda value: base64.b64encode(gzip.compress(_json(value).encode(), mtime=0)).decode(),
    "zlib_base64": lambda value: base64.b64encode(zlib.compress(_json(value).encode())).decode(),
    "percent": lambda value: urllib.parse.quote(_json(value), safe=""),
    "html": lambda value: html.escape(_json(value), quote=True),
}
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "member": lambda value: {"x": value, "ok": True},
    "list": lambda value: [1, value, None],
    "lists": lambda value: [[[value]]],
    "member_key": lambda value: {value if isinstance(value, str) else json.dumps(value): 1},
    "in_a_sentence": lambda value: {"raw": f"got {value if isinstance(value, str) else json.dumps(value)}"},
}


def _survivors(value: Any) -> str:
    """Write everything that can be read out of a masked value: members, keys, and what any layer holds."""
    out: list[str] = []
    _read(value, out, 0)
    return "\n".join(out)


def _read(value: Any, out: list[str], depth: int) -> None:
    if isinstance(value, dict):
        for key, member in value.items():
            _read(key, out, depth)
            _read(member, out, depth)
    elif isinstance(value, list):
        for item in value:
            _read(item, out, depth)
    elif isinstance(value, str):
        out.append(value)
        if depth < 8:
            for opened in _openings(value):
                _read(opened, out, depth + 1)


def _openings(text: str) -> list[Any]:
    opened: list[Any] = [other for other in (urllib.parse.unquote(text), html.unescape(text)) if other != text]
    for word in {text, *text.split()}:
        with contextlib.suppress(ValueError):
            opened.append(json.loads(word))
        for decode in (bytes.fromhex, base64.b64decode, lambda t: base64.urlsafe_b64decode(t + "=" * (-len(t) % 4))):
            try:
                raw = decode(word)
                if raw[:2] == b"\x1f\x8b":
                    raw = gzip.decompress(raw)
                elif raw[:1] == b"\x78":
                    raw = zlib.decompress(raw)
                opened.append(raw.decode())
            except (ValueError, zlib.error, OSError, EOFError):
                continue
    return [value for value in opened if not isinstance(value, (int, float))]


@given(
    planted=st.sampled_from(PLANTED),
    layers=st.lists(st.sampled_from(sorted(LAYERS)), max_size=4),
    wrappers=st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3),
    between=st.booleans(),
)
@_quick
def test_no_planted_value_survives_any_composition_of_layers_and_containers(
    planted: tuple[str, str, str], layers: list[str], wrappers: list[str], *, between: bool
) -> None:
    key, value, core = planted
    message: Any = {key: value}
    for layer in layers:
        message = LAYERS[layer](message)
        if between:
            message = {"raw": message}
    for wrapper in wrappers:
        message = WRAPPERS[wrapper](message)
    try:
        result = MASKER.mask_value(message)[0]
    except RejectedError:
        return
    assert core not in _survivors(result)


@pytest.mark.parametrize("layer", sorted(LAYERS))
@pytest.mark.parametrize(("key", "value", "core"), PLANTED)
def test_each_type_is_found_in_each_layer_and_the_layer_is_closed_again(layer: str, key: str, value: str, core: str) -> None:
    packed = LAYERS[layer]({"id": 7, key: value, "ok": True})
    assert core in _survivors(packed)
    text = _survivors(masked({"raw": packed}))
    assert core not in text
    assert "unreadable" not in text.lower()
    assert '"ok": true' in text or '"ok":true' in text


@pytest.mark.parametrize(("key", "value", "core"), [plant for plant in PLANTED if plant[0] == "note"])
def test_each_type_is_found_in_keys(key: str, value: str, core: str) -> None:
    assert core not in _survivors(masked({"seen": {value: {key: 1}}}))


@pytest.mark.parametrize("value", [plant[1] for plant in PLANTED if plant[0] == "note" and "/" not in plant[1]])
def test_each_type_is_found_in_a_topic(value: str) -> None:
    assert value.encode() not in masker().mask(reading({}, topic=f"site/{value}/x")).event


SURE = ["jo.doe@example.org", "+49 151 12345678", "4111 1111 1111 1111", "a4:c3:f0:85:ac:2d", "ghp_" + "a1B2" * 9]


@pytest.mark.parametrize("value", [*SURE, "shift of Jane Roe"])
def test_ids_hold_nothing_that_is_sure(value: str) -> None:
    stream = masker().mask(reading({}, robot_id=value, task_id=value, run_id=value)).stream
    assert all(name and value not in name and "<" in name for name in (stream.robot_id, stream.task_id, stream.run_id))


def test_a_value_below_the_depth_limit_is_found_and_what_lies_deeper_is_redacted_whole() -> None:
    text = "jo.doe@example.org"
    for depth in range(1, 12):
        text = base64.b64encode(json.dumps({"a": text}).encode()).decode()
        result, _, counts = masker().mask_value({"raw": text})
        assert "jo.doe" not in _survivors(result)
        assert counts in ({"email": 1}, {"unreadable": 1}), depth
    assert counts == {"unreadable": 1}


def test_a_bomb_is_redacted_and_not_opened_to_its_end() -> None:
    bomb = base64.b64encode(gzip.compress(b"0" * (8 << 20))).decode()
    result, _, counts = masker(max_leaf_bytes=1 << 16).mask_value({"raw": bomb, "ok": 1})
    assert result == {"raw": "<UNREADABLE>", "ok": 1}
    assert counts == {"unreadable": 1}


@pytest.mark.parametrize("cut", [20, 33, -4])
def test_a_container_that_does_not_open_is_redacted(cut: int) -> None:
    packed = base64.b64encode(gzip.compress(b"jo.doe@example.org " * 20, mtime=0)[:cut]).decode()
    assert masked({"raw": packed}) == {"raw": "<UNREADABLE>"}


def test_many_small_bombs_of_one_message_share_what_it_may_unfold_to() -> None:
    bomb = base64.b64encode(gzip.compress(b"all is well. " * 600)).decode()
    alone = masker().mask_value({"raw": bomb})[0]
    together = masker().mask_value({"raw": [bomb] * 20})[0]["raw"]
    assert alone == {"raw": bomb}
    assert together[0] == bomb
    assert together[-1] == "<UNREADABLE>"


def test_json_in_a_string_that_names_a_member_twice_is_redacted() -> None:
    assert masked({"raw": '{"a": 1, "a": "jo.doe@example.org"}'}) == {"raw": "<UNREADABLE>"}


# --- any JSON at all

_texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from([plant[1] for plant in PLANTED]),
    st.builds("{} {}".format, st.text(max_size=12), st.sampled_from([plant[1] for plant in PLANTED])),
    st.sampled_from(
        ["<EMAIL>", "<CARD:2>", "<PHONE:1a2b3c4d5e6f>", "<UNREADABLE>", "password", "%", "&#", "eyJ", "H4sI", '{"a":', "<"]
    ),
)
_keys = st.one_of(
    st.sampled_from(["phone", "operator", "password", "lat", "token", "ts", "value", "key", "x", "coordinates"]), _texts
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(-1e15, 1e15),
    _texts,
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4), max_leaves=12
)
_foreign = st.one_of(
    st.floats(),
    st.integers(-(10**30), 10**30),
    st.text(st.characters(codec="utf-16", exclude_categories=())),
    st.binary(max_size=4),
)


REDACTING = masker(rules=[MaskRuleConfig(operator="redact", type="gps")])


@given(value=_values)
@_quick
def test_masking_twice_is_masking_once(value: Any) -> None:
    """On what is drawn here. What is made coarser is left out: a shorter text may be a plate, and is then masked, too."""
    once = REDACTING.mask_value(value)[0]
    assert REDACTING.mask_value(once)[0] == once


@pytest.mark.parametrize(
    "value",
    [
        {"lat": 52.520008, "lon": -13.404954},
        {"latitude": 525200081, "longitude": -134049540},
        {"lat": "52.520008", "lon": "13.404954 E"},
        {"note": "at 52.520008, 13.404954 waiting"},
        {"gps": [52.520008, 13.404954]},
        {"dob": "1980-03-12", "born": 19800312},
    ],
)
def test_making_coarser_twice_is_making_it_coarser_once(value: Any) -> None:
    once = MASKER.mask_value(value)[0]
    assert once != value
    assert MASKER.mask_value(once)[0] == once


@given(planted=st.sampled_from(PLANTED), layers=st.lists(st.sampled_from(sorted(LAYERS)), max_size=3))
@_quick
def test_masking_twice_is_masking_once_inside_layers(planted: tuple[str, str, str], layers: list[str]) -> None:
    message: Any = {planted[0]: planted[1]}
    for layer in layers:
        message = LAYERS[layer](message)
    once = MASKER.mask_value(message)[0]
    assert MASKER.mask_value(once)[0] == once


@given(value=st.dictionaries(_keys, _values, max_size=4), topic=_texts, robot_id=st.none() | _texts)
@_quick
def test_the_event_is_canonical_json_with_the_members_of_an_event(value: Any, topic: str, robot_id: str | None) -> None:
    event = MASKER.mask(reading(value, topic=topic, robot_id=robot_id)).event
    assert canonical(orjson.loads(event)) == event
    assert set(orjson.loads(event)) == {"data", "topic", "ts"}


@given(
    value=st.recursive(
        _foreign | _scalars, lambda inner: st.lists(inner) | st.dictionaries(_keys | st.integers(), inner), max_leaves=8
    )
)
@_quick
def test_mask_raises_nothing_but_a_refusal_whatever_comes(value: Any) -> None:
    try:
        event = MASKER.mask(reading({"data": value})).event
    except RejectedError:
        return
    assert canonical(orjson.loads(event)) == event


@given(value=_values)
@_quick
def test_what_a_warm_masker_says_a_cold_one_says_too(value: Any) -> None:
    assert MASKER.mask_value(value)[0] == masked(value)


_LAYERS = 4
_ONCE_PACKED = base64.b64encode(b"a value of telemetry, packed once").decode()


def _below_layers(value: Any) -> Any:
    for _ in range(_LAYERS):
        value = {"deep": json.dumps(value)}
    return value


@pytest.mark.parametrize("text", ["4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "['a': 1", _ONCE_PACKED, 'got {"a": 1} here', "a%20b"])
@pytest.mark.parametrize("as_key", [False, True])
def test_a_text_is_told_alike_above_and_below_other_layers_whatever_was_seen_before(text: str, as_key: bool) -> None:
    """What is opened in one place may be too deep in another, and so was not seen there."""
    above = {text: "x"} if as_key else {"note": text}
    for first, then in ((above, _below_layers(above)), (_below_layers(above), above)):
        one = masker()
        one.mask_value(first)
        assert one.mask_value(then)[0] == masked(then)


def test_many_short_texts_cost_a_message_as_much_room_as_before_when_they_are_known() -> None:
    value = {"a": [f"seen {n:05}" for n in range(2000)], "b": "x " * 1900}
    one = masker(max_leaf_bytes=4096)
    assert one.mask_value(value)[0] == one.mask_value(value)[0]


def test_long_words_are_not_remembered() -> None:
    one = masker()
    one.mask_value({"note": "warm"})
    tracemalloc.start()
    try:
        for number in range(40):
            word = "".join(chr(97 + number // 26**place % 26) for place in range(2)) * 65_536
            one.mask_value({"note": f"{word} {word.capitalize()}"})
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("plant", [plant for plant in PLANTED if plant[0] == "note"], ids=lambda plant: plant[1])
def test_what_one_profile_lets_through_is_still_found_by_another(plant: tuple[str, str, str]) -> None:
    one = masker()
    for profile in ("secrets-only", "strict"):
        one.mask_value({"note": plant[1], plant[1]: [plant[1]]}, profile=profile)
    assert plant[2] not in json.dumps(one.mask_value({"note": plant[1], plant[1]: [plant[1]]})[0])


def test_a_value_is_told_by_its_neighbour_in_the_first_message_too() -> None:
    """The neighbour may stand behind it, under a key that was never seen before."""
    assert masked({"value": "hunter-two", "key": "password"}) == {"value": "<PASSWORD>", "key": "password"}


@given(value=_values)
@_quick
def test_a_message_is_never_changed_in_place(value: Any) -> None:
    before = json.dumps(value)
    MASKER.mask_value(value)
    assert json.dumps(value) == before


# --- pseudonyms

HASH = [MaskRuleConfig(operator="hash", type="email"), MaskRuleConfig(operator="hash", type="phone")]


def _hashing(key: bytes) -> PolicyMasker:
    return masker(key=key, rules=HASH)


@given(name=st.from_regex(r"[a-z]{3,12}\.[a-z]{3,12}", fullmatch=True))
@_quick
def test_a_pseudonym_is_stable_under_one_key_and_another_under_another(name: str) -> None:
    mail = f"{name}@example.org"
    first = _hashing(KEY).mask_value({"a": mail, "b": [f"from {mail}"]})[0]
    again = _hashing(KEY).mask_value({"a": mail})[0]
    other = _hashing(OTHER_KEY).mask_value({"a": mail})[0]
    assert first["a"] == again["a"] != other["a"]
    assert first["b"] == [f"from {first['a']}"]
    assert name not in str(first) + str(other)
    assert masked(first["a"]) == first["a"]


def test_a_pseudonym_tells_two_people_apart_and_not_two_ways_to_write_one_number() -> None:
    one = _hashing(KEY).mask_value({"phone": "+49 151 12345678"})[0]
    assert _hashing(KEY).mask_value({"phone": "+49-151-12345678"})[0] == one
    assert _hashing(KEY).mask_value({"phone": "+49 151 12345679"})[0] != one


def test_a_new_epoch_has_other_pseudonyms_and_forgets_the_old() -> None:
    one = _hashing(KEY)
    before = one.mask_value({"a": "jo.doe@example.org"})[0]
    one.rekey(OTHER_KEY)
    after = one.mask_value({"a": "jo.doe@example.org"})[0]
    assert before != after == _hashing(OTHER_KEY).mask_value({"a": "jo.doe@example.org"})[0]


def test_a_pseudonym_is_never_all_digits() -> None:
    one = _hashing(KEY)
    for number in range(3000):
        mark = one.mask_value(f"jo{number}x@example.org")[0]
        assert any(char in "abcdef" for char in mark.removeprefix("<EMAIL:"))


# --- fails closed


class Breaks:
    """Stands for a detector with a defect: it fails at the sight of one word, and quotes what it saw."""

    def finditer(self, text: str) -> list[Any]:
        if "trigger" in text:
            message = f"cannot read {text}"
            raise IndexError(message)
        return []


def _broken() -> PolicyMasker:
    policy = Policy.compile(MaskingConfig())
    detector = Detector("site_badge", Breaks(), frozenset())
    return PolicyMasker(policy=dataclasses.replace(policy, detectors=(detector,)), pseudonym_key=KEY)


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"note": "trigger 4711"}},
        {"data": {"trigger 4711": 1}},
        {"data": {"a": [[{"b": "trigger 4711"}]]}},
        {"data": {"raw": base64.b64encode(b'{"a": "trigger 4711"}').decode()}},
        {"data": {}, "topic": "robot/trigger 4711"},
        {"data": {}, "robot_id": "trigger 4711"},
        {"data": {}, "run_id": "trigger 4711"},
    ],
    ids=str,
)
def test_a_detector_that_breaks_lets_nothing_through_and_does_not_quote_it(fields: dict[str, Any]) -> None:
    with pytest.raises(RejectedError) as refusal:
        _broken().mask(reading(**fields))
    assert refusal.value.reason == "mask_failed"
    assert "4711" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_a_masker_goes_on_after_a_message_that_broke_it() -> None:
    one = _broken()
    with pytest.raises(RejectedError):
        one.mask(reading({"note": "trigger"}))
    assert orjson.loads(one.mask(reading({"mail": "jo.doe@example.org"})).event)["data"] == {"mail": "<EMAIL>"}


def test_a_leaf_that_is_too_large_is_redacted_and_its_neighbours_are_kept() -> None:
    result, _, counts = masker(max_leaf_bytes=1000).mask_value({"big": "a b " * 300, "ok": "idle"})
    assert result == {"big": "<UNREADABLE>", "ok": "idle"}
    assert counts == {"unreadable": 1}


def test_a_key_that_is_too_large_is_redacted_and_its_value_is_kept() -> None:
    assert masker(max_leaf_bytes=1000).mask_value({"a b " * 300: {"speed": 1}})[0] == {"<UNREADABLE>": {"speed": 1}}


def test_what_is_nested_too_deep_is_redacted() -> None:
    value: Any = "jo.doe@example.org"
    for _ in range(70):
        value = {"a": value}
    result = masked(value)
    assert "jo.doe" not in json.dumps(result)
    assert "<UNREADABLE>" in json.dumps(result)


# --- time

HOSTILE: dict[str, str] = {
    "kanji": "佐藤",
    "hangul names": "김민",
    "accents set apart": "e\u0301",
    "Wi-Fi codes": "WIFI:S:a;",
    "fillers": "A<<B<",
    "host names of addresses": "ip-1-2-3-",
    "plates": "LPR A-",
    "plates and numbers": "LPR 1-",
    "numbers and plates": "1A LPR ",
    "dates": "1.1.80 dob ",
    "words in capitals": "LPR ",
    "initials": "A. B. ",
    "surnames in capitals": "ABEL Anna ",
    "eight bytes": "AA:BB:CC:DD:EE:FF:00:11 ",
    "things": "station: Anna\n",
    "streets apart": "Aa Bb Cc ",
    "digits": "1",
    "digits and spaces": "1 ",
    "digits and dots": "1.",
    "at signs": "@",
    "a@": "a@",
    "a.": "a.",
    "colons": "a:",
    "hex pairs": "ab:",
    "assignments": "token=",
    "assignments of people": "user:",
    "quoted keys": 'password="',
    "arrows": "key->",
    "capitals": "Aa ",
    "capital and number": "Aa 1 ",
    "streets": "1 A ",
    "rue": "rue de la ",
    "bring": "deliver to ",
    "commas": "Aa 1, ",
    "iban heads": "DE89",
    "groups of an iban": "DE89 ",
    "brackets": "[",
    "braces": '{"a":',
    "tags": "<a>",
    "entities": "&amp;",
    "percent": "%41",
    "double percent": "%25",
    "backslashes": "\\u0041",
    "hyphens": "-",
    "begin": "-----BEGIN PRIVATE KEY-----",
    "jwt": "eyJa.",
    "base64": "aGVsbG8g",
    "base64 words": "aGVsbG8gd29ybGQh ",
    "hex": "6a6f",
    "urls": "http://a:b",
    "url parameters": "&token=aB1",
    "lines": "a: b\n",
    "csv": "phone,mail\n",
    "spelled": "one two ",
    "dots spelled": "a dot ",
    "wide digits": "\uff11",
    "invisible": "1\u200b",
    "cyrillic": "а",  # noqa: RUF001 - the look-alike is the point
    "han": "東",
    "devanagari": "\u0905",
    "devanagari words": "\u0905\u0906 a ",
    "hangul": "김",
    "degrees": "1° ",
    "coordinates": "1.1234, ",
    "plus codes": "8FVC9G8F",
    "versions": "1.2.3.4 ",
    "marks": "<EMAIL>",
    "half marks": "<EMAIL",
    "marks in addresses": "12 Baker Str/<CARD:2>",
    "identifiers and numbers": "a@b.example 1b4e28ba-2fa1-11d2-883f-0016d3cca427 ",
    "things and names": "tool=Anna Roe; ",
    "tokens that are found": "password=aGVsbG8gd29ybGQhIQ ",
    "semicolons": "Password=a;",
    "call": "call me on ",
    "logins": "user a logged ",
    "options": " -u a:",
    "mysql": "mysql -",
    "names the other way round": "Aa, Jane ",
    "set apart": "=1 1 ",
    "underscores": "ab_",
}


def _cpu_seconds(text: str) -> float:
    best = 60.0
    for _ in range(3):
        one = masker()
        start = time.process_time()
        one.mask_value({"note": text})
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_text_costs_time_in_proportion_to_its_length(name: str) -> None:
    """Four times the text may cost ten times the time: what is quadratic costs sixteen times, and soon far more."""
    unit = HOSTILE[name]
    short, long = (unit * (size // len(unit)) for size in (4_000, 16_000))
    base = max(_cpu_seconds(short), 0.002)
    assert _cpu_seconds(long) <= 10 * base


def test_values_nested_in_values_are_read_a_bounded_number_of_times() -> None:
    text = "token=" * 5000
    read = sum(value.end - value.start for value in assigned(text, KeyBook()))
    assert read <= 6 * len(text)


def test_a_message_full_of_random_signs_costs_time_in_proportion_to_its_length() -> None:
    signs = "aA1 .:-@=/\\%&;,+<>\"'{}[]()\n\u00e9\u0430\u6771"
    draw = random.Random(7)  # noqa: S311 - repeatable noise
    text = "".join(draw.choices(signs, k=32_000))
    assert _cpu_seconds(text) <= 10 * max(_cpu_seconds(text[:8_000]), 0.002)
