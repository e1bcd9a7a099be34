"""Topic filters, and the routes that the configuration names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from actod import configfile
from actod.collect.routes import Routes
from actod.collect.subscriptions import covers, matches, without_covered
from actod.config import RouteConfig
from actod.errors import ConfigError
from tests.collect.routing import write_config

LEVELS = st.sampled_from(["", "a", "b", "ab", "$SYS", "$", "\u00e9"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join)
FILTERS = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(LEVELS | st.just("+"), max_size=4),
    st.sampled_from([["#"], ["+"], ["a"]]),
)


@settings(deadline=None)  # a busy machine is no defect
@given(FILTERS, TOPICS)
def test_a_filter_matches_what_paho_says_that_it_matches(pattern: str, topic: str) -> None:
    assert matches(pattern.split("/"), topic.split("/")) == topic_matches_sub(pattern, topic)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("+/+", "/x", True),
        ("#", "", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/+/c", "a/b/d", False),
    ],
)
def test_a_filter_matches_a_topic(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern.split("/"), topic.split("/")) is expected


@settings(deadline=None)  # a busy machine is no defect
@given(FILTERS, FILTERS, TOPICS)
def test_a_filter_that_covers_another_matches_all_that_the_other_does(wide: str, narrow: str, topic: str) -> None:
    if covers(wide.split("/"), narrow.split("/")) and matches(narrow.split("/"), topic.split("/")):
        assert matches(wide.split("/"), topic.split("/"))


@settings(deadline=None)  # a busy machine is no defect
@given(st.lists(st.tuples(FILTERS, st.integers(0, 1)), min_size=1, max_size=6), TOPICS)
def test_what_is_subscribed_to_brings_the_same_topics_at_no_lower_a_qos(filters: list[tuple[str, int]], topic: str) -> None:
    def best(pairs: list[tuple[str, int]]) -> int:
        return max((qos for pattern, qos in pairs if matches(pattern.split("/"), topic.split("/"))), default=-1)

    pairs, covered = without_covered(filters)
    assert best(pairs) >= best(filters)
    assert (best(pairs) < 0) == (best(filters) < 0)
    assert {pattern for pattern, _ in pairs} | set(covered) == {pattern for pattern, _ in filters}
    assert {pattern for pattern, _ in pairs} & set(covered) == set()


def test_covered_filters_are_left_out_and_raise_the_qos_of_the_wider() -> None:
    filters = [("a/+/x", 1), ("a/#", 0), ("b/+", 0), ("+/c", 1), ("$SYS/x", 0), ("#", 0)]
    assert without_covered(filters) == ([("$SYS/x", 0), ("#", 1)], ["a/+/x", "a/#", "b/+", "+/c"])
    assert without_covered([("a/+", 0), ("a/+", 1)]) == ([("a/+", 1)], [])


def test_the_first_route_that_matches_takes_the_message() -> None:
    routes = Routes.compile([RouteConfig(name="one", topic="a/+"), RouteConfig(name="two", topic="a/#")])
    found = [routes.find(topic) for topic in ("a/b", "a/b/c", "a", "b")]
    assert [route.name if route else None for route in found] == ["one", "two", "two", None]
    assert routes.find("a/b") is found[0]


def test_topics_without_end_take_little_memory() -> None:
    routes = Routes.compile([RouteConfig(name="one", topic="#")])
    for number in range(5000):
        assert routes.find(f"t/{number}") is not None
        assert routes.find(f"{number}/" + "x" * 6000) is not None
    assert sum(map(len, routes._cache)) < 4096 * 256
    assert len(routes._cache) <= 4096


def test_a_filter_that_two_routes_name_is_subscribed_once_at_the_higher_qos() -> None:
    configs = [RouteConfig(name="one", topic="a/+", qos=0), RouteConfig(name="two", topic="a/+", qos=1)]
    assert Routes.compile(configs).subscriptions() == [("a/+", 1)]


@pytest.mark.parametrize(
    ("route", "key", "words"),
    [
        ('topic = "$share/g/a"', "routes.topic", "one actod each"),
        ('topic = ""', "routes.topic", "topic filter"),
        ('topic = "a/#/b"', "routes.topic", "wildcards"),
        ('topic = "a+/b"', "routes.topic", "wildcards"),
        ('topic = "a/b#"', "routes.topic", "wildcards"),
        ('topic = "a"\nrobot_id = "topic:0"', "routes.robot_id", "topic:3"),
        ('topic = "a"\nrobot_id = "topic:\\u00b2"', "routes.robot_id", "topic:3"),
        ('topic = "a"\ntask_id = "order.id"', "routes.task_id", "JSON Pointer"),
        ('topic = "robots/#"\nprofile = "vda5050-v2"', "routes.topic", "uagv/v2/"),
        ('topic = "uagv/v2/#"\nprofile = "vda5050-v3"', "routes.topic", "vda5050/v3/"),
        ('topic = "a"\nqos = 2', "routes.qos", "use 1"),
        ('topic = "a"\nprofile = "vda"', "routes.profile", "one of"),
        ('topic = "a"\ntraffic_class = "urgent"', "routes.traffic_class", "one of"),
        ('topic = "a"\nclass = "bulk"', "routes.class", "known"),
    ],
)
def test_a_route_that_makes_no_sense_is_refused_with_its_remedy(tmp_path: Path, route: str, key: str, words: str) -> None:
    file = write_config(tmp_path, f'[[routes]]\nname = "r"\n{route}\n')
    with pytest.raises(ConfigError) as caught:
        Routes.compile(configfile.load(file).routes)
    assert caught.value.key == key
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("pointer", "payload", "expected"),
    [
        ("/a/b", {"a": {"b": 1}}, 1),
        ("/a~1b", {"a/b": 1}, 1),
        ("/a~0b", {"a~b": 1}, 1),
        ("/~01", {"~1": 1}, 1),
        ("/", {"": 1}, 1),
        ("/a/0", {"a": ["x", "y"]}, "x"),
        ("/a/1", {"a": ["x", "y"]}, "y"),
        ("/a/2", {"a": ["x", "y"]}, None),
        ("/a/01", {"a": ["x", "y"]}, None),
        ("/a/-1", {"a": ["x", "y"]}, None),
        ("/a/\u00b2", {"a": ["x", "y", "z"]}, None),
        ("/a/" + "9" * 5000, {"a": ["x", "y"]}, None),
        ("/a/b/c", {"a": {"b": "text"}}, None),
        ("/0", {"0": 1}, 1),
    ],
)
def test_a_json_pointer_finds(pointer: str, payload: object, expected: object) -> None:
    (route,) = Routes.compile([RouteConfig(name="r", topic="a", task_id=pointer)])._routes
    assert route.task_id([], payload) == expected


def test_fixed_words_and_topic_levels_need_no_payload() -> None:
    config = RouteConfig(name="r", topic="a/#", robot_id="topic:2", task_id="=patrol")
    (route,) = Routes.compile([config])._routes
    assert route.robot_id(["a", "b"], None) == "b"
    assert route.robot_id(["a"], None) is None
    assert (route.task_id([], None), route.run_id([], None)) == ("patrol", None)


def test_the_masking_profile_is_strict_for_vda_5050_and_balanced_elsewhere() -> None:
    configs = [
        RouteConfig(name="a", topic="uagv/v2/#", profile="vda5050-v2"),
        RouteConfig(name="b", topic="b"),
        RouteConfig(name="c", topic="c", mask="secrets-only"),
    ]
    assert [route.mask_profile for route in Routes.compile(configs)._routes] == ["strict", "balanced", "secrets-only"]
    assert re.match("[a-z]", Routes.compile(configs)._routes[0].name)
