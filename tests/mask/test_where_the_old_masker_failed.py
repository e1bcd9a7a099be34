"""Each test holds a defect of the masker that this one replaced, or of this one."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from actod.errors import RejectedError
from actod.mask.finding import MARKER
from tests.mask.parts import masked, masker, reading

MACS = ("a4:c3:f0:85:ac:2d", "A4-C3-F0-85-AC-2D", "a4c3.f085.ac2d", "a4:c3:f0:ff:fe:85:ac:2d")
CARD = "4111111111111111"
EMAIL = "jo.doe@example.org"


@pytest.mark.parametrize("mac", MACS)
def test_a_mac_address_is_masked_and_the_message_kept(mac: str) -> None:
    message = {"iface": "wlan0", "scan": [{"bssid": mac, "rssi": -71}], "log": f"roamed to AP {mac} rssi -71"}
    result = masked(message)
    assert mac not in json.dumps(result)
    assert result == {"iface": "wlan0", "scan": [{"bssid": "<MAC>", "rssi": -71}], "log": "roamed to AP <MAC> rssi -71"}


@pytest.mark.parametrize("mac", ["3cfd.2b93.d13b", "3758.9193.1222"])
def test_a_mac_address_with_dots_is_masked_after_an_e_mail_whose_dot_is_no_sentence(mac: str) -> None:
    assert masked({"text": f"a@example.com, tablet {mac}"}) == {"text": "<EMAIL>, tablet <MAC>"}


def test_a_value_inside_a_key_is_masked_and_what_it_held_is_kept() -> None:
    assert masked({"seen": {EMAIL: {"count": 3}, "door-3": 1}}) == {"seen": {"<EMAIL>": {"count": 3}, "door-3": 1}}


def test_two_masked_keys_stay_two_members() -> None:
    result = masked({MACS[0]: 1, MACS[1]: 2, CARD: 3})
    assert sorted(result.values()) == [1, 2, 3]
    assert all(MARKER.fullmatch(key) for key in result)


def test_a_masked_key_does_not_take_the_place_of_one_that_was_there() -> None:
    assert masked({"<EMAIL>": "kept", EMAIL: "moved"}) == {"<EMAIL>": "kept", "<EMAIL:2>": "moved"}


def test_nested_lists_are_walked_to_their_end() -> None:
    assert masked({"notes": [[[[f"mail {EMAIL}"]], 1], [{"x": [CARD]}]]}) == {
        "notes": [[[["mail <EMAIL>"]], 1], [{"x": ["<CARD>"]}]]
    }


def test_a_hint_reaches_a_value_through_lists_around_it() -> None:
    assert masked({"operator": [["Jane Roe", [3]], {"items": [{"operator": "none"}]}]}) == {
        "operator": [["<PERSON>", [3]], {"items": [{"operator": "none"}]}]
    }


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("card_number", 4111111111111111),
        ("card", 4111111111111112),
        ("phone", 4915112345678),
        ("contactNumber", 393268495941),
        ("ssn", 123456789),
        ("pesel", 44051401359),
        ("password", 1234),
        ("employee_id", 4711007),
    ],
)
def test_a_number_under_a_telling_key_is_masked_and_stays_a_number(key: str, number: int) -> None:
    assert masked({key: number, "speed": 1.5}) == {key: 0, "speed": 1.5}


def test_a_card_number_is_masked_wherever_it_stands_as_a_number() -> None:
    assert masked({"value": int(CARD), "list": [{"v": int(CARD)}]}) == {"value": 0, "list": [{"v": 0}]}


def test_a_value_cut_in_pieces_is_masked() -> None:
    assert masked({"card": ["4111", "1111", "1111", "1111"]}) == {"card": ["<CARD>"] * 4}
    assert masked({"mac": [0xA4, 0xC3, 0xF0, 0x85, 0xAC, 0x2D]}) == {"mac": [0] * 6}
    assert masked({"raw": list(EMAIL.encode())}) == {"raw": [0] * len(EMAIL)}


def test_the_topic_is_masked_level_by_level() -> None:
    _, topic, counts = masker().mask_value({}, topic=f"site/s4/user/{EMAIL}/ap/{MACS[0]}/operator/Jane Roe/status")
    assert topic == "site/s4/user/<EMAIL>/ap/<MAC>/operator/<PERSON>/status"
    assert counts == {"email": 1, "mac": 1, "person": 1}


def test_an_empty_level_of_a_topic_stays() -> None:
    assert masker().mask_value({}, topic=f"/robot//{EMAIL}/")[1] == "/robot//<EMAIL>/"


@pytest.mark.parametrize("role", ["robot_id", "task_id", "run_id"])
def test_ids_are_masked(role: str) -> None:
    result = masker().mask(reading({}, **{role: f"shift of {EMAIL}"}))
    assert getattr(result.stream, role) == "shift of <EMAIL>"
    assert result.masked == {"email": 1}


def test_ids_that_hold_nothing_stay_and_absent_ones_stay_absent() -> None:
    result = masker().mask(
        reading({}, robot_id=None, task_id="7f9c0d6e-1111-4222-a333-444455556666", run_id="run-20260301-07")
    )
    assert (result.stream.robot_id, result.stream.task_id, result.stream.run_id) == (
        None,
        "7f9c0d6e-1111-4222-a333-444455556666",
        "run-20260301-07",
    )


@pytest.mark.parametrize("name", ["topic", "robot_id"])
def test_what_is_remembered_of_clean_names_does_not_let_a_dirty_one_through(name: str) -> None:
    one = masker()
    for _ in range(3):
        one.mask(reading({}, **{name: "amr/7"}))
        result = one.mask(reading({}, **{name: f"amr/{EMAIL}"}))
        assert EMAIL.encode() not in result.event
        assert EMAIL not in str(result.stream.robot_id)
        assert result.masked == {"email": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "rack B7: call +49 151 12345678, order 4711, at 18:00 (dock 3)",
            "rack B7: call <PHONE>, order 4711, at 18:00 (dock 3)",
        ),
        ("Jane Roe pressed the e-stop near rack B", "<PERSON> pressed the e-stop near rack B"),
        ("Operator Philippe Meister took manual control", "Operator <PERSON> took manual control"),
        ("Technician Ximeno stopped the lift", "Technician <PERSON> stopped the lift"),
        ("passport: 915691727 expired", "passport: <PASSPORT> expired"),
        ("IBAN DE89 3704 0044 0532 0130 00 for the deposit", "IBAN <IBAN> for the deposit"),
        ("account CH93 0076 2011 6238 5295 7 for the deposit", "account <IBAN> for the deposit"),
        ("cookie session=Zx81kQ2mmP0yT7bb expired", "cookie session=<SECRET> expired"),
        ("https://h.example/t?z=14&access_token=Zx81kQ2mmP0y&y=2", "https://h.example/t?z=14&access_token=<SECRET>&y=2"),
        ("rtsp://admin:hunter22@cam-2.local:554/s1", "rtsp://admin:<URL_CREDENTIAL>@cam-2.local:554/s1"),
        ("Data Source=db;User ID=sa;Password=Mg6DqJGU", "Data Source=db;User ID=sa;Password=<CONNECTION_STRING>"),
        ("dhcp lease 10.11.12.13 renewed by fw 2.27.91.2", "dhcp lease <IPV4> renewed by fw 2.27.91.2"),
        (
            "goal ab23a229-562d-45b6-ae94-ebeb819b593d accepted by AP a4:c3:f0:85:ac:2d",
            "goal ab23a229-562d-45b6-ae94-ebeb819b593d accepted by AP <MAC>",
        ),
    ],
)
def test_the_neighbours_of_a_match_are_kept(text: str, expected: str) -> None:
    assert masked({"note": text}) == {"note": expected}


def test_members_keep_their_order_and_what_is_not_touched_is_not_copied() -> None:
    message = {"z": 1, "mail": EMAIL, "a": {"deep": [1, 2, 3]}}
    result = masked(message)
    assert list(result) == ["z", "mail", "a"]
    assert result["a"] is message["a"]
    assert message["mail"] == EMAIL


STAMPS: list[Any] = [
    1_764_104_336,
    1_764_104_336_123,
    1_764_104_336_123_456,
    1_764_104_336_123_456_789,
    638_997_011_012_345_678,
    1_764_104_336.123456,
    "1764104336",
    "1764104336123",
    "1764104336123456",
    "1764104336123456789",
    "2026-11-25T20:55:01Z",
    "2026-11-25T20:55:01.123456+01:00",
    "2026-11-25 20:55:01,123",
    "20261125T205501Z",
    "25.11.2026 20:55:01",
    "20:55:01.123",
    "[1764104336.205534588] [INFO] nav: goal reached in 3.958s",
    "Wed Nov 25 20:55:01 2026",
    "Wed, 25 Nov 2026 20:55:01 GMT",
]


@pytest.mark.parametrize("stamp", STAMPS, ids=str)
@pytest.mark.parametrize("key", ["timestamp", "ts", "t", "stamp_ns", "created", "value", "x1", "line", "0"])
def test_a_time_stamp_is_never_eaten(key: str, stamp: Any) -> None:
    message = {key: stamp, "list": [stamp, stamp], "text": f"at {stamp} the lift moved"}
    assert masked(message) == message


def test_a_mark_that_is_none_hides_nothing() -> None:
    assert CARD not in json.dumps(masked([f"<CARD:{CARD}>", f"<TEL:{CARD}>", f"<X_{CARD}>", f"<CARD {CARD}>", f"<{CARD}>"]))
    assert masked({"phone": "<PHONE:491511234567>"}) != {"phone": "<PHONE:491511234567>"}
    assert masked({"password": "<EMAIL>hunter22"}) == {"password": "<EMAIL><PASSWORD>"}


def test_a_list_is_not_taken_for_key_and_value_because_its_first_line_talks_of_a_password() -> None:
    lines = ["the wifi password was changed", "goal reached in 3.958s"]
    assert masked({"lines": lines}) == {"lines": lines}


def test_four_octets_of_a_drive_are_no_address() -> None:
    message = {"pwm": [81, 167, 48, 189, 233, 133, 172, 113], "rgb": [12, 200, 31], "can": [2047, 12, 8, 4]}
    assert masked(message) == message


DEEP: Any = "x"
for _ in range(3000):
    DEEP = [DEEP]

NASTY: list[Any] = [
    "\ud800",
    {"\udfff": "\ud800@example.org"},
    DEEP,
    10**400,
    {"phone": 10**5000},
    {"lat": float("nan"), "lon": float("inf")},
    {"gps": [10**400, -(10**400)]},
    {"card": [10**5000, 1]},
    b"bytes",
    {1: 2},
    {"a": object()},
    "%" * 5000,
    "H4sI" + "A" * 4000,
    "[" * 100_000,
    '{"a":' * 50_000,
    "\x00" * 1000,
    "<" * 1000 + "CARD>" * 1000,
    {"": {"": {"": [None, True, False, "", 0, -0.0]}}},
]


@pytest.mark.parametrize("value", NASTY, ids=lambda value: type(value).__name__)
def test_mask_raises_nothing_but_a_refusal(value: Any) -> None:

    try:
        result = masker().mask(reading({"data": value}))
    except RejectedError:
        return
    orjson.loads(result.event)


def test_a_key_with_a_mark_inside_is_masked_to_its_end() -> None:
    body = "\n".join(["MIIEpAIBAAKCAQEAx3mQ" * 3] * 4)
    pem = f"-----BEGIN PRIVATE KEY-----\n<CARD>{body}\n-----END PRIVATE KEY-----"
    assert "MIIE" not in masked(pem)


def test_a_number_as_a_key_under_a_telling_one_is_masked_also_when_it_was_seen_elsewhere_before() -> None:
    one = masker()
    number = "a8f5f167f44f4964e6c998dee827110c"
    assert one.mask_value({"count": {number: 1}})[0] == {"count": {number: 1}}
    assert one.mask_value({"password": {number: 1}})[0] == {"password": {"<PASSWORD>": 1}}


def test_degrees_at_the_end_of_the_number_range_stay_inside_it() -> None:
    assert masked({"lat": -(2**63), "lon": 2**64 - 1}) == {"lat": -9223372036854700000, "lon": 18446744073709500000}


def test_a_text_seen_under_one_key_says_nothing_about_it_under_another() -> None:
    one = masker()
    assert one.mask_value({"note": "Ximena"})[0] == {"note": "Ximena"}
    assert one.mask_value({"operator": "Ximena"})[0] == {"operator": "<PERSON>"}
    assert one.mask_value({"note": "Ximena"})[0] == {"note": "Ximena"}


def test_json_after_a_few_words_is_opened() -> None:
    inner = json.dumps({"mqtt_password": "correct horse", "ok": True})
    assert masked({"raw": f"got {inner} from scanner"}) == {
        "raw": 'got {"mqtt_password": "<PASSWORD>", "ok": true} from scanner'
    }
    assert "correct" not in json.dumps(masked({"raw": f"got {json.dumps(inner)} from scanner"}))


def test_a_float_of_sixteen_digits_is_read() -> None:
    assert masked({"value": 4111111111111111.0, "t": 3400000264470528.0}) == {"value": 0.0, "t": 3400000264470528.0}
    assert masked([1.5, 4111111111111111]) == [1.5, 0]
    assert masked({"x": [4111111111111111, 5555555555554444]}) == {"x": [0, 0]}


def test_a_key_under_a_telling_one_is_masked_whole() -> None:
    assert masked({"phone": {"0151 234567 AA": None}}) == {"phone": {"<PHONE>": None}}


def test_what_stands_beside_a_finding_in_a_telling_field_goes_with_it() -> None:
    assert masked({"phone": '00000"A@AAAAAAA.A'}) == {"phone": "<PHONE>"}
    assert masked({"phone": '00000"<EMAIL>'}) == {"phone": "<PHONE><EMAIL>"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jane Roe+49 151 12345678", "<PERSON><PHONE>"),
        ("田中太郎+49 151 12345678", "<PERSON><PHONE>"),
        ("AKIAIOSFODNN7EXAMPLE" * 2, "<AWS_KEY>"),
    ],
)
def test_what_touches_a_masked_neighbour_is_looked_at_again(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_a_mac_address_of_digits_alone_is_one_unless_it_reads_as_a_date_and_time() -> None:
    assert masked({"devices": ["00-83-15-04-02-91"]}) == {"devices": ["<MAC>"]}
    assert masked("log 26-11-25-21-58-03 rotated") == "log 26-11-25-21-58-03 rotated"
    assert masked("log 25_11_26_21_58_03 rotated") == "log 25_11_26_21_58_03 rotated"
