"""Every refusal names the file, the key, what was expected and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actod import configfile
from actod.errors import EXIT_CONFIG, ConfigError
from tests.config.parts import changed, write

REFUSED = [
    # key, value, what the message must hold: expectation, remedy
    ("environment", "production", "'dev', 'staging', 'prod'", "choose one"),
    ("environment", 1, "text", "right type"),
    ("state_directory", "", "a path", "right type"),
    ("state_directory", ["/x"], "a path", "right type"),
    ("token", "pkcs11:", "a table", "[token]"),
    ("token.uri", 5, "text", "right type"),
    ("token.pin", "1234-secret", "no secret in the configuration", "give its path as pin_file"),
    ("collector.api_key", "1234-secret", "no secret in the configuration", "give its path as api_key_file"),
    ("collector.wallet", "1234-secret", "no secret in the configuration", "give its path as wallet_file"),
    ("collector.private_key", "1234-secret", "no secret in the configuration", "give its path as private_key_file"),
    ("mqtt.password", "1234-secret", "no secret in the configuration", "give its path as password_file"),
    ("mqtt.hots", "x", "a known key", "did you mean host?"),
    ("collector.pin", ["x"], "no secret", "pin_file"),
    ("collector.pinns", ["x"], "a known key", "did you mean pins?"),
    ("collectr", {}, "a known key", "did you mean collector?"),
    ("zzz", 1, "a known key", "known keys are alerts, audit, aws, collector"),
    ("routes.topics", "x", "a known key", "did you mean topic?"),
    ("masking.rules.operatr", "mask", "a known key", "did you mean operator?"),
    ("mqtt", [], "a table", "[mqtt]"),
    ("mqtt.host", "", "a host name", "the broker's name"),
    ("mqtt.host", "robot..local", "a host name", "the broker's name"),
    ("mqtt.host", "x" * 64 + ".local", "a host name", "the broker's name"),
    ("mqtt.host", "robot 7", "a host name", "the broker's name"),
    ("mqtt.host", "a\0b", "a host name", "the broker's name"),
    ("mqtt.host", "röboter.local", "a host name", "xn--"),
    ("mqtt.client_id", "", "without a fixed id the broker keeps no session", "name this client"),
    ("mqtt.client_id", "c" * 129, "1 to 128 printable", "name this client"),
    ("mqtt.client_id", "a\0b", "1 to 128 printable", "name this client"),
    ("mqtt.username", "a\0b", "printable", "that the broker knows"),
    ("mqtt.username", "u" * 70_000, "at most 1024", "that the broker knows"),
    ("device.id", "d" * 129, "1 to 128", "another id"),
    ("device.id", "a/b", "1 to 128", "another id"),
    ("device.id", "..", "neither '.' nor '..'", "another id"),
    ("device.robots", {"serial": "r" * 300}, "1 to 128", "another id"),
    ("routes.deadband", {"/a": "wide"}, "a number", "right type"),
    ("routes.deadband", {"/a": -0.1}, "a number from 0", "in the range"),
    ("device.robots", {"serial": ""}, "1 to 128", "another id"),
    ("mqtt.port", 0, "from 1 to 65535", "in the range"),
    ("mqtt.port", 65536, "from 1 to 65535", "in the range"),
    ("mqtt.port", "1883", "a whole number", "right type"),
    ("mqtt.port", True, "a whole number", "right type"),
    ("mqtt.port", 1883.0, "a whole number", "right type"),
    ("mqtt.tls", 1, "true or false", "right type"),
    ("mqtt.tls", "false", "true or false", "right type"),
    ("mqtt.ca_file", "ca.pem", "tls = true", "add tls = true"),
    ("mqtt.certificate_file", "c.pem", "tls = true", "add tls = true"),
    ("mqtt.private_key_file", "k.pem", "a certificate", "add certificate_file to [mqtt]"),
    ("mqtt.password_file", "pw", "a user name", "add username to [mqtt]"),
    ("mqtt.connect_timeout_seconds", 0, "from 0.1 to 300", "in the range"),
    ("intake.largest_payload_bytes", 262145, "from 1024 to 262144", "in the range"),
    ("intake.max_group", -1, "from 1", "in the range"),
    ("seal.max_age_seconds", float("inf"), "from 0.05", "in the range"),
    ("seal.max_age_seconds", float("nan"), "from 0.05", "in the range"),
    ("seal.max_bytes", 480 * 1024, "below collector.max_envelope_bytes", "lower seal.max_bytes"),
    ("seal.max_age_seconds", "30", "a number", "right type"),
    ("seal.hash_alg", "md5", "'sha256', 'blake3'", "choose one"),
    ("store.when_full", "drop", "'block', 'drop_oldest'", "choose one"),
    ("store.max_bytes", 1, "from", "in the range"),
    ("signer.timeout_seconds", 0.1, "from 0.5 to 300", "in the range"),
    ("signer.socket", "/" + "s" * 107, "at most 107 bytes", "shorter path"),
    ("state_directory", "/" + "é" * 47, "at most 107 bytes", "shorter path"),
    ("collector.private_key_file", "k.pem", "a certificate", "add certificate_file to [collector]"),
    ("collector.backoff_min_seconds", 301, "at most collector.backoff_max_seconds, which is 300", "smaller"),
    ("fleet.battery_route", "no-such", "the name of a route", "name one of"),
    ("metrics.listen", "0.0.0.0:9464", '"127.0.0.1:PORT"', "an agent on this machine"),
    ("metrics.listen", "[::1]:9464", '"127.0.0.1:PORT"', "an agent on this machine"),
    ("metrics.listen", "localhost:9464", '"127.0.0.1:PORT"', "an agent on this machine"),
    ("metrics.listen", "127.0.0.1", '"127.0.0.1:PORT"', "an agent on this machine"),
    ("metrics.listen", "127.0.0.1:80", "a port from 1024", "an agent on this machine"),
    ("metrics.listen", "127.0.0.1:65536", "a port from 1024 to 65535", "an agent on this machine"),
    ("metrics.listen", "127.0.0.1:9464\n", '"127.0.0.1:PORT"', "an agent on this machine"),
    ("metrics.textfile", "/run/actod.txt", "ends in .prom", "rename it"),
    ("metrics.textfile_interval_seconds", 0, "from 1 to 3600", "in the range"),
    ("fleet.interval_seconds", 0, "from 1 to", "in the range"),
    ("fleet.api_key", "1234-secret", "no secret in the configuration", "give its path as api_key_file"),
    ("alerts", [{"name": "A b", "url_file": "u"}], "a name of its own", "rename the channel"),
    ("alerts", [{"name": "a", "url_file": "u"}, {"name": "a", "url_file": "v"}], "a name of its own", "rename the channel"),
    ("alerts", [{"name": "a", "url": "https://1234-secret"}], "a known key", "url_file"),
    ("collector.pins", "sha256/x", "a list", "right type"),
    ("collector.pins", [1], "text", "right type"),
    ("collector.bulk_hours_utc", "22:00-22:00", "two different times of day", "leave it empty"),
    ("collector.bulk_hours_utc", "night", "two different times of day", "leave it empty"),
    ("collector.fleet_share", 0, "from 0.0001 to 1", "in the range"),
    ("masking.pseudonym_epoch_days", 0, "from 1", "in the range"),
    ("masking.rules", [{"operator": "erase"}], "'mask', 'redact'", "choose one"),
    ("masking.rules", [{"type": "email"}], "text", "add operator to [masking.rules]"),
    ("log.level", "trace", "'debug', 'info'", "choose one"),
    ("routes", [], "at least one [[routes]]", "name the topics"),
    ("routes", {"name": "x"}, "a list", "right type"),
    ("routes", ["x"], "a table", "[routes]"),
    ("routes.qos", 2, "0 or 1", "use 1"),
    ("routes.name", "Robots", "lower-case", "rename"),
    ("routes.name", "", "lower-case", "rename"),
    ("routes.name", "x" * 33, "up to 32", "rename"),
    ("routes.profile", "vda", "'vda5050-v2'", "choose one"),
    ("routes.traffic_class", "urgent", "'intervention'", "choose one"),
    ("device.robots", {"serial": 1}, "text", "right type"),
    ("token.pin_file", "credential:../pin", "a systemd credential", "LoadCredential=name:"),
]


@pytest.mark.parametrize(("key", "value", "expected", "remedy"), REFUSED)
def test_a_value_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, expected: str, remedy: str
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = write(tmp_path, changed(key, value))
    with pytest.raises(ConfigError) as caught:
        configfile.load(file)
    error = caught.value
    assert error.exit_code == EXIT_CONFIG
    named = error.key.split(".")
    assert named[: len(key.split("."))] == key.split(".") or error.key == "signer.socket"
    message = str(error)
    assert message.startswith(f"config: {file}: {error.key}: expected ")
    assert expected in message.partition(". Fix: ")[0]
    assert remedy in message.partition(". Fix: ")[2]
    assert "1234-secret" not in message + repr(error)


@pytest.mark.parametrize("key", ["environment", "state_directory", "token", "collector", "routes"])
def test_what_must_be_there_is_named_when_it_is_missing(tmp_path: Path, key: str) -> None:
    config = changed(key, None)
    del config[key]
    file = write(tmp_path, config)
    with pytest.raises(ConfigError, match=rf"{file}: {key}: expected .*, found nothing\. Fix: add {key} to the top"):
        configfile.load(file)


@pytest.mark.parametrize("key", ["token.uri", "token.pin_file", "collector.url", "collector.pins", "collector.api_key_file"])
def test_a_table_that_lacks_a_key_is_named_with_it(tmp_path: Path, key: str) -> None:
    config = changed(key, None)
    table, name = key.split(".")
    del config[table][name]
    file = write(tmp_path, config)
    with pytest.raises(ConfigError, match=rf"{file}: {key}: expected .*, found nothing\. Fix: add {name} to \[{table}\]"):
        configfile.load(file)


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_budgets_are_switched_off_in_dev_alone(tmp_path: Path, environment: str) -> None:
    config = changed("collector.budgets", False)  # noqa: FBT003 - the value of a key
    assert not configfile.load(write(tmp_path, config)).collector.budgets
    config["environment"] = environment
    with pytest.raises(ConfigError, match=rf"collector\.budgets.*found false in {environment}.*below the server's"):
        configfile.load(write(tmp_path, config))


def test_two_routes_of_one_name_are_refused(tmp_path: Path) -> None:
    config = changed("environment", "dev")
    config["routes"] *= 2
    with pytest.raises(ConfigError, match=r"routes\.name.*found 'all'.*rename"):
        configfile.load(write(tmp_path, config))


@pytest.mark.parametrize(
    ("content", "key", "expected"),
    [
        (b"environment = ", "(syntax)", "TOML"),
        (b"[mqtt]\nport = 1\nport = 2\n", "(syntax)", "TOML"),
        (b"environment = '\xff'", "(file)", "UTF-8"),
        (None, "(file)", "readable"),
    ],
)
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes | None, key: str, expected: str) -> None:
    file = tmp_path / "actod.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        configfile.load(file)
    assert (caught.value.file, caught.value.key) == (str(file), key)
    assert expected in caught.value.expected
    assert caught.value.fix


def test_a_credential_is_a_file_of_the_units_folder_and_nothing_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/actod.service")
    config = configfile.load(write(tmp_path, changed("token.pin_file", "credential:token-pin")))
    assert config.token.pin_file == Path("/run/credentials/actod.service/token-pin")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")  # a command beside the unit sees what the daemon sees: one digest
    assert configfile.load(tmp_path / "actod.toml") == config
    with pytest.raises(ConfigError, match=r"token\.pin_file: expected a systemd credential, found a path"):
        configfile.load(write(tmp_path, changed("token.pin_file", "credential:../../pin")))


def test_a_folder_of_drop_ins_that_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, changed("environment", "dev"))
    (tmp_path / "conf.d").symlink_to("conf.d")
    with pytest.raises(ConfigError, match=r"conf\.d: \(folder\): expected a folder that we can list.*Fix: "):
        configfile.load(file)


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_the_limits_can_be_switched_off_in_dev_alone(tmp_path: Path, environment: str) -> None:
    config = changed("intake.limits", value=False)
    assert not configfile.load(write(tmp_path, config)).intake.limits
    with pytest.raises(ConfigError, match=r"intake\.limits: expected true"):
        configfile.load(write(tmp_path, config | {"environment": environment}))
