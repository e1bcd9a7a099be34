"""The account: what the broker handed over, counted at the socket, is sealed, thinned, dropped, refused or still queued."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from actod.store.inspection import inspect
from actod.store.schema import OUTBOX
from actod.store.status import SpoolStatus
from hil.oracle import events
from hil.rig import Rig, build, wait_for

SETTINGS = """requests_per_second = 1000
backoff_min_seconds = 0.05
backoff_max_seconds = 0.2

[seal]
max_age_seconds = 0.3

[intake]
commit_interval_ms = 50
largest_payload_bytes = 2048
robot_limit = { per_hour = 700 }
"""
ROUTES = """
[[routes]]
name = "limited"
topic = "limited/#"
traffic_class = "bulk"
limit = { per_hour = 40, per_second = 100 }

[[routes]]
name = "stops"
topic = "stops/#"
traffic_class = "intervention"
limit = { per_hour = 40 }

[[routes]]
name = "paced"
topic = "paced/#"
max_hz = 0.001

[[routes]]
name = "changes"
topic = "changes/#"
on_change = ["/v"]

[[routes]]
name = "banded"
topic = "banded/#"
deadband = { "/v" = 3.0 }
limit = { per_hour = 10 }

[[routes]]
name = "sealed"
topic = "sealed/#"
digest = true

[[routes]]
name = "one-way"
topic = "cross/+"

[[routes]]
name = "other-way"
topic = "+/cross"
qos = 0
"""
TOPICS = ("limited/a", "stops/a", "paced/a", "changes/a", "banded/a", "sealed/a", "cross/x", "x/cross", "cross/cross")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with build(tmp_path / "rig", settings=SETTINGS, routes=ROUTES) as built:
        yield built


def publish(rig: Rig, first: int, end: int) -> None:
    """Publish to all topics, each third message at QoS 0, and some that no mask ever sees."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="", protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", rig.broker.port)
    client.loop_start()
    infos = []
    for number in range(first, end):
        body = json.dumps({"n": number, "v": number // 4})
        infos += [client.publish(topic, body, qos=number % 3 != 0) for topic in TOPICS]
        infos.append(client.publish("sealed/bad", b'{"n": NaN}', qos=1))
        infos.append(client.publish("stops/big", b"x" * 3000, qos=number % 2))
    for info in infos:
        info.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def outbox(rig: Rig) -> list[dict[str, Any]]:
    """Return the envelopes that wait for the collector."""
    with inspect(rig.state) as inspection:
        return [json.loads(inspection.envelope(row) or b"") for row in inspection.bundles(OUTBOX, limit=10_000)]


def status(rig: Rig) -> SpoolStatus:
    with inspect(rig.state) as inspection:
        return inspection.status(wall_ns=time.time_ns())


def sealed(envelopes: Iterable[dict[str, Any]]) -> tuple[int, int, Counter[tuple[str, str, str]]]:
    """Return (events, those that are marked as repeats, what ledger and `sampled` count by reason, class and route)."""
    envelopes = list(envelopes)
    found = list(events(envelopes))
    counts: Counter[tuple[str, str, str]] = Counter()
    for envelope in envelopes:
        actod = envelope["payload"]["meta"]["actod"]
        counts.update({(line["reason"], line["class"], line["route"]): line["count"] for line in actod["loss"]})
        for route, classes in actod["sampled"].items():
            for kind, rules in classes.items():
                counts.update({(f"sampled:{rule}", kind, route): count for rule, count in rules.items()})
    return len(found), sum(marked for _, marked in found), counts


def received(rig: Rig) -> tuple[int, int]:
    """Return (messages that reached actod's socket, those of them that the broker marked as sent again)."""
    packets = [seen for seen in list(rig.witness.seen) if seen.kind == "publish" and not seen.topic.startswith("$SYS")]
    return len(packets), sum(packet.duplicate for packet in packets)


def accounted(rig: Rig) -> int:
    """Return for how many messages there is an account: at the collector, in the queue, or pending in the ledger."""
    gone, kept = sealed(rig.envelopes()), sealed(outbox(rig))
    pending = Counter({(reason, "", ""): count for reason, count in status(rig).losses_pending.items()})
    left_out = gone[2] + kept[2] + pending
    return gone[0] + kept[0] + sum(count for key, count in left_out.items() if key[0] != "sampled:digest")


def settle(rig: Rig) -> None:
    """Wait until all that came is sealed: at a stop, QoS 0 that is still in a socket's buffer is lost, and rightly so."""
    wait_for(lambda: status(rig).journal_messages == 0, what="an empty journal")
    wait_for(lambda: accounted(rig) == received(rig)[0], what="the account to come out even")


def test_every_message_at_the_socket_is_sealed_thinned_dropped_refused_or_queued_and_each_stands_in_the_ledger(
    rig: Rig,
) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    publish(rig, 0, 60)
    wait_for(lambda: len(list(events(rig.envelopes()))) > 100, what="bundles at the collector")
    settle(rig)
    rig.witness.swallow_pubacks = True
    publish(rig, 61, 62)  # acknowledged, and the broker does not learn of it: it sends them again
    settle(rig)
    assert rig.actod.stop() == 0
    rig.witness.swallow_pubacks = False

    rig.collector.set_faults([{"kind": "status", "status": 503}])
    rig.actod.start()  # the limits of the hour hold over the restart
    wait_for(lambda: received(rig)[1] > 0, what="what the broker sends again")
    publish(rig, 62, 120)
    settle(rig)
    assert rig.actod.stop() == 0
    assert accounted(rig) == received(rig)[0]
    assert len(outbox(rig)) > 0

    rig.collector.set_faults([])
    rig.actod.start()
    wait_for(lambda: not outbox(rig) and not status(rig).losses_pending, what="an empty queue")
    assert rig.actod.stop() == 0
    count, repeats, counts = sealed(rig.envelopes())
    total, again = received(rig)
    digests = counts.pop(("sampled:digest", "normal", "sealed"))
    assert count + counts.total() == total
    assert repeats <= again  # of those that came again, some are thinned or limited the second time
    assert 0 < again <= total // 20
    assert digests > 100
    check_by_class(counts)
    limited = [event for event, _ in events(rig.envelopes()) if event["topic"] == "limited/a"]
    assert 40 <= len(limited) < 60  # of the hour, over two runs; at 40 an hour a slow machine lets in one or two more


def check_by_class(counts: Counter[tuple[str, str, str]]) -> None:
    """Hold the counts to what the routes say."""
    let_in = {"limited": 40, "banded": 10}
    assert {key[0] for key in counts} == {
        *("rate_limited", "nan", "too_large"),
        *("sampled:max_hz", "sampled:on_change", "sampled:deadband", "sampled:overlap"),
    }
    assert counts["rate_limited", "bulk", "limited"] > 100 - let_in["limited"]
    assert 100 - 50 <= counts["rate_limited", "intervention", "stops"] < counts["rate_limited", "bulk", "limited"]
    assert counts["rate_limited", "normal", "banded"] > 0
    assert counts["sampled:max_hz", "normal", "paced"] >= 100
    assert counts["nan", "normal", "sealed"] >= 119
    assert counts["too_large", "intervention", "stops"] >= 119
    assert {key for key in counts if key[0] == "sampled:overlap"} <= {("sampled:overlap", "normal", "one-way")}
