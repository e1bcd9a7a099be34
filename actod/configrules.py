"""What a configuration's values may be, and what only several of them together can get wrong."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actod.config import (
    MAX_SOCKET_PATH_BYTES,
    CollectorConfig,
    Config,
    DeviceConfig,
    MetricsConfig,
    MqttConfig,
    marks_bytes,
)
from actod.configranges import CHOICES, RANGES
from actod.errors import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}\Z")  # what the collector takes in the path of a device
_HOURS = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-(?!\1)(?:[01][0-9]|2[0-3]):[0-5][0-9]\Z")
_LISTEN = re.compile(r"127\.0\.0\.1:([1-9][0-9]{3,4})\Z")
_FIRST_PORT, _LAST_PORT = 1024, 65535
_LONGEST_CLIENT_ID, _LONGEST_USERNAME = 128, 1024  # MQTT would take 65535 bytes; the first stands in the audit log


@dataclass(frozen=True, slots=True)
class Origin:
    """Which file a key came from."""

    main: str
    files: dict[str, str]

    def of(self, key: str) -> str:
        """Return the file that set the key, or the table that it stands in."""
        while key:
            if key in self.files:
                return self.files[key]
            key = key.rpartition(".")[0]
        return self.main


def check_value(key: str, value: Any, origin: Origin) -> None:
    """Check one value by its key. Raises ConfigError."""
    if key in CHOICES and value not in CHOICES[key]:
        expected = "one of " + ", ".join(repr(choice) for choice in CHOICES[key])
        raise ConfigError(file=origin.of(key), key=key, expected=expected, found=repr(value), fix="choose one of them")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = RANGES.get(key, (0, float("inf")))
        if not low <= value <= high:  # NaN lies in no range
            raise ConfigError(
                file=origin.of(key),
                key=key,
                expected=f"a number from {low:g} to {high:g}",
                found=repr(value),
                fix="choose a value in the range",
            )


def _check_routes(config: Config, origin: Origin) -> None:
    file = origin.of("routes")
    if not config.routes:
        raise ConfigError(file=file, key="routes", expected="at least one [[routes]] table", fix="name the topics to take")
    seen: set[str] = set()
    for route in config.routes:
        if not _NAME.match(route.name) or route.name in seen:
            raise ConfigError(
                file=file,
                key="routes.name",
                found=repr(route.name),
                expected="a name of its own of up to 32 lower-case letters, digits, '-' or '_'",
                fix="rename the route: its name stands in the signed ledger",
            )
        if route.qos not in {0, 1}:
            raise ConfigError(
                file=file,
                key="routes.qos",
                expected="0 or 1",
                found=repr(route.qos),
                fix="use 1: with 2 a kill between PUBREC and disk loses the message",
            )
        seen.add(route.name)


def _check_limits(config: Config, origin: Origin) -> None:
    if not config.intake.limits and config.environment != "dev":
        raise ConfigError(
            file=origin.of("intake.limits"),
            key="intake.limits",
            expected=f'true where environment = "{config.environment}"',
            found="false: a flood would fill the disk",
            fix="raise the numbers of [intake.robot_limit] and of the routes' limit instead",
        )


def _check_alerts(config: Config, origin: Origin) -> None:
    names = [alert.name for alert in config.alerts]
    for name in names:
        if not _NAME.match(name) or names.count(name) > 1:
            raise ConfigError(
                file=origin.of("alerts"),
                key="alerts.name",
                found=repr(name[:40]),
                expected="a name of its own of up to 32 lower-case letters, digits, '-' or '_'",
                fix="rename the channel: `actod alert test NAME` names it",
            )


def _check_fleet(config: Config, origin: Origin) -> None:
    fleet = config.fleet
    if fleet.battery_route and fleet.battery_route not in {route.name for route in config.routes}:
        raise ConfigError(
            file=origin.of("fleet.battery_route"),
            key="fleet.battery_route",
            expected="the name of a route",
            found=repr(fleet.battery_route[:40]),
            fix="name one of [[routes]], or leave it out",
        )


def _check_metrics(metrics: MetricsConfig, origin: Origin) -> None:
    found = _LISTEN.match(metrics.listen)
    if metrics.listen and not (found and _FIRST_PORT <= int(found[1]) <= _LAST_PORT):
        raise ConfigError(
            file=origin.of("metrics.listen"),
            key="metrics.listen",
            expected='"127.0.0.1:PORT", with a port from 1024 to 65535: no other machine may ask',
            found=repr(metrics.listen[:80]),
            fix='write "127.0.0.1:9464", and let an agent on this machine pass the metrics on',
        )
    if metrics.textfile is not None and metrics.textfile.suffix != ".prom":
        raise ConfigError(
            file=origin.of("metrics.textfile"),
            key="metrics.textfile",
            expected="a file that ends in .prom: node_exporter reads no others",
            found=str(metrics.textfile),
            fix="rename it, such as /run/actod-metrics/actod.prom",
        )


def check_together(config: Config, origin: Origin) -> None:
    """Check what only several values together can get wrong. Raises ConfigError."""
    _check_routes(config, origin)
    _check_limits(config, origin)
    _check_device(config.device, origin)
    _check_mqtt(config.mqtt, origin)
    _check_alerts(config, origin)
    _check_fleet(config, origin)
    _check_metrics(config.metrics, origin)
    collector = config.collector
    if collector.backoff_min_seconds > collector.backoff_max_seconds:
        raise ConfigError(
            file=origin.of("collector.backoff_min_seconds"),
            key="collector.backoff_min_seconds",
            expected=f"at most collector.backoff_max_seconds, which is {collector.backoff_max_seconds:g}",
            found=f"{collector.backoff_min_seconds:g}",
            fix="make it smaller",
        )
    _check_sizes(config, origin)
    _check_budgets(collector, config.environment, origin)
    for table, certificate, private_key in (
        ("mqtt", config.mqtt.certificate_file, config.mqtt.private_key_file),
        ("collector", collector.certificate_file, collector.private_key_file),
    ):
        if private_key and not certificate:
            raise ConfigError(
                file=origin.of(f"{table}.private_key_file"),
                key=f"{table}.private_key_file",
                expected="a certificate to go with the key",
                found="none",
                fix=f"add certificate_file to [{table}]",
            )
    for table, socket, named in (
        ("signer", config.signer_socket, config.signer.socket),
        ("control", config.control_socket, config.control.socket),
    ):
        _check_socket(table, socket, origin.of(f"{table}.socket" if named else "state_directory"))


def _check_socket(table: str, socket: Path, file: str) -> None:
    length = len(os.fsencode(socket))
    if length > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            file=file,
            key=f"{table}.socket",
            expected=f"a path of at most {MAX_SOCKET_PATH_BYTES} bytes (unix(7))",
            found=f"{socket}, {length} bytes",
            fix=f'set socket in [{table}] to a shorter path, such as "/run/actod/{table}.sock"',
        )


def _check_sizes(config: Config, origin: Origin) -> None:
    """Hold a bundle's events, and two marks for each of them, to what the collector takes."""
    seal = config.seal
    marks = marks_bytes(max_events=seal.max_events, events_bytes=seal.max_bytes)
    room = config.collector.largest_event_bytes - marks
    if seal.max_bytes > room:
        raise ConfigError(
            file=origin.of("seal.max_bytes"),
            key="seal.max_bytes",
            expected=f"at most {room}, so that an envelope stays below collector.max_envelope_bytes",
            found=str(seal.max_bytes),
            fix="lower seal.max_bytes or seal.max_events, or raise collector.max_envelope_bytes if the server takes more",
        )


