"""Load the configuration: one TOML file, then `conf.d/*.toml` beside it, to the frozen types of `actod/config.py`.

Drop-ins are read in the order of their names; a table is merged, anything else replaces. Every refusal names the file,
the key, what was expected and how to mend it. Relative paths are relative to the file's folder; `credential:NAME`
names a systemd credential.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import orjson

from actod.config import Config
from actod.errors import ConfigError

_SECRET_WORDS = ("password", "secret", "api_key", "apikey", "pin", "token_pin", "bearer", "private_key", "wallet")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")

# key -> (smallest, largest); a key that is not here takes any value of its type that is not negative
_RANGES: dict[str, tuple[float, float]] = {
    "mqtt.port": (1, 65535),
    "mqtt.keep_alive_seconds": (5, 3600),
    "mqtt.session_expiry_seconds": (60, 0xFFFF_FFFE),
    "mqtt.receive_maximum": (1, 65535),
    "intake.commit_interval_ms": (1, 10_000),
    "intake.quiet_ms": (1, 1000),
    "intake.max_group": (1, 100_000),
    "intake.max_messages": (10, 1_000_000),
    "intake.max_bytes": (1 << 20, 1 << 30),
    "intake.largest_payload_bytes": (1024, 256 * 1024),
    "intake.max_depth": (4, 120),
    "intake.max_open_runs": (1, 1024),
    "seal.max_events": (1, 100_000),
    "seal.max_bytes": (8192, 480 * 1024),
    "seal.max_age_seconds": (0.05, 86_400),
    "seal.heartbeat_seconds": (1, 86_400),
    "store.max_bytes": (8 << 20, 1 << 50),
    "signer.timeout_seconds": (0.5, 300),
    "collector.requests_per_second": (0.01, 1_000_000),
    "collector.max_envelope_bytes": (16 * 1024, 64 << 20),
    "audit.max_file_bytes": (16 * 1024, 1 << 30),
    "audit.max_files": (2, 10_000),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "environment": ("dev", "staging", "prod"),
    "store.when_full": ("block", "drop_oldest"),
    "seal.hash_alg": ("sha256", "blake3"),
    "log.level": ("debug", "info", "warning", "error"),
    "log.format": ("auto", "json", "text"),
    "routes.profile": ("", "vda5050-v2", "vda5050-v3"),
    "routes.traffic_class": ("intervention", "safety", "normal", "bulk"),
    "routes.mask": ("", "strict", "balanced", "secrets-only"),
    "masking.rules.operator": ("mask", "redact", "hash", "coarsen", "drop", "keep"),
}


def load(path: Path) -> Config:
    """Read and check everything that can be checked without touching token, broker or server. Raises ConfigError."""
    path = Path(path)
    origin: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for file in [path, *sorted((path.parent / "conf.d").glob("*.toml"))]:
        _merge(merged, _read(file), file=str(file), origin=origin)
    config: Config = _build(Config, merged, key="", origin=_Origin(str(path), origin), folder=path.parent.resolve())
    _check_routes(config, str(path))
    return config


def digest(config: Config) -> str:
    """Return the SHA-256 (64 hex characters) of the effective configuration, which holds no secret."""
    body = orjson.dumps(dataclasses.asdict(config), default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).hexdigest()


@dataclasses.dataclass(frozen=True)
class _Origin:
    """Which file a key came from."""

    main: str
    files: dict[str, str]

    def of(self, key: str) -> str:
        return self.files.get(key) or self.files.get(key.split(".", maxsplit=1)[0]) or self.main


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as exc:
        raise ConfigError(
            file=str(file),
            key="(file)",
            expected="a readable TOML file",
            found=exc.strerror or "an error",
            fix=f"write {file}, or name another with --config",
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(file=str(file), key="(file)", expected="UTF-8 text", fix="save the file as UTF-8") from exc
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(
            file=str(file), key="(syntax)", expected="TOML", found=str(exc), fix="mend the line that is named"
        ) from exc


def _merge(into: dict[str, Any], new: dict[str, Any], *, file: str, origin: dict[str, str], prefix: str = "") -> None:
    for name, value in new.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and isinstance(into.get(name, {}), dict):
            _merge(into.setdefault(name, {}), value, file=file, origin=origin, prefix=f"{key}.")
        else:
            into[name] = value
        origin[key] = file


def _build(cls: type[Any], table: Any, *, key: str, origin: _Origin, folder: Path) -> Any:
    if not isinstance(table, dict):
        raise ConfigError(file=origin.of(key), key=key, expected="a table", fix=f"write it as [{key}]")
    hints = typing.get_type_hints(cls)
    dotted = f"{key}." if key else ""
    for name in table:
        if name not in hints:
            raise _unknown(dotted + name, hints, origin)
    values = {}
    for item in dataclasses.fields(cls):
        full = f"{dotted}{item.name}"
        if item.name in table:
            values[item.name] = _convert(hints[item.name], table[item.name], key=full, origin=origin, folder=folder)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ConfigError(
                file=origin.of(key),
                key=full,
                expected=_words(hints[item.name]),
                found="nothing",
                fix=f"add {item.name} to {'[' + key + ']' if key else 'the top of the file'}",
            )
    return cls(**values)


def _unknown(key: str, hints: dict[str, Any], origin: _Origin) -> ConfigError:
    name = key.rsplit(".", 1)[-1]
    if name in _SECRET_WORDS:
        return ConfigError(
            file=origin.of(key),
            key=key,
            expected="no secret in the configuration",
            fix=f"write it to a file of mode 0600 and give its path as {name}_file",
        )
    near = difflib.get_close_matches(name, hints, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(sorted(hints))}"
    return ConfigError(file=origin.of(key), key=key, expected="a known key", found="an unknown one", fix=hint)


def _convert(hint: Any, value: Any, *, key: str, origin: _Origin, folder: Path) -> Any:
    if isinstance(hint, types.UnionType):  # only `Path | None` occurs
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, key=key, origin=origin, folder=folder)
    container = typing.get_origin(hint)
    if container is list and isinstance(value, list):
        (part,) = typing.get_args(hint)
        return [_convert(part, item, key=key, origin=origin, folder=folder) for item in value]
    if container is dict and isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return dict(value)
    if hint is Path and isinstance(value, str) and value:
        return _path(value, key=key, origin=origin, folder=folder)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(
            file=origin.of(key), key=key, expected=_words(hint), found=type(value).__name__, fix="write the right type"
        )
    _check(key, value, origin)
    return value


def _path(value: str, *, key: str, origin: _Origin, folder: Path) -> Path:
    if not value.startswith("credential:"):
        return folder / Path(value).expanduser()
    name = value.removeprefix("credential:")
    credentials = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not credentials or "/" in name:
        raise ConfigError(
            file=origin.of(key),
            key=key,
            expected="a systemd credential",
            found="no CREDENTIALS_DIRECTORY" if not credentials else "a path",
            fix=f"add LoadCredential={name}:/path to the unit, or give a file's path",
        )
    return Path(credentials) / name


def _check(key: str, value: Any, origin: _Origin) -> None:
    if key in _CHOICES and value not in _CHOICES[key]:
        expected = "one of " + ", ".join(repr(choice) for choice in _CHOICES[key])
        raise ConfigError(file=origin.of(key), key=key, expected=expected, found=repr(value), fix="choose one of them")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _RANGES.get(key, (0, float("inf")))
        if not low <= value <= high:
            raise ConfigError(
                file=origin.of(key),
                key=key,
                expected=f"a number from {low:g} to {high:g}",
                found=repr(value),
                fix="choose a value in the range",
            )


def _check_routes(config: Config, file: str) -> None:
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


def _words(hint: Any) -> str:
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    if hint in names:
        return names[hint]
    return "a list" if typing.get_origin(hint) is list else "a table"
