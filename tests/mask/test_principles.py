"""What the masker goes by, each with words and values that no corpus of ours holds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mask.parts import masked

# A telling key, in any language and script, with endings, in compounds: any plausible value is its value.
TOLD: list[tuple[str, Any]] = [
    ("hranice_pasu_no", "38911203"),
    ("Reisepassnummern", "C01X00T47"),
    ("護照號碼パスポート番号", "TK1234567"),
    ("forgalmi_rendszáma", "ABC-123"),
    ("車牌号", "京A12345"),
    ("번호판", "123가4567"),
    ("номер_паспорта", "4510 123456"),
    ("telefonu", "501 222 333"),
    ("kundetelefonnummer", "22 33 44 55"),
    ("Geburtsdatum", "3. März 1971"),
    ("생일", "1971-03-04"),
    ("syntymaaika", "04031971"),
    ("hasłem", "kotek-1987"),
    ("gäste_wlan_passwort", "Kaffee-2041"),
    ("contraseñas", "sol y luna 77"),
    ("pesel_kierownika", 44051401359),
    ("telefon_brygadzisty", "601 222 333"),
    ("cpf_motorista_value", "529 982 247 25"),
    ("fødselsnr", "01017012345"),
    ("etunimi", "Aino"),
    ("vezetéknév", "Szalai"),
    ("이름", "박서준"),
    ("water_meter_reader_名前", "佐々木 蓮"),
    ("host_ip", "ip-10-3-44-9"),
    ("travel_document", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"),
]

# A unit, a count, a thing at the key's end: no such value.
MEASURED: list[tuple[str, Any]] = [
    ("mobile_battery_mAh", 52_000),
    ("phone_uptime_ms", 1_234_567),
    ("passphrase_age_days", 365),
    ("card_reader_retries", 20_000),
    ("plate_thickness_mm", "12.5 A"),
    ("secret_set", "yes"),
    ("pin_count", 4000),
    ("contactor", "K7 welded"),
    ("manufacturer", "Emil Bucher AG"),
    ("tillverkare", "Sven Larsson Verkstad"),
    ("märke", "Robert Bosch"),
    ("gripper_tool", "Allen 4mm"),
    ("charging_station", "Sankt Anna"),
    ("robot_name", "Berta"),
    ("next_node", "Viktoria"),
    ("firmware", "12.4.3.99"),
    ("fingerprint_sha1", "AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD"),
    ("checksum", "AA:BB:CC:DD:EE:FF:00:11"),
    ("sscc", "340123450000000017"),
    ("バッテリー残量", "45パーセント"),
    ("délka", 1.25),
]

SAID = [
    ("LPR camera 2: AB-12-CD entering", "AB-12-CD"),
    ("auto s SPZ 3SA 8812 stojí", "3SA 8812"),
    ("targa FG 551 LM in ingresso", "FG 551 LM"),
    ("車番 練馬 500 た 12-34", "12-34"),
    ("samochód nr rej. WPR 4455K", "WPR 4455K"),
    ("pas č. 38911203 předložen", "38911203"),
    ("scan P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<< ok", "ERIKSSON"),
    ("line 2 L898902C36UTO7408122F1204159ZE184226B<<<<<10", "L898902C3"),
    ("urodzona 5 maja 1977 r.", "5 maja 1977"),
    ("Authorization: ApiKey 5c9c05ab-4923-4502-9e04-6642c63d13a0", "5c9c05ab"),
    ("apikey: 9f86d081884c7d659a2feaa0c55ad015", "9f86d081"),
    ("ldap bind as robot pass=hunter2xx", "hunter2xx"),
    ("hasło do szafy: kotek1987", "kotek1987"),
    ("WIFI:S:Halle 7;T:WPA;P:S3cretCode;H:true;;", "S3cretCode"),
    ("J. Kowalczyk restarted AMR-4", "Kowalczyk"),
    ("MÜLLER Hans hat quittiert", "MÜLLER"),
    ("quittiert von BRANDT Thomas", "BRANDT"),
    ("paid with 4111  1111  1111  1111", "1111"),
    ("SSN#219-09-9999", "219-09"),
    ("ssn 219 / 09 / 9999", "9999"),
    ("NINO: ab.12.34.56.c", "12.34"),
    ("cf rssmra85t10a562s", "rssmra"),
    ("010.003.044.009 timed out", "010.003"),
    ("roamed to bssid 00 1a 2b 3c 4d 5e", "1a 2b"),
    ("Zuzana Dvořáková převzala směnu", "Zuzana"),  # accents set apart
]

KEPT = [
    "dock Frieda free",
    "Robot Helga waits at station Paul",
    "Fahrzeug Emma lädt an Ladestation Kurt",
    "greifer Schmalz FXCB montiert",
    "firmware 12.4.3.99-rc2 installed",
    "block checksum AA:BB:CC:DD:EE:FF:00:11 bad",
    "Palette 340123450000000017 geladen",
    "motor 312-555-0188 hot",
    "tag E0 04 01 23 45 67 89 AB read",
    "ロボット 3号機 充電中",
    "오류 발생: 모터 과열",
    "device 5d1bd9301342 reset",
    "geplant am 3. März 2024",
    "digest AA:BB:CC:DD:EE:FF:00:11:22:33:44:55",
    "tool=Robertson R2;station=Maria 3;fw=10.4.3.9",
    "trace=5c9c05ab-4923-4502-9e04-6642c63d13a0 ok",
    '{"contact": true, "phone_home": false, "order": "ZK-2025-58154"}',
]


@pytest.mark.parametrize(("key", "value"), TOLD)
def test_a_telling_key_makes_any_plausible_value_the_value(key: str, value: Any) -> None:
    assert masked({key: value})[key] != value
    assert list(masked({key: value})) == [key]


@pytest.mark.parametrize(("key", "value"), MEASURED)
def test_a_measure_or_a_thing_is_nobodys(key: str, value: Any) -> None:
    assert masked({key: value}) == {key: value}


@pytest.mark.parametrize(("text", "value"), SAID)
def test_a_telling_word_widens_the_forms(text: str, value: str) -> None:
    assert value in text
    assert value not in masked({"note": text})["note"]


@pytest.mark.parametrize("text", KEPT)
def test_what_things_are_called_stays(text: str) -> None:
    assert masked({"note": text}) == {"note": text}


@pytest.mark.parametrize(
    "message",
    [
        {"position": {"lla": [48.13715, 11.57612, 519.0]}},
        {"gnss": {"y": 48.137154, "x": 11.576124}},
        {"широта": 55.75583, "долгота": 37.61778},
        {"wgs84": {"délka": 14.42076, "šířka": 50.08804}},
    ],
)
def test_what_a_position_holds_is_a_position(message: dict[str, Any]) -> None:
    assert not set(map(str, _numbers(message))) & set(map(str, _numbers(masked(message)))) - {"519.0"}


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [x for member in value.values() for x in _numbers(member)]
    if isinstance(value, list):
        return [x for member in value for x in _numbers(member)]
    return [value]
