"""Drop-ins, paths, digests, and that every key can be set."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actod import configfile
from actod.config import Config
from actod.configranges import CHOICES, RANGES
from actod.errors import ConfigError
from tests.config.parts import BASE, changed, write

ROOT = Path(__file__).parents[2]
# what another key must be set for as well
COMPANIONS: dict[str, dict[str, Any]] = {
    "mqtt.ca_file": {"mqtt.tls": True},
    "mqtt.certificate_file": {"mqtt.tls": True},
    "mqtt.private_key_file": {"mqtt.tls": True, "mqtt.certificate_file": "c.pem"},
    "mqtt.password_file": {"mqtt.username": "robot"},
    "collector.private_key_file": {"collector.certificate_file": "c.pem"},
    "collector.max_envelope_bytes": {"seal.max_bytes": 8192},
    "fleet.battery_route": {"routes.name": "another"},
    "alerts.name": {"alerts.url_file": "u"},
    "alerts.url_file": {"alerts.name": "x"},
    "alerts.secret_file": {"alerts.name": "x", "alerts.url_file": "u"},
    "alerts.shape": {"alerts.name": "x", "alerts.url_file": "u"},
    "alerts.ca_file": {"alerts.name": "x", "alerts.url_file": "u"},
    "alerts.pins": {"alerts.name": "x", "alerts.url_file": "u"},
    "masking.rules.type": {"masking.rules.operator": "mask"},
    "masking.rules.path": {"masking.rules.operator": "mask"},
    "masking.rules.profile": {"masking.rules.operator": "mask"},
    "masking.detectors.name": {"masking.detectors.pattern": "x"},
    "masking.detectors.pattern": {"masking.detectors.name": "x"},
    "masking.schemas.topic": {"masking.schemas.file": "schema.json"},
    "masking.schemas.file": {"masking.schemas.topic": "a/b"},
    "masking.detectors.keys": {"masking.detectors.name": "x", "masking.detectors.pattern": "x"},
}


def leaves(cls: type[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of the configuration and its type."""
    for name, hint in typing.get_type_hints(cls).items():
        inner = hint
        if typing.get_origin(hint) is list and dataclasses.is_dataclass(typing.get_args(hint)[0]):
            inner = typing.get_args(hint)[0]
        if dataclasses.is_dataclass(inner):
            yield from leaves(typing.cast("type[Any]", inner), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", hint


KEYS = dict(leaves(Config))


def another(key: str, hint: Any) -> Any:
    """Return a value that the key takes and that is not its default."""
    if key in CHOICES:
        return [choice for choice in CHOICES[key] if choice][-1]
    special = {"routes.qos": 0, "collector.bulk_hours_utc": "22:00-06:00", "collector.fleet_share": 0.5}
    special |= {"metrics.listen": "127.0.0.1:9464", "metrics.textfile": "elsewhere/actod.prom"}
    if key in special:
        return special[key]
    if isinstance(hint, types.UnionType) or hint is Path:
        return "elsewhere/file"
    if hint in (int, float):
        low, high = RANGES.get(key, (1, 12_345))
        return hint(min(high, low * 2 + 1))
    values = {str: "another", bool: None, list[str]: ["one", "two"], dict[str, str]: {"serial": "robot"}}
    values[dict[str, float]] = {"/battery/charge": 1.5}
    return values[hint]


def at(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value[0] if isinstance(value, list) else value, name)
    return value


def with_all(key: str, value: Any) -> dict[str, Any]:
    config = changed(key, value)
    for name, companion in COMPANIONS.get(key, {}).items():
        table, *rest = name.split(".")
        inner = config.setdefault(table, {})
        inner = inner[0] if isinstance(inner, list) else inner
        for part in rest[:-1]:
            inner = inner[part][0]
        inner[rest[-1]] = companion
    return config


@pytest.mark.parametrize("key", KEYS)
def test_each_key_can_be_set_is_seen_and_changes_the_digest(tmp_path: Path, key: str) -> None:
    value = another(key, KEYS[key])
    plain = configfile.load(write(tmp_path, BASE))
    if value is None:
        value = not at(plain, key)
    loaded = configfile.load(write(tmp_path, with_all(key, value)))
    seen = at(loaded, key)
    assert seen == (tmp_path / value if isinstance(seen, Path) else value)
    assert configfile.digest(loaded) != configfile.digest(plain)
    assert re.fullmatch("[0-9a-f]{64}", configfile.digest(loaded))


@pytest.mark.parametrize("key", sorted(RANGES))
def test_both_ends_of_each_range_are_taken_and_what_lies_beyond_is_not(tmp_path: Path, key: str) -> None:
    hint = KEYS[key]
    low, high = (hint(end) for end in RANGES[key])
    step = 1 if hint is int else high * 0.001
    companions = {"collector.backoff_min_seconds": {"collector.backoff_max_seconds": 86_400.0}}
    companions["collector.backoff_max_seconds"] = {"collector.backoff_min_seconds": 0.001}
    companions["collector.max_envelope_bytes"] = {"seal.max_bytes": 8192}
    companions["seal.max_bytes"] = {"collector.max_envelope_bytes": 1 << 20}

    def load(value: Any) -> Config:
        config = changed(key, value)
        for name, companion in companions.get(key, {}).items():
            table, _, member = name.partition(".")
            config.setdefault(table, {})[member] = companion
        return configfile.load(write(tmp_path, config))

    assert (at(load(low), key), at(load(high), key)) == (low, high)
    for beyond in (low - (1 if hint is int else low / 2), high + step):
        with pytest.raises(ConfigError, match=rf"{key}: expected a number from"):
            load(beyond)


def test_ranges_and_choices_are_about_keys_that_exist() -> None:
    assert set(RANGES) | set(CHOICES) <= set(KEYS)


def test_every_number_that_a_zero_would_break_has_a_range() -> None:
    numbers = {key for key, hint in KEYS.items() if hint in (int, float)}
    assert numbers - set(RANGES) == {"routes.qos"}


def test_the_digest_is_of_the_values_not_of_how_they_are_written(tmp_path: Path) -> None:
    first = configfile.load(write(tmp_path, BASE))
    (tmp_path / "conf.d").mkdir()
    turned = {name: BASE[name] for name in reversed(list(BASE))}
    moved = {"collector": turned.pop("collector")}
    write(tmp_path / "conf.d", moved, "10-collector.toml")
    second = configfile.load(write(tmp_path, turned | {"mqtt": {"port": 1883}}))
    assert first == second
    assert configfile.digest(first) == configfile.digest(second)


def test_drop_ins_are_merged_in_the_order_of_their_names(tmp_path: Path) -> None:
    file = write(tmp_path, BASE | {"mqtt": {"host": "a", "port": 1, "client_id": "base"}})
    drop_ins = tmp_path / "conf.d"
    write(drop_ins, {"mqtt": {"host": "b", "port": 2}}, "90-last.toml")
    write(drop_ins, {"mqtt": {"host": "c", "port": 3}}, "10-first.toml")
    write(drop_ins, {"mqtt": {"host": "d"}}, "95.toml")
    for passed_over in (".hidden.toml", "50-other.conf", "99.toml.bak", "99.toml~"):
        write(drop_ins, {"mqtt": {"keep_alive_seconds": 99}}, passed_over)
    config = configfile.load(file)
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.client_id) == ("d", 2, "base")
    assert config.mqtt.keep_alive_seconds == 30


