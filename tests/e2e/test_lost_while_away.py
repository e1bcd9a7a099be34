"""What was lost while actod was not there stands in its ledger, after a kill as well; what it has is not called lost."""

from __future__ import annotations

import json
from collections import Counter

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from hil.oracle import events
from hil.rig import Rig, wait_for


def publish(rig: Rig, topic: str, numbers: range, *, qos: int, retain: bool = False) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", rig.broker.port)
    client.loop_start()
    for number in numbers:
        client.publish(topic, json.dumps({"headerId": number}), qos=qos, retain=retain).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def held(rig: Rig, topic: str) -> list[int]:
    return [event["data"].get("headerId", -1) for event, _ in events(rig.envelopes()) if event["topic"] == topic]


def counted(rig: Rig) -> Counter[str]:
    counts: Counter[str] = Counter()
    for envelope in rig.envelopes():
        actod = envelope["payload"]["meta"]["actod"]
        counts.update({line["reason"]: line["count"] for line in actod["loss"]})
        counts.update(
            {rule: n for route in actod["sampled"].values() for kind in route.values() for rule, n in kind.items()}
        )
    return counts


def test_gaps_and_the_brokers_drops_of_the_time_between_two_runs_are_counted_once(rig: Rig) -> None:
    state, other = "uagv/v2/acme/amr-7/state", "site/queue"
    rig.broker.stop()
    rig.broker.settings = "sys_interval 1\nmax_queued_messages 30"
    rig.broker.start()
    publish(rig, "site/kept", range(1, 2), qos=1, retain=True)
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, state, range(1, 6), qos=0)
    wait_for(lambda: len(held(rig, state)) == 5 and held(rig, "site/kept"), what="the first messages at the collector")
    rig.actod.kill()
    publish(rig, state, range(6, 10), qos=0)
    publish(rig, other, range(100), qos=1)
    rig.actod.start()
    wait_for(lambda: len(set(held(rig, other))) == 30, what="what the broker had kept")
    publish(rig, state, range(10, 12), qos=0)
    wait_for(lambda: set(held(rig, state)) >= {10, 11} and counted(rig)["broker_dropped"], what="the ledger")
    lost_before = counted(rig)
    assert lost_before["sender_gap"] == 4
    assert lost_before["broker_dropped"] >= 70

    rig.actod.kill()
    rig.broker.restart()  # without persistence: the session is gone, and the retained message has to be published again
    publish(rig, "site/kept", range(1, 2), qos=1, retain=True)
    rig.actod.start()
    wait_for(lambda: "session_lost" in counted(rig) or publish(rig, state, range(11, 12), qos=0), what="the lost session")
    wait_for(lambda: counted(rig)["retained"] == 1, what="the retained message that is known")
    assert rig.actod.stop() == 0
    assert held(rig, "site/kept") == [1]
    assert counted(rig)["sender_gap"] == 4
    assert counted(rig)["session_lost"] == 1
