"""VDA 5050: tasks, interventions and gaps, for the older versions and for 3.0."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod.collect import vda5050
from actod.collect.vda5050 import Vda5050
from actod.errors import RejectedError
from actod.model import TrafficClass
from tests.collect.routing import VDA2, VDA3, deliver, make_router
from tests.robot.schemas import schema

NODE = {"nodeId": "n", "sequenceId": 0, "released": True}
EDGE = {"edgeId": "e", "sequenceId": 1, "released": True}
PREFIXES = ["uagv/v2/maker/serial", "vda5050/v3/maker/serial"]


def state(
    order: object = "o-1", *, nodes: int = 0, edges: int = 0, actions: tuple[str, ...] = (), **more: object
) -> dict[str, Any]:
    statuses = [{"actionId": f"a-{n}", "actionStatus": status} for n, status in enumerate(actions)]
    return {"orderId": order, "nodeStates": [NODE] * nodes, "edgeStates": [EDGE] * edges, "actionStates": statuses, **more}


def tasks(*messages: tuple[str, dict[str, Any]], prefix: str = PREFIXES[0]) -> list[str]:
    router = make_router(VDA2, VDA3)
    return [router.route(deliver(f"{prefix}/{kind}", data)).task_id for kind, data in messages]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_task_begins_with_its_order_and_ends_with_the_state_that_says_so(prefix: str) -> None:
    assert tasks(
        ("connection", {"connectionState": "ONLINE"}),
        ("state", state("")),
        ("order", {"orderId": "o-1"}),
        ("visualization", {}),
        ("state", state(nodes=2, edges=1, actions=("WAITING",))),
        ("visualization", {}),
        ("state", state(actions=("RUNNING",))),
        ("instantActions", {"actions": []}),
        ("state", state(actions=("FINISHED", "FAILED"))),
        ("visualization", {}),
        ("state", state(actions=("FINISHED", "FAILED"))),
        ("state", state("o-2", nodes=1)),
        ("factsheet", {}),
        prefix=prefix,
    ) == ["idle", "idle", "o-1", "idle", "o-1", "o-1", "o-1", "o-1", "o-1", "idle", "idle", "o-2", "o-2"]


@pytest.mark.parametrize(
    ("message", "task"),
    [
        (state(nodes=1), "o-1"),
        (state(edges=1), "o-1"),
        (state(actions=("FINISHED", "PAUSED")), "o-1"),
        (state(actions=("RETRIABLE",)), "o-1"),  # since 3.0: it failed, and may be tried again
        (state(actions=("FINISHED",)), "idle"),
        (state(), "idle"),
        (state("", nodes=1), "idle"),
        (state(7, nodes=1), "idle"),
        (state(None, nodes=1), "idle"),
        ({"orderId": "o-1"}, "idle"),
        ({"orderId": "o-1", "actionStates": "none"}, "idle"),
    ],
)
def test_a_first_state_belongs_to_its_order_while_anything_of_it_is_open(message: dict[str, Any], task: str) -> None:
    assert tasks(("state", message)) == [task]


def test_robots_have_tasks_of_their_own() -> None:
    router = make_router(VDA2)
    router.route(deliver("uagv/v2/m/one/state", state(nodes=1)))
    assert router.route(deliver("uagv/v2/m/two/visualization")).task_id == "idle"
    assert router.route(deliver("uagv/v2/m/one/visualization")).task_id == "o-1"


def test_an_order_with_an_id_that_is_too_long_is_refused_for_that_reason() -> None:
    with pytest.raises(RejectedError, match="bad_task_id"):
        make_router(VDA2).route(deliver("uagv/v2/m/s/state", state("x" * 129, nodes=1)))


def classes(*messages: tuple[str, dict[str, Any]]) -> list[str]:
    router = make_router(VDA2, VDA3)
    return [str(router.route(deliver(f"uagv/v2/m/s/{kind}", data)).traffic_class) for kind, data in messages]


def modes(*names: str) -> list[str]:
    return classes(*(("state", state(operatingMode=name)) for name in names))


def test_a_change_of_the_operating_mode_is_an_intervention_and_what_stays_is_not() -> None:
    assert modes("AUTOMATIC", "AUTOMATIC", "MANUAL", "MANUAL", "AUTOMATIC", "AUTOMATIC") == [
        *("normal", "normal", "intervention", "normal", "intervention", "normal")
    ]


@pytest.mark.parametrize("mode", ["SEMIAUTOMATIC", "MANUAL", "SERVICE", "TEACHIN", "TEACH_IN", "INTERVENED"])
def test_a_robot_that_is_first_seen_in_a_persons_hands_is_an_intervention(mode: str) -> None:
    assert modes(mode, mode) == ["intervention", "normal"]


def test_a_state_without_a_mode_changes_none() -> None:
    messages = [state(operatingMode="AUTOMATIC"), state(), state(operatingMode=None), state(operatingMode="AUTOMATIC")]
    assert classes(*(("state", message) for message in messages)) == ["normal"] * 4


@pytest.mark.parametrize(
    ("safety", "expected"),
    [
        ({"eStop": "NONE", "fieldViolation": False}, "normal"),
        ({"eStop": "AUTOACK", "fieldViolation": False}, "intervention"),
        ({"eStop": "MANUAL", "fieldViolation": False}, "intervention"),
        ({"eStop": "REMOTE", "fieldViolation": False}, "intervention"),
        ({"eStop": "NONE", "fieldViolation": True}, "intervention"),
        ({"activeEmergencyStop": "NONE", "fieldViolation": False}, "normal"),
        ({"activeEmergencyStop": "MANUAL", "fieldViolation": False}, "intervention"),
        ({"activeEmergencyStop": "REMOTE", "fieldViolation": False}, "intervention"),
        ({}, "normal"),
        ([], "normal"),
    ],
)
def test_an_emergency_stop_or_a_violated_field_is_an_intervention_as_long_as_it_lasts(safety: object, expected: str) -> None:
    assert classes(("state", state(safetyState=safety)), ("state", state(safetyState=safety))) == [expected] * 2


def test_each_topic_has_its_class() -> None:
    kinds = ["instantActions", "visualization", "factsheet", "connection", "order", "responses", "zoneSet"]
    assert classes(*((kind, {}) for kind in kinds)) == [*("intervention", "bulk", "bulk"), *["normal"] * 4]


def test_the_words_are_those_of_the_published_schemas() -> None:
    for version in ("2.0", "2.1", "3.0"):
        found = schema(version, "state")
        members = found["properties"]
        actions, safety = members["actionStates"]["items"], members["safetyState"]
        if version == "3.0":
            actions, safety = found["definitions"]["actionState"], found["definitions"]["safetyState"]
        statuses = set(actions["properties"]["actionStatus"]["enum"])
        assert statuses - set(vda5050._DONE) <= {"WAITING", "INITIALIZING", "RUNNING", "PAUSED", "RETRIABLE"}
        assert statuses >= set(vda5050._DONE)
        assert set(members) >= {"orderId", "nodeStates", "edgeStates", "actionStates", "operatingMode", "safetyState"}
        stop = "activeEmergencyStop" if version == "3.0" else "eStop"
        assert "NONE" in safety["properties"][stop]["enum"]
        assert "fieldViolation" in safety["properties"]
        assert "AUTOMATIC" in members["operatingMode"]["enum"]
        will = set(schema(version, "connection")["properties"]["connectionState"]["enum"]) & set(vda5050._WILL)
        assert will == {"CONNECTION_BROKEN" if version == "3.0" else "CONNECTIONBROKEN"}


def gaps(*numbers: object, kind: str = "state", **options: bool) -> int:
    vda = Vda5050(bytes.hex)
    marks = {"duplicate": False, "retained": False} | options
    for number in numbers:
        vda.count_gap(["uagv", "v2", "m", "s", kind], {"headerId": number}, route="r", **marks)
    return vda.take_gaps()["r"]


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([5, 6, 7], 0),
        ([5, 7], 1),
        ([5, 7, 10], 3),
        ([5, 5], 0),  # a second copy
        ([1000, 0, 1], 0),  # a restart is no loss
        ([1000, 1, 3], 1),
        ([2**32 - 1, 0], 0),  # it wraps
        ([2**32 - 1, 2], 2),
        ([0, 100_000], 99_999),
        ([0, 100_001], 0),  # so many at once is a restart
        ([5, None, "6", True, 6.0, -1, 2**32, 2**40, 6], 0),
    ],
)
def test_missing_numbers_are_counted(numbers: list[object], missing: int) -> None:
    assert gaps(*numbers) == missing


def test_retained_messages_and_the_will_carry_old_numbers_and_count_for_nothing() -> None:
    assert gaps(5, 9, retained=True) == 0
    for word in ("CONNECTIONBROKEN", "CONNECTION_BROKEN"):
        vda = Vda5050(bytes.hex)
        for number, value in ((7, "ONLINE"), (0, word), (8, "ONLINE"), (9, "OFFLINE")):
            data = {"headerId": number, "connectionState": value}
            vda.count_gap(["uagv", "v2", "m", "s", "connection"], data, duplicate=False, retained=False, route="r")
        assert vda.take_gaps() == {}


def marked_gaps(*numbers: tuple[int, bool]) -> int:
    vda = Vda5050(bytes.hex)
    for number, duplicate in numbers:
        vda.count_gap(
            ["uagv", "v2", "m", "s", "order"], {"headerId": number}, duplicate=duplicate, retained=False, route="r"
        )
    return vda.take_gaps()["r"]


def test_a_message_that_is_sent_again_and_arrives_for_the_first_time_leaves_no_gap_behind_it() -> None:
    assert marked_gaps((4, False), (5, True), (6, True), (7, False)) == 0
    assert marked_gaps((4, False), (5, False), (4, True), (5, True), (6, False)) == 0
    assert marked_gaps((4, False), (6, False), (1000, True), (7, False)) == 1


def test_each_topic_of_each_robot_in_each_version_counts_for_itself() -> None:
    vda = Vda5050(bytes.hex)
    for prefix in ("uagv/v2/m/s", "uagv/v2/m/t", "vda5050/v3/m/s"):
        for index, kind in enumerate(("state", "visualization")):
            number = 10 * index + len(prefix)
            vda.count_gap([*prefix.split("/"), kind], {"headerId": number}, duplicate=False, retained=False, route="r")
    assert vda.take_gaps() == {}


def test_gaps_reach_the_ledger_with_their_route_once() -> None:
    router = make_router(VDA2, VDA3)
    for number in (1, 4):
        router.route(deliver("uagv/v2/m/s/state", state(headerId=number)))
        router.route(deliver("vda5050/v3/m/s/visualization", {"headerId": number * 2}))
    assert router.take() == {("sender_gap", "normal", "vda2"): 2, ("sender_gap", "normal", "vda3"): 5}
    assert router.take() == {}


def test_what_was_lost_while_actod_was_down_is_a_gap_and_what_a_kill_took_from_memory_is_one_too() -> None:
    before, after, fresh = (make_router(VDA2) for _ in range(3))
    for number in (1, 2):
        before.route(deliver("uagv/v2/m/s/state", state(headerId=number)))
    committed = before.header_ids()
    before.route(deliver("uagv/v2/m/s/state", state(headerId=3)))  # in a group that a kill takes
    after.restore_header_ids(committed)
    for router in (after, fresh):
        router.route(deliver("uagv/v2/m/s/state", state(headerId=9)))
    assert after.take() == {("sender_gap", "normal", "vda2"): 6}
    assert fresh.take() == {}
    assert not any("s/state" in digest for digest in committed)


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_what_arrived_and_what_is_missing_is_what_was_sent(steps: list[int], first: int) -> None:
    numbers, lost = [first], 0
    for step in steps:
        numbers.append((numbers[-1] + step + 1) % 2**32)
        lost += step
    assert gaps(*numbers) == lost


def test_serial_numbers_without_end_take_little_memory_and_forget_the_oldest_first() -> None:
    vda = Vda5050(bytes.hex)
    for number in range(10_000):
        levels = ["uagv", "v2", "m", f"s-{number}", "state"]
        vda.place(levels, state(nodes=1, operatingMode="MANUAL"))
        vda.count_gap(levels, {"headerId": 1}, duplicate=False, retained=False, route="r")
    assert len(vda._robots) == len(vda._header_ids) == len(vda._senders) == 4096
    assert len(vda.header_ids()) == 256
    placed = vda.place(["uagv", "v2", "m", "s-9999", "visualization"], {})
    assert (placed.task_id, placed.traffic_class) == ("o-1", TrafficClass.BULK)


_MEMBERS = ["connectionState", "orderId", "operatingMode", "actionStates", "nodeStates", "edgeStates", "safetyState"]


@pytest.mark.parametrize("kind", ["connection", "state", "order", "instantActions", "visualization"])
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("value", [[], {}, [[]], [{}], 1, True, None, "x"], ids=repr)
def test_a_member_of_any_type_stops_nobody(prefix: str, kind: str, value: Any) -> None:
    router = make_router(VDA2, VDA3)
    inside = {
        "actionStates": [{"actionStatus": value}],
        "safetyState": {"eStop": value, "activeEmergencyStop": value, "fieldViolation": value},
    }
    for message in ({"headerId": 1, member: value} for member in _MEMBERS):
        router.route(deliver(f"{prefix}/{kind}", message))
    router.route(deliver(f"{prefix}/{kind}", {"headerId": value, "timestamp": value, **inside}))


def test_a_topic_that_names_no_robot_is_placed_nowhere() -> None:
    placed = Vda5050(bytes.hex).place(["uagv", "v2", "m"], {"timestamp": 1})
    assert (placed.robot, placed.task_id, placed.traffic_class, placed.timestamp) == (None, None, None, 1)
