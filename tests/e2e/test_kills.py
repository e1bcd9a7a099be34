"""The promise under SIGKILL: what was acknowledged is at the collector, in whole chains, and a repeat is marked."""

from __future__ import annotations

import random
from pathlib import Path

from hil import lane, soak
from hil.oracle import events, judge
from hil.rig import Rig, build, wait_for


def test_nothing_acknowledged_is_lost_over_ten_kills_and_a_collector_that_fails_a_third_of_its_requests(
    tmp_path: Path,
) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    with build(tmp_path / "rig", settings=lane.SETTINGS) as rig:
        account = lane.run(rig, kills=10, seed=seed)
    assert account["problems"] == [], f"seed {seed}"
    assert account["acknowledged"] >= 10 * lane.BETWEEN
    assert account["bundles"] > 0
    assert account["failed_requests"] > 0


def test_a_message_whose_acknowledgement_was_lost_comes_again_and_is_marked_as_a_repeat(rig: Rig) -> None:
    rig.actod.start()
    wait_for(rig.witness.subscribed, what="the subscription")
    rig.witness.swallow_pubacks = True
    publisher = soak.Publisher(port=rig.broker.port, messages=15, per_second=1000)
    publisher.start()
    publisher.join(30)

    def held() -> list[int]:
        return [soak.number(event["topic"], event["data"]) or 0 for event, _ in events(rig.envelopes())]

    wait_for(lambda: sorted(held()) == list(range(15)), what="the first copies at the collector")
    rig.actod.kill()
    rig.witness.swallow_pubacks = False
    rig.actod.start()
    wait_for(lambda: len(held()) == 30, what="the second copies at the collector")
    assert rig.actod.stop() == 0
    verdict = judge(rig, number=soak.number, published=range(15))
    assert verdict.problems() == []
    assert verdict.repeated == 15
    marks = [envelope["payload"]["meta"]["actod"]["marks"] for envelope in rig.envelopes()]
    assert sum(len(mark.get("redelivered", ())) for mark in marks) == 15
    assert not any("possible_duplicate" in mark for mark in marks)