def _check_budgets(collector: CollectorConfig, environment: str, origin: Origin) -> None:
    if not collector.budgets and environment != "dev":
        raise ConfigError(
            file=origin.of("collector.budgets"),
            key="collector.budgets",
            expected="true, but in dev",
            found=f"false in {environment}",
            fix="keep it, and choose limits below the server's",
        )
    if collector.bulk_hours_utc and not _HOURS.match(collector.bulk_hours_utc):
        raise ConfigError(
            file=origin.of("collector.bulk_hours_utc"),
            key="collector.bulk_hours_utc",
            expected='two different times of day in UTC, such as "22:00-06:00"',
            found=repr(collector.bulk_hours_utc[:40]),
            fix="correct it, or leave it empty",
        )


def _check_device(device: DeviceConfig, origin: Origin) -> None:
    named = [("device.id", device.id)] if device.id else []
    for key, value in (*named, *(("device.robots", robot_id) for robot_id in device.robots.values())):
        if not _ID.match(value):
            raise ConfigError(
                file=origin.of(key),
                key=key,
                expected="ids of 1 to 128 letters, digits, '.', '_' or '-', neither '.' nor '..'",
                found=repr(value[:140]),
                fix="choose another id: it is signed into every bundle, and the collector has it in paths",
            )


def _check_mqtt(mqtt: MqttConfig, origin: Origin) -> None:
    _check_mqtt_names(mqtt, origin)
    for name in ("ca_file", "certificate_file"):
        if getattr(mqtt, name) and not mqtt.tls:
            raise ConfigError(
                file=origin.of(f"mqtt.{name}"),
                key=f"mqtt.{name}",
                expected="tls = true beside it",
                found="tls = false: everything would go unencrypted",
                fix="add tls = true to [mqtt], and the broker's TLS port",
            )
    if mqtt.password_file and not mqtt.username:
        raise ConfigError(
            file=origin.of("mqtt.password_file"),
            key="mqtt.password_file",
            expected="a user name to go with the password",
            found="none: the password would never be sent",
            fix="add username to [mqtt]",
        )


def _check_mqtt_names(mqtt: MqttConfig, origin: Origin) -> None:
    """Check what goes to the resolver and into the CONNECT packet: a refusal there would end the daemon."""
    username = mqtt.username
    for name, good, expected, fix in (
        (
            "host",
            _is_host(mqtt.host),
            "a host name or an address",
            "write the broker's name, with an international one as xn--",
        ),
        (
            "client_id",
            0 < len(mqtt.client_id) <= _LONGEST_CLIENT_ID and mqtt.client_id.isprintable(),
            f"1 to {_LONGEST_CLIENT_ID} printable characters: without a fixed id the broker keeps no session",
            "name this client, each at the broker by a name of its own",
        ),
        (
            "username",
            len(username) <= _LONGEST_USERNAME and (not username or username.isprintable()),
            f"at most {_LONGEST_USERNAME} printable characters",
            "write the name that the broker knows",
        ),
    ):
        if not good:
            found = repr(getattr(mqtt, name)[:80])
            key = f"mqtt.{name}"
            raise ConfigError(file=origin.of(key), key=key, expected=expected, found=found, fix=fix)


def _is_host(host: str) -> bool:
    """Whether the resolver can be asked: it raises for an empty label or one of more than 63 bytes."""
    try:
        return host.isascii() and host.isprintable() and " " not in host and bool(host.encode("idna"))
    except UnicodeError:
        return False
