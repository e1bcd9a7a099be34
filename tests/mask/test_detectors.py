"""One table for each family of detectors: what it must find under a key that tells nothing, and what it must leave alone."""

from __future__ import annotations

import json

import pytest

from actod.mask import checksums
from tests.mask.parts import masked, masker

FOUND: dict[str, list[tuple[str, str]]] = {
    "contact": [
        ("email", "login ok for jo.doe+amr@mail.example.co.uk"),
        ("email", "jürgen@bücher.example"),
        ("email", "write to jo dot doe at example dot org"),
        ("email", "jo.doe [at] example [dot] org"),
        ("email", "\uff1cjo.doe\uff20example\uff0eorg\uff1e"),
        ("phone", "+4915112345678"),
        ("phone", "+1 (206) 555-0134"),
        ("phone", "0044 20 7946 0958"),
        ("phone", "(206) 555-0134"),
        ("phone", "06.84.36.39.03"),
        ("phone", "030/12345678"),
        ("phone", "090-1234-5678"),
        ("phone", "reach maintenance at 222 617 890 after six"),
        ("number", "min kod: noll sju noll ett två tre fyra"),
        ("number", "l'autre code est zéro six douze, non: zéro un deux trois quatre"),
        ("phone", "plus four nine one five one one two three four five six seven eight"),
    ],
    "financial": [
        ("card", "4111 1111 1111 1111"),
        ("card", "4111-1111-1111-1111"),
        ("card", "378282246310005"),
        ("card", "3782 822463 10005"),
        ("card", "card_5555555555554444_ok"),
        ("card", "٤١١١١١١١١١١١١١١١"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "GB29NWBK60161331926819"),
        ("iban", "CH93 0076 2011 6238 5295 7 please"),
        ("iban", "de89370400440532013000"),
        ("iban", "SN12 DE89370400440532013000"),
    ],
    "national": [
        ("us_ssn", "SSN 123-45-6789 on the form"),
        ("us_ssn", "seen 123-45-6789 again"),
        ("us_ssn", "ssn=1 2 3 - 4 5 - 6 7 8 9"),
        ("uk_nino", "AB 12 34 56 C"),
        ("de_steuerid", "86 095 742 719"),
        ("fr_nir", "1 85 05 78 006 084 91"),
        ("es_dni", "12345678Z"),
        ("es_dni", "X1234567L"),
        ("it_cf", "RSSMRA85T10A562S"),
        ("nl_bsn", "BSN 111222333"),
        ("nl_bsn", "burgerservicenr. 111222333"),
        ("pl_pesel", "PESEL 44051401359"),
        ("br_cpf", "529.982.247-25"),
        ("in_aadhaar", "2345 6789 0124"),
        ("passport", "passport no. C01X00T47"),
        ("passport", "Reisepass FKGT0CZMH"),
        ("dob", "born on 12 March 1980"),
        ("dob", "geboren am 12.03.1980"),
        ("plate", "license plate B-AB 1234 blocks the ramp"),
        ("plate", "LKW CE-996-TM Kennzeichen gelesen"),
    ],
    "network": [
        ("mac", "a4:c3:f0:85:ac:2d"),
        ("mac", "A4-C3-F0-85-AC-2D"),
        ("mac", "a4c3.f085.ac2d"),
        ("mac", "ap_a4:c3:f0:85:ac:2d"),
        ("ipv4", "lost connection to 10.11.12.13:1883"),
        ("ipv4", "raw=172.30.53.76"),
        ("ipv6", "dial tcp [2001:db8:1::8a2e:370:7334]:8883: timeout"),
        ("ipv6", "fe80::1ff:fe23:4567:890a%eth0"),
    ],
    "location": [
        ("gps", "at 52.520008, 13.404954 waiting"),
        ("gps", "lat=52.520008 lon=13.404954"),
        ("gps", "52°31'12.0\"N 13°24'17.8\"E"),
        ("gps", "$GPGGA,123519,4807.038,N,01131.000,E,1"),
        ("gps", "8FVC9G8F+6X"),
        ("address", "deliver the parcel to 12 Baker Street, London"),
        ("address", "Bert-Mans-Straße 9958, 30517 Donaueschingen"),
        ("address", "12 rue de la Paix, 75002 Paris"),
        ("address", "Calle Mayor 5, 28013 Madrid"),
        ("address", "ship to Tuškanac 5c/5, 79630 Hvar"),
        ("address", "4 Station Road, Leeds"),
        ("address", "Hubertusweg 12"),
        ("address", "customer lives at Kamenárska 366"),
        ("address", "東京都千代田区丸の内1-9-1"),
    ],
    "secrets": [
        ("aws_key", "AKIAIOSFODNN7EXAMPLE"),
        ("aws_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("git_token", "ghp_" + "a1B2" * 9),
        ("payment_key", "sk_" + "live_" + "a1B2c3D4e5F6"),
        ("model_key", "sk-proj-" + "a1B2" * 8),
        ("chat_token", "xoxb-123456789012-123456789012-" + "a1B2" * 6),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlMTIzNDU2"),
        ("private_key", "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA and then it was cut"),
        ("bearer", "Authorization: Bearer Zx81kQ2mmP0yT7bb"),
        ("connection_string", "postgresql://telemetry:hunter22x@db.internal:5432/runs"),
        ("connection_string", "AccountName=x;AccountKey=GDRRExfloWN;EndpointSuffix=core.windows.net"),
        ("url_credential", "rtsp://admin:hunter22x@camera-2.local:554/stream1"),
        ("url_credential", "https://x.example/cb?sig=8UsW8pD0Q6qaWE7UjYq&e=1"),
        ("wifi_key", 'psk="Blue7kqz!901"'),
        ("password", "export DB_PASS=guMumxPUBwoJ"),
        ("password", "client_secret=guMumxPUBwoJ8"),
        ("secret", "https://maps.example/t?z=14&access_token=haMhpfqtfZuIr0RG"),
        ("secret", "hmac_key: /PW5/nfHAGZce/Xjf49g89TGGT6oRbmJ"),
        ("acto_key", "acto_" + "a1B2" * 8),
    ],
    "person": [
        ("person", "Jane Roe pressed the e-stop near rack B"),
        ("person", "spoke with Thomas Müller about the pallet"),
        ("person", "Operator Philippe Meister took manual control"),
        ("person", "Operator Floris West-Francië took manual control"),
        ("person", "Herr Weber hat übernommen"),
        ("person", "thanks, Priya"),
        ("person", "replaced by \u0932\u0932\u093f\u0924 \u0926\u093e\u0938 (maintenance)"),
        ("person", "田中 太郎 pressed stop"),
        ("person", "佐藤さん"),
    ],
}

KEPT: dict[str, list[str]] = {
    "contact": [
        "order 4711004712",
        "encoder ticks 12345678901",
        "part 123-45-678 replaced",
        "2026-03-01 12:00:01",
        "01-02-2026 12 pallets",
        "Lot L762061 from order 004951762703 staged at A-12-043",
        "user@host without a domain",
        "meet at dock 4 @ 18:00",
        "@type",
        "tx 1234567890123 bytes",
    ],
    "financial": [
        "4111111111111112",
        "counter 1789178917891789 frames",
        "serial RB123AB45678",
        "AB12CD34EF56GH78IJ90",
        "goal ab23a229-562d-45b6-ae94-ebeb819b593d accepted",
        "0.4111111111111111",
        "638997011012345678",
    ],
    "national": [
        "order 123456789 done",
        "ticks 44051401359",
        "lot 12345678",
        "001-23-456 replaced",
        "2026-03-01",
        "passport control is closed",
        "plate thickness 12.5 mm",
        "firmware 4.12.10",
    ],
    "network": [
        "firmware 2.27.91.2 installed",
        "v1.2.3.4",
        "sw version 10.2.0.1",
        "12:34:56.789",
        "std::vector::push_back",
        "crc de:ad:be:ef",
        "commit f413d748e730a81e0a37944ab0cbf0d6a30732e8 loaded",
        "127.0.0.1",
        "0.0.0.0:8080 listening",
        "::1",
    ],
    "location": [
        "moved to x=12.3456 y=-3.4567 theta=0.12345",
        "pose 12.3456 -3.4567 0.123456",
        "robot at (x=12.3456, y=-8.1234)",
        "goal reached in 3.958s at Docking Station 4",
        "deliver pallet 7 to Station 12",
        "drop off at Dock 3, Zone B",
        "loss=0.12345 lr=0.000123",
        "temp 52.5201 C",
        "waypoints 1.2345,2.3456 3.4567,4.5678",
        "Line 4 Station 12, 3 parts missing",
        "12 Packing Station",
        "Montageplatz 12 frei, Lagerplatz 12-03-04 leer",
    ],
    "secrets": [
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "7f9c0d6e-1111-4222-a333-444455556666",
        "token_count: 1200",
        "key: value",
        "token expired",
        "password changed",
        "the secret area is closed",
        "sk_test",
        "https://h.example/list?sort_key=name&page=2",
        "key=/etc/ssl/private/robot.key",
        "-----BEGIN CERTIFICATE-----",
        "monkey=banana",
    ],
    "person": [
        "Emergency Stop released by hand in Zone B",
        "Battery Management System OK",
        "Planner Server took 120 ms",
        "Docking Station 4 reached",
        "Nav2 BT Navigator: goal accepted",
        "Operator Panel is locked",
        "Node Manager: lifecycle transition from Unconfigured to Inactive",
        "Driver Assistance Enabled",
        "Station Hamburg S\u00fcd erreicht",
        "Safety Scanner Rear triggered Protective Field 2",
        "Palette 123456789 auf Platz 12-03-04 abgestellt",
        "Data Source=db",
        "robot stop please",
        "MOTOR_OVERTEMP",
    ],
}


@pytest.mark.parametrize(("type_", "text"), [case for family in FOUND.values() for case in family])
def test_a_detector_finds_what_it_is_for(type_: str, text: str) -> None:
    result, _, counts = masker().mask_value({"note": text})
    assert type_ in counts
    assert result["note"] != text


@pytest.mark.parametrize("text", [text for family in KEPT.values() for text in family])
def test_a_detector_leaves_alone_what_only_looks_like_it(text: str) -> None:
    assert masked({"note": text, "lines": [text]}) == {"note": text, "lines": [text]}


@pytest.mark.parametrize(
    ("text", "core"),
    [
        ("Peter Schmidt hat den Not-Aus gedrückt", "Schmidt"),
        ("robot hit by forklift driven by Marta Kowalska", "Kowalska"),
        ("per O'Brien, Sean: reset done", "Brien"),
        ("contact: María José Fernández Gómez", "Fern"),
        ("Müller, Hans (Schicht B)", "ller"),
        ("Hr. Dr. Becker informiert", "Becker"),
        ("operator=jsmith", "jsmith"),
        ("user jsmith logged in", "jsmith"),
        ("signed J. Doe", "Doe"),
        ("Signed off by A. Kowalski", "Kowalski"),
        ('chat: "hi, this is Ahmed from maintenance"', "Ahmed"),
        ("王小明 pressed the button", "王小明"),
        ("my number's 0151 23456789", "23456789"),
        ("+44 (0)20 7946 0958", "7946"),
        ("tel 555-0134", "0134"),
        ("001 206 555 0134", "555"),
        ("Mobil: 0151/23456789", "23456789"),
        ("phone=(0)151 234567", "234567"),
        ("Call 1-800-555-0199 now", "0199"),
        ("+86 138 0013 8000", "0013"),
        ("+7 (912) 345-67-89", "345"),
        ("+971 50 123 4567", "4567"),
        ("email: jo.doe(at)example.org", "doe"),
        ("jo.doe@localhost.localdomain", "doe"),
        ('"Jo Doe" <jo.doe@example.org>', "doe"),
        ("mailto:jo%40example.org", "jo%40"),
        ("card 4111-1111-1111-1111 exp 12/27 cvv 123", "1111"),
        ("amex 3782-822463-10005", "822463"),
        ("4111.1111.1111.1111", "1111"),
        ("IBAN:DE89370400440532013000", "370400"),
        ("iban=gb29 nwbk 6016 1331 9268 19", "6016"),
        ("ssn 123456789", "456789"),
        ("SSN: 123.45.6789", "6789"),
        ("CPF 52998224725", "998224"),
        ("NIE X1234567L", "1234567"),
        ("passport A12345678", "2345678"),
        ("Führerschein B072RRE2I55", "072RRE"),
        ("DOB 03/12/80", "12/80"),
        ("born 12-Mar-1980", "1980"),
        ("geb. 12.3.80", "3.80"),
        ("kennzeichen: M-XY 1234", "1234"),
        ("plate: 1ABC234", "ABC234"),
        ("VIN WVWZZZ1JZXW000001", "1JZXW"),
        ("password is Tr0ub4dor&3", "Tr0ub"),
        ("pw: hunter2!", "hunter2"),
        ("passwd=letmein", "letmein"),
        ("PASS=S3cr3t!!", "S3cr3t"),
        ("export TOKEN=abc123def456ghi789", "abc123"),
        ("x-api-key: 9f86d081884c7d65", "9f86d0"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjp"),
        ("curl -u admin:hunter22 https://h.example", "hunter22"),
        ("sshpass -p hunter22 ssh robot@host", "hunter22"),
        ("mysql -uroot -phunter22", "hunter22"),
        ("--password hunter22x", "hunter22x"),
        ("--token=ghx_1234567890abcdef", "1234567890"),
        ("hf_abcdefghijklmnopqrstuvwxyzABCD", "abcdefgh"),
        ("npm_abcdefghijklmnopqrstuvwxyz0123456789", "abcdefgh"),
        ("SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "abcdefgh"),
        ("https://user:p%40ss@h.example/", "p%40ss"),
        ("redis://:s3cr3tpw@cache:6379/0", "s3cr3tpw"),
        ('wpa_supplicant: network={ssid="WH" psk="s3cr3tpw9"}', "s3cr3tpw9"),
        ("wifi pass: s3cr3tpw9", "s3cr3tpw9"),
        ("mac=a4c3f085ac2d", "f085"),
        ("BSSID: A4:C3:F0:85:AC:2D,", "F0:85"),
        ("bluetooth a4_c3_f0_85_ac_2d", "f0_85"),
        ("192.168.001.014", "001.014"),
        ("host 203.0.113.7 is down", "113.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fd00::1:2:3", "fd00::1"),
        ("gps: 52.5200,13.4050", "5200"),
        ("lat 52.520008 long 13.404954", "520008"),
        ("https://maps.google.com/?q=52.520008,13.404954", "520008"),
        ("geo:52.520008,13.404954", "520008"),
        ("N 52° 31.200 E 013° 24.300", "31.200"),
        ("33U 389880 5820200", "389880"),
        ("Hauptstr. 5, 10115 Berlin", "Hauptstr"),
        ("5 Rue Victor Hugo, 69002 Lyon", "Victor"),
        ("Via Roma 12, 20121 Milano", "Roma"),
        ("ul. Marszałkowska 10/12, 00-590 Warszawa", "Marsza"),
        ("Rua Augusta 1500, São Paulo", "Augusta"),
        ("Damrak 1, 1012 LG Amsterdam", "Damrak"),
        ("1600 Pennsylvania Ave NW, Washington, DC 20500", "Pennsylvania"),
        ("Flat 3, 12 High St, London SW1A 1AA", "High St"),
        ("221B Baker Street", "Baker"),
        ("PO Box 1234, Springfield", "1234"),
        ("badge 00471123 denied", "00471123"),
        ("employee no. 4711234", "4711234"),
        ("badge=04:A3:2B:1C:5D:80", "2B:1C"),
    ],
)
def test_what_people_and_programs_write_is_found(text: str, core: str) -> None:
    assert core in text
    assert core not in masked({"note": text})["note"]


FIELDS_FOUND = [
    ("email", "jo@example.org"),
    ("phoneNumber", "5550134"),
    ("card_number", "4111 1111 1111 1112"),
    ("iban", "DE00 1234 5678 9012"),
    ("ssn", "123 45 6780"),
    ("national_insurance", "ab123456c"),
    ("cpf_cliente", "52998224700"),
    ("numero_securite_sociale", "256090686489505"),
    ("client_ip", "8.8.4.4"),
    ("bssid", "a4 c3 f0 85 ac 2d"),
    ("operator_name", "Ximena"),
    ("user", "jdoe"),
    ("assigned_to", "Wiśniewska Ewa"),
    ("customerName", "Δημήτρης"),
    ("driver", "Ximena Q."),
    ("operator_name", "\u092a\u094d\u0930\u0924\u093f\u092e\u093e \u0905\u0930\u094b\u0930\u093e"),
    ("operator_name", "\u0e2a\u0e21\u0e0a\u0e32\u0e22 \u0e43\u0e08\u0e14\u0e35"),
    ("delivery_address", "Hinterhaus, 3. Stock"),
    ("date_of_birth", "1980-03-12"),
    ("passport_no", "FYPPRPR6K"),
    ("travelDocument", "HPYGXVHFG"),
    ("license_plate", "B AB 123"),
    ("badge_id", "E-12345"),
    ("mqtt_password", "correct horse"),
    ("wifi_pass", "hunter22"),
    ("apiKey", "a8f5f167f44f4964e6c998dee827110c"),
    ("session_token", "Zx81kQ2mmP0y"),
    ("lat", "52.520008"),
    ("voiceprint", "AAECAwQF"),
]
FIELDS_KEPT = [
    ("phone", "none"),
    ("operator", "AUTO"),
    ("operator_note", "order 3049722508 finished in 312 s"),
    ("operator_panel", "P4-07"),
    ("driver", "nvidia"),
    ("client", "mosquitto"),
    ("driver_version", "535.104.05"),
    ("token", "bearer"),
    ("token_count", "120000"),
    ("key", "value"),
    ("primary_key", "a8f5f167f44f4964e6c998dee827110c"),
    ("key_file", "/etc/ssl/private/robot.key"),
    ("private_key", "pkcs11:token=robot"),
    ("password", "********"),
    ("password_attempts", "3"),
    ("first_pass", "ok"),
    ("card_reader", "RDR-0044812"),
    ("user_agent", "curl/8.4.0"),
    ("ip_version", "4"),
    ("mac_errors", "1234567"),
    ("address", "0x7ffe12345678"),
    ("address", "40001"),
    ("plate_thickness", "12.5"),
    ("birth_rate", "12"),
    ("latency", "52.520008"),
    ("person_detected", "true"),
    ("name", "joint_3"),
]


@pytest.mark.parametrize(("key", "text"), FIELDS_FOUND)
def test_a_telling_key_convicts_a_value_of_fitting_shape(key: str, text: str) -> None:
    assert text not in json.dumps(masked({key: text}), ensure_ascii=False)
    assert text not in json.dumps(masked({"a": [{"b": {key: [text]}}]}), ensure_ascii=False)


@pytest.mark.parametrize(("key", "text"), FIELDS_KEPT)
def test_a_telling_key_alone_convicts_nothing(key: str, text: str) -> None:
    assert masked({key: text}) == {key: text}


@pytest.mark.parametrize(
    "text",
    [
        "id=5&contactNumber=%2B49+89+927+9735&ok=1",
        "id: 5\nphone: 927 9735\nok: true\n",
        "<msg><id>5</id><phone>927 9735</phone></msg>",
        'id="5" phone="927 9735" ok="true"',
        "id,phone,ok\n5,927 9735,true",
        "id;phone;ok\n5;927 9735;true",
        '{"id": 5, "phone": "927 9735"}',
        "{'id': 5, 'phone': '927 9735'}",
        "GET /lookup?owner=https://h.example/?phone=9279735&page=1",
        "--phone 927-9735 --verbose",
    ],
)
def test_a_key_tells_inside_text_too(text: str) -> None:
    result = str(masked({"raw": text}))
    assert "927" not in result
    assert "9735" not in result
    assert ("5" in result) == ("5" in text.replace("9735", ""))


def test_a_neighbour_that_names_the_kind_tells() -> None:
    assert masked({"key": "phone", "value": "5550134"}) == {"key": "phone", "value": "<PHONE>"}
    assert masked(["phone", "5550134", "robot", "AMR-7"]) == ["phone", "<PHONE>", "robot", "AMR-7"]


SEEN_BESIDE: list[tuple[object, object]] = [
    # a plain key beside or below a network's name
    ({"wifi": {"ssid": "plant-7", "key": "trainyard"}}, {"wifi": {"ssid": "plant-7", "key": "<WIFI_KEY>"}}),
    ({"essid": "plant-7", "key": "trainyard"}, {"essid": "plant-7", "key": "<WIFI_KEY>"}),
    ({"wifi": {"rssi": -50, "key": "main"}}, {"wifi": {"rssi": -50, "key": "main"}}),
    ({"key": "brightness", "ssid_hidden": True}, {"key": "brightness", "ssid_hidden": True}),
    # a date cut into its parts
    ({"birth": {"day": 12, "month": 3, "year": 1980}}, {"birth": {"day": 0, "month": 0, "year": 0}}),
    ({"geburt": {"tag": "12", "jahr": "1980"}}, {"geburt": {"tag": "<DOB>", "jahr": "<DOB>"}}),
    ({"birth_year": 1980, "birth_day": 12}, {"birth_year": 0, "birth_day": 0}),
    ({"start": {"day": 12, "month": 3, "year": 1980}}, {"start": {"day": 12, "month": 3, "year": 1980}}),
    ({"birth": {"verified": True, "count": 3}}, {"birth": {"verified": True, "count": 3}}),
    # no space between a word and its value
    ("\u5bc6\u7801\u662fBlue7kqz!901", "\u5bc6\u7801\u662f<PASSWORD>"),
    (
        "\u30d1\u30b9\u30ef\u30fc\u30c9\u306fhunter22\u3067\u3059",
        "\u30d1\u30b9\u30ef\u30fc\u30c9\u306f<PASSWORD>\u3067\u3059",
    ),
    ("\u7535\u8bdd13912345678", "\u7535\u8bdd<PHONE>"),
    # who, and with what
    ("login admin/hunter22x ok", "login admin/<PASSWORD> ok"),
    ("login screen/page2 ok", "login screen/page2 ok"),
    ("ack: Jansen", "ack: <PERSON>"),
    ("ack: Pending", "ack: Pending"),
    ({"ack": "Received"}, {"ack": "Received"}),
    # a time in front of a value is none
    ("09:16:17.692Z ERROR anpr read \\u0038T2", "09:16:17.692Z ERROR anpr read \\u0038T2"),
]


@pytest.mark.parametrize(("value", "expected"), SEEN_BESIDE, ids=[str(value) for value, _ in SEEN_BESIDE])
def test_what_stands_around_a_value_tells(value: object, expected: object) -> None:
    assert masked(value) == expected


CHECKS = [
    (checksums.luhn, "4111111111111111", "4111111111111112"),
    (checksums.mod97, "DE89370400440532013000", "DE88370400440532013000"),
    (checksums.verhoeff, "234567890124", "234567890125"),
    (checksums.steuerid, "86095742719", "86095742718"),
    (checksums.cpf, "52998224725", "52998224724"),
    (checksums.nir, "185057800608491", "185057800608492"),
    (checksums.dni, "12345678Z", "12345678A"),
    (checksums.pesel, "44051401359", "44051401358"),
    (checksums.bsn, "111222333", "111222334"),
    (checksums.codice_fiscale, "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
]


@pytest.mark.parametrize(("check", "right", "wrong"), CHECKS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_check_digit_tells_right_from_wrong(check: object, right: str, wrong: str) -> None:
    assert callable(check)
    assert check(right)
    assert not check(wrong)


@pytest.mark.parametrize(("check", "right", "_wrong"), CHECKS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_check_digit_catches_every_single_mistake_in_a_digit(check: object, right: str, _wrong: str) -> None:
    assert callable(check)
    for index, char in enumerate(right):
        if char.isdigit():
            passing = [d for d in "0123456789" if check(right[:index] + d + right[index + 1 :])]
            assert char in passing
            assert len(passing) <= 2, index  # the eleven test and some letters let a second one pass


def test_secrets_only_masks_secrets_alone() -> None:
    message = {
        "operator": "Jane Roe",
        "mail": ["jo@example.org"],
        "phone": 4915112345678,
        "mac": [164, 195, 240, 133, 172, 45],
        "value": 4111111111111111,
        "api_key": "a8f5f167f44f4964e6c998dee827110c",
        "password": 12345678,
    }
    assert masked(message, profile="secrets-only") == {**message, "api_key": "<SECRET>", "password": 0}
