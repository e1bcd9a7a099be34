"""What lets a mutator get deep: names that open doors, shapes that detectors know, and the layers that values hide in.

None of these is anybody's: the domains are reserved, the check digits are those of published examples.
"""

# ruff: noqa: SIM905 - a vocabulary reads as text
from __future__ import annotations

import base64
import gzip
import html
import json
import urllib.parse
import zlib
from collections.abc import Callable
from typing import Any

from tests.mask.test_properties import HOSTILE, PLANTED

TOPICS = (
    "uagv/v2/acme/amr-07/state",
    "uagv/v2/acme/amr-07/order",
    "uagv/v2/acme/amr-07/connection",
    "uagv/v2/acme/amr-07/visualization",
    "uagv/v2/acme/amr-07/instantActions",
    "uagv/v2/acme/amr-07/factsheet",
    "vda5050/v3/acme/amr-07/state",
    "vda5050/v3/acme/amr-07/order",
    "vda5050/v3/acme/amr-07/responses",
    "vda5050/v3/acme/amr-07/zoneSet",
    "vda5050/balanced/acme/amr-07/state",
    "log/amr-07/syslog",
    "robot/amr-07/events",
    "robot/jo.doe@example.org/phone/+49 151 12345678",
    "strict/amr-07/state",
    "strict/amr-07/order",
    "t/operator/jane.roe",
    "t/x",
)
KEYS = tuple(
    "headerId timestamp version manufacturer serialNumber orderId orderUpdateId lastNodeId lastNodeSequenceId "
    "nodeStates edgeStates nodeId edgeId sequenceId released nodePosition x y theta mapId agvPosition "
    "mobileRobotPosition positionInitialized velocity vx vy omega loads loadId loadType actionStates actionId "
    "actionType actionStatus resultDescription actionParameters key value batteryState powerSupply batteryCharge "
    "charging operatingMode errors errorType errorLevel errorReferences referenceKey referenceValue "
    "errorDescription errorHint errorDescriptionTranslations translationKey translationValue information infoType "
    "infoDescription infoLevel infoReferences safetyState eStop activeEmergencyStop fieldViolation "
    "connectionState nodes edges actions instantActions trajectory controlPoints knotVector degree corridor zones "
    "zoneSetId states type coordinates features phone email operator operator_name user name address lat lon "
    "latitude longitude gps dob passport plate vin badge iban card password token api_key secret psk "
    "authorization camera raw note msg text data task run id ts".split()
)
SCALARS: tuple[Any, ...] = (
    *("FINISHED", "FAILED", "RUNNING", "AUTOMATIC", "MANUAL", "TEACHIN", "CONNECTIONBROKEN", "CONNECTION_BROKEN", "ONLINE"),
    *("NONE", "AUTOACK", "Point", "LineString", "node-12", "order_2026_0017", "2.1.0", "2026-03-01T12:00:00.000Z"),
    *(None, True, False, 0, -1, 1, 255, 2**31, 2**32 - 1, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 4111111111111111),
    *(0.0, -0.0, 1.5, 52.520008, 13.404954, 1e-7, 5e-324, 9.999999999999998e15, 1e15, 1772366400, 1772366400000),
    *(86095742719, 1e16, float("nan"), float("inf"), 2**64, -(2**63) - 1),
    *([], {}, [[]], [{}], "", " "),
)
TEXTS = (
    *(value for _, value, _ in PLANTED),
    *HOSTILE.values(),
    *("https://jo:hunter22@example.org/a?token=aB1cD2eF3", "mysql -u root -phunter22", "user=jo.doe password='Blue 7kqz'"),
    *("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9.c2lnbmF0dXJlLXNpZw", "xoxb-1234567890-abcdefghij", "sk_live_" + "a1B2" * 6),
    *("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----", "BADGE-4711", "GB82 WEST 1234 5698 7654 32"),
    *("WVWZZZ1JZXW000001", "00:1B:44:11:3A:B7", "fe80::1%eth0", "8FVC9G8F+6X", "52°31'12\"N 13°24'18\"E"),
    *("plus four nine one five one one two three four five six seven", "jo dot doe at example dot org", "j o @ e x . o r g"),
    *(
        "田中太郎",
        "Иван Петров",
        "محمد علي",
        "१२३४५६७८९०",
        "\uff14\uff11\uff11\uff11",
        "jo\u200b.doe@example.org",
        "\u202e",
        "\0",
    ),
    *(
        "<EMAIL>",
        "<PHONE:1a2b3c4d5e6f>",
        "<CARD:2>",
        "<UNREADABLE>",
        "<IBAN",
        "%40",
        "&#64;",
        "\\u0040",
        "=3D=40",
        "H4sIAAAA",
    ),
    *(
        '{"a":1,"a":2}',
        '["phone","+49 151 12345678"]',
        '{"phone":"',
        "a: b\nc: d\n",
        "phone,mail\n1,2\n",
        "<phone>1</phone>",
    ),
    *(
        "driver: Jane Roe",
        "call me on 0151 12345678",
        "Jane Roe logged in",
        "12 Baker Street, London",
        "1980-03-12",
        "12.03.1980",
    ),
)
TOKENS = (
    *(
        b'{"',
        b'":',
        b'"}',
        b"[[",
        b"]]",
        b"{}",
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"1e400",
        b"-0",
        b"1E+2",
        b"18446744073709551616",
    ),
    *(
        b'"\\ud800"',
        b"\\u0000",
        b'\\"',
        b"\\\\",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x80\xa8",
    ),
    *(b"\x1e1robot/amr-07/events\n{}", b'"a":1,"\\u0061":2', b"\x1f\x8b\x08", b"\x78\x9c"),
    *(
        b"\x30\x07\x00\x03t/x\x00a",
        b"\x32\x09\x00\x03t/x\x00\x01\x00a",
        b"\x20\x03\x00\x00\x00",
        b"\x90\x04\x00\x01\x00\x01",
    ),
    *(b"\xe0\x00", b"\xd0\x00", b"\xff\xff\xff\x7f", b"\x80\x01", b"\x36\x09\x00\x03t/x\x00\x01\x00a", b"\x62\x02\x00\x01"),
    *(
        b"\x00\x00\x00\x05keys\n",
        b"\x00\x00\x00\x05ping\n",
        b"=sign_bundle " + b"a" * 64,
        b"sign_purpose actod:audit:v1\n",
        b"ok\n",
    ),
)
LAYERS: tuple[Callable[[str], str], ...] = (
    lambda text: base64.b64encode(text.encode("utf-8", "replace")).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode("utf-8", "replace")).decode().rstrip("="),
    lambda text: text.encode("utf-8", "replace").hex(),
    lambda text: base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode(),
    lambda text: base64.b64encode(zlib.compress(text.encode("utf-8", "replace"))).decode(),
    lambda text: base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)[:-5]).decode(),
    lambda text: urllib.parse.quote(text.encode("utf-8", "replace"), safe=""),
    html.escape,
    json.dumps,
    lambda text: json.dumps({"note": text}),
    lambda text: f"got {json.dumps([text])} from scanner",
    lambda text: "".join(f"&#{ord(char)};" for char in text[:200]),
    lambda text: "".join(f"\\u{ord(char):04x}" for char in text[:200] if ord(char) < 0x10000),
    lambda text: " ".join(text[:200]),
    lambda text: text[::-1],
    str.upper,
)