def test_a_list_in_a_drop_in_replaces_the_whole_list(tmp_path: Path) -> None:
    file = write(tmp_path, BASE)
    write(tmp_path / "conf.d", {"routes": [{"name": "only", "topic": "x"}]}, "routes.toml")
    assert [route.name for route in configfile.load(file).routes] == ["only"]


@pytest.mark.parametrize(
    ("drop_in", "key"),
    [
        ({"mqtt": {"port": 0}}, "mqtt.port"),
        ({"mqtt": {"prot": 1}}, "mqtt.prot"),
        ({"mqtt": 5}, "mqtt"),
        ({"routes": [{"name": "x", "topic": "y", "qos": 2}]}, "routes.qos"),
        ({"masking": {"rules": [{"operator": "erase"}]}}, "masking.rules.operator"),
        ({"signer": {"socket": "/" + "s" * 200}}, "signer.socket"),
        ({"mqtt": {"ca_file": "ca.pem"}}, "mqtt.ca_file"),
    ],
)
def test_a_refusal_names_the_drop_in_that_set_the_key(tmp_path: Path, drop_in: dict[str, Any], key: str) -> None:
    base = BASE | {"mqtt": {"host": "a"}, "masking": {"mask_char": "#"}}
    file = write(tmp_path, base)
    culprit = write(tmp_path / "conf.d", drop_in, "20.toml")
    write(tmp_path / "conf.d", {"mqtt": {"client_id": "c"}, "masking": {"max_depth": 5}} if key != "mqtt" else {}, "30.toml")
    with pytest.raises(ConfigError) as caught:
        configfile.load(file)
    assert (caught.value.file, caught.value.key) == (str(culprit), key)


def test_an_error_from_elsewhere_gets_the_file_that_set_its_key(tmp_path: Path) -> None:
    file = write(tmp_path, BASE)
    drop_in = write(tmp_path / "conf.d", {"collector": {"ca_file": "ca.pem"}}, "ca.toml")
    for key, where in (
        ("collector.ca_file", drop_in),
        ("collector.pins", file),
        ("masking.rules[3].type", file),
        ("routes.topic", file),
    ):
        error = configfile.located(ConfigError(key=key, expected="this", found="that", fix="do"), file)
        assert str(error) == f"config: {where}: {key}: expected this, found that. Fix: do"
    named = ConfigError(file="there", key="collector.ca_file", expected="this", fix="do")
    assert configfile.located(named, file) is named


def test_paths_are_relative_to_the_main_file_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, changed("state_directory", "state"))
    write(tmp_path / "conf.d", {"collector": {"ca_file": "ca.pem"}}, "ca.toml")
    monkeypatch.chdir(tmp_path)
    config = configfile.load(Path("actod.toml"))
    assert (config.state_directory, config.collector.ca_file) == (tmp_path / "state", tmp_path / "ca.pem")
    assert config.signer_socket == tmp_path / "state" / "run" / "signer.sock"


def test_a_credential_is_looked_for_where_systemd_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    config = configfile.load(write(tmp_path, changed("token.pin_file", "credential:token-pin")))
    assert config.token.pin_file == tmp_path / "credentials" / "token-pin"
