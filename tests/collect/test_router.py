"""From a delivery to a reading: every kind of payload, every reason, every identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actod import configfile
from actod.collect.router import PayloadRouter
from actod.collect.routes import Routes
from actod.config import RouteConfig
from actod.errors import RejectedError
from actod.model import Reading, TrafficClass
from actod.proof.canonical import canonical
from tests.collect.routing import ANY, KEY, VDA2, VDA3, deliver, make_router, write_config


def refusal(router: PayloadRouter, topic: str, payload: object, **options: object) -> str:
    with pytest.raises(RejectedError) as caught:
        router.route(deliver(topic, payload, **options))
    return caught.value.reason


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b'{"a": 1, "b": {"c": [1.5, null]}}', {"a": 1, "b": {"c": [1.5, None]}}),
        (b' \r\n\t{"a": 1}\n', {"a": 1}),
        (b"{}", {}),
        (b"[1, 2]", {"value": [1, 2]}),
        (b"23.5", {"value": 23.5}),
        (b"-7", {"value": -7}),
        (b"18446744073709551615", {"value": 2**64 - 1}),
        (b"true", {"value": True}),
        (b"null", {"value": None}),
        (b'"on"', {"value": "on"}),
        (b"", {"text": ""}),
        (b"   ", {"text": "   "}),
        (b"on", {"text": "on"}),
        (b"true enough", {"text": "true enough"}),
        (b"2026-01-02T03:04:05Z", {"text": "2026-01-02T03:04:05Z"}),
        (b"007", {"text": "007"}),
        (b'"unfinished', {"text": '"unfinished'}),
        (b"tree " + b"[" * 200, {"text": "tree " + "[" * 200}),
        ("Gr\u00fc\u00dfe\n\tzwei".encode(), {"text": "Gr\u00fc\u00dfe\n\tzwei"}),
    ],
)
def test_a_payload_becomes(payload: bytes, data: dict[str, object]) -> None:
    assert make_router().route(deliver("t/x", payload)).data == data


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate_key"),
        (b'[{"b": {"a": 1, "a": 1}}]', "duplicate_key"),
        (b'{"a": ', "not_json"),
        (b"{hello}", "not_json"),
        (b'{"a": 1} x', "not_json"),
        (b'{"a": "\xff"}', "not_utf8"),
        (b'{"a": NaN}', "nan"),
        (b'{"a": 1e999}', "nan"),
        (b"1e999", "nan"),
        (b'{"a": 1e16}', "float_too_large"),
        (b"1e16", "float_too_large"),
        (b'{"a": 18446744073709551616}', "integer_range"),
        (b"-9223372036854775809", "integer_range"),
        (b'{"a": "\\ud800"}', "lone_surrogate"),
        (b'"\\udfff"', "lone_surrogate"),
        (b"[" * 65 + b"]" * 65, "too_deep"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "too_deep"),
    ],
)
def test_what_lies_outside_the_canonical_domain_is_refused_as(payload: bytes, reason: str) -> None:
    assert refusal(make_router(), "t/x", payload) == reason


def test_bytes_become_their_length_and_a_digest_that_only_the_key_can_make() -> None:
    data = make_router().route(deliver("t/x", b"\x00\x01secret")).data
    assert sorted(data) == ["bytes", "digest"]
    assert data["bytes"] == 8
    assert data["digest"] == make_router().route(deliver("t/x", b"\x00\x01secret")).data["digest"]
    assert data["digest"] != make_router().route(deliver("t/x", b"\x00\x01secres")).data["digest"]
    other = make_router(digest_key=b"o" * 32)
    assert data["digest"] != other.route(deliver("t/x", b"\x00\x01secret")).data["digest"]


@pytest.mark.parametrize(
    ("topic", "options", "reason"),
    [
        ("elsewhere", {}, "no_route"),
        ("", {}, "no_route"),
        ("$SYS/x", {}, "no_route"),
        ("t/x", {"oversize_bytes": 300_000}, "too_large"),
        ("t/" + "x" * 1023, {}, "bad_topic"),
        ("t/\udcff", {}, "bad_topic"),
    ],
)
def test_a_delivery_is_refused_as(topic: str, options: dict[str, int], reason: str) -> None:
    assert refusal(make_router(), topic, b"{}", **options) == reason


def test_the_largest_payload_is_taken_and_one_byte_more_is_not() -> None:
    router = make_router(intake={"largest_payload_bytes": 1024})
    assert len(router.route(deliver("t/x", b"x" * 1024)).data["text"]) == 1024
    assert refusal(router, "t/x", b"x" * 1025) == "too_large"


SELECTING = RouteConfig(
    name="s",
    topic="s/+/+",
    robot_id="topic:2",
    task_id="/order/id",
    run_id="/runs/1",
    timestamp="/at",
    traffic_class="safety",
)


def test_pointers_topic_levels_and_the_routes_class_place_a_message() -> None:
    router = make_router(SELECTING, robots={"7": "amr-7"})
    reading = router.route(deliver("s/7/x", {"order": {"id": 12}, "runs": ["a", "b"], "at": 1_700_000_000}))
    assert (reading.robot_id, reading.task_id, reading.run_id) == ("amr-7", "12", "b")
    assert reading.timestamp == "2023-11-14T22:13:20.000000+00:00"
    assert (reading.route, reading.traffic_class, reading.mask_profile) == ("s", TrafficClass.SAFETY, "balanced")


def test_what_a_pointer_does_not_find_is_idle_none_and_the_time_of_arrival() -> None:
    reading = make_router(SELECTING).route(deliver("s/7/x", b"text", at=1_700_000_000.5))
    assert (reading.task_id, reading.run_id) == ("idle", None)
    assert reading.timestamp == "2023-11-14T22:13:20.500000+00:00"


@pytest.mark.parametrize("value", [True, 1.5, [], {}, "x" * 129, None, ""])
def test_an_id_that_is_none_is_refused_or_absent(value: object) -> None:
    router = make_router(SELECTING)
    if value in (None, ""):
        assert router.route(deliver("s/7/x", {"order": {"id": value}})).task_id == "idle"
    else:
        assert refusal(router, "s/7/x", {"order": {"id": value}}) == "bad_task_id"


def test_nothing_that_arrives_passes_for_a_record_of_the_device_itself() -> None:
    pretending = RouteConfig(name="p", topic="actod/#", task_id="/task")
    assert refusal(make_router(pretending), "actod/genesis", {"task": "actod"}) == "bad_task_id"
    assert make_router(pretending).route(deliver("actod/genesis", {"task": "other"})).task_id == "other"


def test_a_robots_id_is_drawn_once_kept_and_handed_over_for_the_same_commit() -> None:
    router = make_router(VDA2, VDA3)
    first = router.route(deliver("uagv/v2/m/s-1/state"))
    second = router.route(deliver("uagv/v2/m/s-2/state"))
    assert first.robot_id is not None
    assert first.robot_id.startswith("r-")
    assert first.robot_id != second.robot_id
    assert "s-1" not in first.robot_id
    drawn = router.new_identities()
    assert sorted(drawn.values()) == sorted([first.robot_id, second.robot_id])
    assert all(len(digest) == 64 for digest in drawn)
    assert router.route(deliver("uagv/v2/m/s-1/connection")).robot_id == first.robot_id
    assert router.new_identities() == {}
    assert make_router(VDA2, identities=drawn).route(deliver("uagv/v2/m/s-1/state")).robot_id == first.robot_id
    assert make_router(VDA2).route(deliver("uagv/v2/m/s-1/state")).robot_id != first.robot_id


def test_an_operator_may_name_a_robot_by_serial_number_or_with_its_manufacturer() -> None:
    router = make_router(VDA2, robots={"s-1": "one", "m/s-2": "two"})
    assert [router.route(deliver(f"uagv/v2/m/s-{n}/state")).robot_id for n in (1, 2)] == ["one", "two"]
    assert router.new_identities() == {}


def test_robots_without_end_are_refused() -> None:
    router = make_router(VDA2, identities={f"{n:064x}": f"r-{n}" for n in range(4096)})
    assert refusal(router, "uagv/v2/m/new/state", {}) == "too_many_robots"


def test_a_refused_delivery_is_described_by_route_and_class() -> None:
    router = make_router(SELECTING)
    assert router.describe("s/1/2") == ("s", "safety")
    assert router.describe("elsewhere") == ("_none", "normal")


def test_runs_beyond_the_bound_go_to_the_overflow_and_are_counted() -> None:
    router = make_router(SELECTING, intake={"max_open_runs": 2})
    tasks = [router.route(deliver(f"s/{n}/x", {"order": {"id": n}})) for n in range(4)]
    overflow = ("_overflow", "_overflow")
    assert [(r.task_id, r.run_id) for r in tasks] == [("0", None), ("1", None), overflow, overflow]
    assert router.overflowed == 2
    assert router.route(deliver("s/0/x", {"order": {"id": 0}})).task_id == "0"


def test_robots_beyond_the_bound_share_the_overflow_of_the_device_itself() -> None:
    """A bundle holds one robot: with a bundle of its own for each, 200 serial numbers outran the pace of submission."""
    route = RouteConfig(name="r", topic="r/+", robot_id="topic:2", traffic_class="bulk")
    router = make_router(route, intake={"max_open_runs": 4, "new_runs_per_minute": 1000})
    readings = [router.route(deliver(f"r/{n}")) for _ in range(3) for n in range(200)]
    streams = {(r.robot_id, r.task_id, r.run_id) for r in readings}
    assert len(streams) == 4 + 4 + 1
    assert (None, "_overflow", "_overflow") in streams
    assert router.overflowed == 3 * 196
    later = [router.route(deliver(f"r/{n}", at=1300)) for n in range(100, 104)]
    assert {r.run_id for r in later} == {None}
    again = [router.route(deliver(f"r/{n}", at=1300)) for n in range(104, 108)]
    assert None not in {r.robot_id for r in again}


def test_two_routes_of_one_robot_with_tasks_of_their_own_do_not_use_up_the_new_runs() -> None:
    patrol = RouteConfig(name="patrol", topic="p/+", robot_id="topic:2", task_id="=patrol")
    power = RouteConfig(name="power", topic="b/+", robot_id="topic:2", task_id="=power")
    router = make_router(patrol, power)
    for step in range(500):
        assert router.route(deliver("p/7", at=1 + step / 10)).task_id == "patrol"
        assert router.route(deliver("b/7", at=1 + step / 10)).task_id == "power"
    assert router.overflowed == 0


def test_a_robot_that_goes_on_to_the_next_task_gives_back_its_place() -> None:
    router = make_router(SELECTING, intake={"max_open_runs": 2})
    for number in range(20):
        reading = router.route(deliver("s/7/x", {"order": {"id": number}}, at=60 + 40 * number))
        assert reading.task_id == str(number)


def test_a_routes_own_robot_comes_before_the_one_in_a_vda_5050_topic() -> None:
    own = RouteConfig(name="own", topic="uagv/v2/+/+/+", profile="vda5050-v2", robot_id="/serialNumber")
    router = make_router(own, robots={"inner": "by-pointer", "outer": "by-topic"})
    assert router.route(deliver("uagv/v2/m/outer/state", {"serialNumber": "inner"})).robot_id == "by-pointer"
    assert router.route(deliver("uagv/v2/m/outer/state", {})).robot_id == "by-topic"


def test_the_marks_of_a_delivery_are_passed_on() -> None:
    reading = make_router().route(deliver("t/x", duplicate=True, retained=True, packet_id=9))
    assert (reading.duplicate, reading.retained, reading.packet_id) == (True, True, 9)


def test_routes_of_a_configuration_file_are_the_ones_that_are_used(tmp_path: Path) -> None:
    file = write_config(
        tmp_path,
        """
