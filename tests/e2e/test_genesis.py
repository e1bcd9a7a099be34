"""The first start may be cut anywhere: the chain still begins with its genesis."""

from __future__ import annotations

from hil.rig import Rig, wait_for
from tests.store.parts import HandClock, RememberedLog, open_store


def own_topics(rig: Rig) -> list[str]:
    device = [envelope for envelope in rig.envelopes() if envelope["payload"]["subject"]["robot_id"] is None]
    return [event["topic"] for envelope in device for event in envelope["payload"]["telemetry_normalized"]["events"]]


def test_a_kill_between_the_new_store_and_its_first_record_leaves_a_chain_that_begins_with_genesis(rig: Rig) -> None:
    open_store(rig.state, clock=HandClock(), log=RememberedLog()).close()
    for _ in range(2):
        rig.actod.start()
        before = len(own_topics(rig))
        wait_for(lambda seen=before: "actod/start" in own_topics(rig)[seen:], what="the record of the start")
        assert rig.actod.stop() == 0
    topics = own_topics(rig)
    assert topics[:2] == ["actod/genesis", "actod/start"]
    assert topics.count("actod/genesis") == 1
