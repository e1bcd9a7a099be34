"""Malformed, huge, deep and lying messages: counted, audited, never a stop, never memory beyond the limit."""

from __future__ import annotations

import json
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.oracle import events
from hil.rig import Rig, wait_for

HOSTILE = {
    "not_json": b'{"n": 1, "broken": ',
    "nan": b'{"n": 2, "v": NaN}',
    "duplicate_key": b'{"n": 3, "a": 1, "\\u0061": 2}',
    "lone_surrogate": b'{"n": 4, "s": "\\ud800"}',
    "float_too_large": b'{"n": 5, "v": 1e16}',
    "integer_range": b'{"n": 6, "v": 18446744073709551616}',
    "too_deep": b'{"n": 7, "v": ' + b"[" * 200 + b"]" * 200 + b"}",
    "not_utf8": b'{"n": 8, "s": "\xff\xfe"}',
}


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def publish(rig: Rig, messages: list[bytes]) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="hostile", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", rig.broker.port)
    client.loop_start()
    for message in messages:
        client.publish("robot/1/hostile", message, qos=1).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def ledger(rig: Rig) -> dict[str, int]:
    found: dict[str, int] = {}
    for envelope in rig.envelopes():
        for line in envelope["payload"]["meta"]["actod"]["loss"]:
            found[line["reason"]] = found.get(line["reason"], 0) + line["count"]
    return found


def test_hostile_messages_are_counted_and_audited_and_what_follows_them_arrives(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, [b'{"n": 100}'])
    wait_for(lambda: rig.witness.count_pubacks() >= 1, what="the first acknowledgement")
    before = resident_bytes(rig.actod.pid())
    huge = b'{"n": 9, "blob": "' + b"x" * 60_000_000 + b'"}'
    publish(rig, [*HOSTILE.values(), huge, b'{"n": 101}'])

    def arrived() -> bool:
        return 101 in {event["data"].get("n") for event, _ in events(rig.envelopes())}

    wait_for(arrived, seconds=60, what="the message behind the hostile ones")
    refused = {*HOSTILE, "too_large"}
    wait_for(lambda: refused <= set(ledger(rig)), what="the ledger")
    assert {reason: ledger(rig)[reason] for reason in refused} == dict.fromkeys(refused, 1)
    assert resident_bytes(rig.actod.pid()) - before < 24 * 2**20
    log = (rig.state / "audit").glob("audit*.jsonl")
    audited = {json.loads(line).get("reason") for file in log for line in file.read_text(encoding="utf-8").splitlines()}
    assert refused <= audited
    assert rig.actod.stop() == 0