[[routes]]
name = "estop"
topic = "cell/+/estop"
traffic_class = "intervention"
robot_id = "topic:2"

[[routes]]
name = "cell"
topic = "cell/#"
mask = "strict"
""",
        extra='[intake]\nmax_depth = 4\n[device]\nrobots = {"9" = "press"}',
    )
    config = configfile.load(file)
    router = PayloadRouter(
        routes=Routes.compile(config.routes), device=config.device, intake=config.intake, identities={}, digest_key=KEY
    )
    stop, other = router.route(deliver("cell/9/estop")), router.route(deliver("cell/9/power"))
    assert (stop.route, stop.traffic_class, stop.robot_id) == ("estop", TrafficClass.INTERVENTION, "press")
    assert (other.route, other.traffic_class, other.robot_id, other.mask_profile) == (
        "cell",
        TrafficClass.NORMAL,
        None,
        "strict",
    )
    assert refusal(router, "cell/x", b"[[[[[1]]]]]") == "too_deep"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.tuples(JSON, st.integers(0, 300)).map(lambda pair: json.dumps(pair[0]).encode()[: pair[1]]),
    st.builds(
        lambda **members: json.dumps(members).encode(),
        headerId=JSON,
        orderId=JSON,
        timestamp=JSON,
        operatingMode=JSON,
        nodeStates=JSON,
        actionStates=JSON,
        safetyState=JSON | st.fixed_dictionaries({"eStop": JSON, "fieldViolation": JSON}),
        connectionState=JSON,
    ),
)
KINDS = st.sampled_from(["state", "order", "connection", "visualization", "instantActions", "factsheet", "x"])
TOPICS = st.one_of(
    st.text(max_size=40),
    st.builds("uagv/v2/{}/{}/{}".format, st.text(max_size=4), st.text(max_size=4), KINDS),
    st.builds("vda5050/v3/m/s/{}".format, KINDS),
    st.builds("t/{}".format, st.text(max_size=10)),
    st.just("a/deep/one"),
)
EVERYTHING = (
    VDA2,
    VDA3,
    ANY,
    RouteConfig(name="a", topic="a/#", robot_id="/0", task_id="/value/\u00b2", run_id="/value/99999999999", timestamp="/"),
    RouteConfig(name="rest", topic="#", robot_id="/orderId", task_id="/headerId", run_id="topic:9", timestamp="/timestamp"),
)
ROUTER = make_router(*EVERYTHING, intake={"max_open_runs": 8})


@settings(deadline=None)  # a busy machine is no defect
@given(TOPICS, PAYLOADS, st.booleans(), st.booleans())
def test_whatever_arrives_is_a_canonical_reading_or_refused_with_a_reason(
    topic: str, payload: bytes, duplicate: bool, retained: bool
) -> None:
    delivery = deliver(topic, payload, duplicate=duplicate, retained=retained)
    try:
        reading = ROUTER.route(delivery)
    except RejectedError:
        assert ROUTER.describe(delivery.topic)[1] in set(TrafficClass)
        return
    assert isinstance(reading, Reading)
    canonical({"data": reading.data, "topic": reading.topic, "ts": reading.timestamp})
    assert isinstance(reading.data, dict)
    ROUTER.new_identities()


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.floats(0, 40)), max_size=200))
def test_no_more_runs_are_open_than_allowed_whatever_comes(messages: list[tuple[int, int, float]]) -> None:
    router = make_router(SELECTING, intake={"max_open_runs": 5, "new_runs_per_minute": 20})
    now, seen = 1.0, []
    for robot, task, wait in messages:
        now += wait
        reading = router.route(deliver(f"s/{robot}/x", {"order": {"id": task}}, at=now))
        if reading.run_id != "_overflow":
            seen.append((now, reading.robot_id, reading.task_id))
        recent = {(robot_id, task_id) for at, robot_id, task_id in seen if now - at <= 30}
        assert len(recent) <= 5  # what a bundle of half a minute may still hold
