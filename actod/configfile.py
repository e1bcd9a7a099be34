"""Load the configuration: one TOML file, then `conf.d/*.toml` beside it, to the frozen types of `actod/config.py`.

Drop-ins are read in the order of their names (those that begin with a dot are no drop-ins); a table is merged, anything
else replaces. Every refusal names the file, the key, what was expected and how to mend it. Relative paths are relative
to the folder of the one file, in drop-ins too; `credential:NAME` names a systemd credential.
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

from actod import configrules, facts
from actod.config import Config
from actod.configrules import Origin
from actod.errors import ConfigError
from actod.secretfile import CREDENTIALS_OF_THE_UNIT

_SECRET_WORDS = ("password", "secret", "api_key", "apikey", "pin", "token_pin", "bearer", "private_key", "wallet")


def load(path: Path) -> Config:
    """Read and check everything that can be checked without touching token, broker or server. Raises ConfigError."""
    path = Path(path)
    merged, origin = _gather(path)
    config: Config = _build(Config, merged, key="", origin=origin, folder=path.parent.resolve())
    configrules.check_together(config, origin)
    return config


def located(error: ConfigError, path: Path) -> ConfigError:
    """Name the file that sets the key in an error that was raised where only the key was known."""
    if error.file:
        return error
    _merged, origin = _gather(Path(path))
    file = origin.of(re.sub(r"\[\d+\]", "", error.key))
    return ConfigError(file=file, key=error.key, expected=error.expected, fix=error.fix, found=error.found)


def files(path: Path) -> list[Path]:
    """Return the files that `load` reads, in its order. Raises ConfigError if conf.d cannot be listed."""
    return [path, *_drop_ins(path.parent / "conf.d")]


def digest(config: Config) -> str:
    """Return the SHA-256 (64 hex characters) of the effective configuration, which holds no secret."""
    body = orjson.dumps(dataclasses.asdict(config), default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).hexdigest()


def _gather(path: Path) -> tuple[dict[str, Any], Origin]:
    origin: dict[str, str] = {}
    merged: dict[str, Any] = {}
    for file in files(path):
        _merge(merged, _read(file), file=str(file), origin=origin)
    return merged, Origin(str(path), origin)


def _drop_ins(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:  # a drop-in that is passed over in silence is a setting that is not set
        raise ConfigError(
            file=str(folder),
            key="(folder)",
            expected="a folder that we can list",
            found=exc.strerror or "an error",
            fix=f"chmod 755 {folder}",
        ) from exc
    return [file for file in found if file.suffix == ".toml" and not file.name.startswith(".")]


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


def _build(cls: type[Any], table: Any, *, key: str, origin: Origin, folder: Path) -> Any:
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
                expected=words(hints[item.name]),
                found="nothing",
                fix=f"add {item.name} to {'[' + key + ']' if key else 'the top of the file'}",
            )
    return cls(**values)


def _unknown(key: str, hints: dict[str, Any], origin: Origin) -> ConfigError:
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


def _convert(hint: Any, value: Any, *, key: str, origin: Origin, folder: Path) -> Any:
    if isinstance(hint, types.UnionType):  # only `Path | None` occurs
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, key=key, origin=origin, folder=folder)
    container = typing.get_origin(hint)
    if container is list and isinstance(value, list):
        (part,) = typing.get_args(hint)
        return [_convert(part, item, key=key, origin=origin, folder=folder) for item in value]
    if container is dict and isinstance(value, dict):
        _name, part = typing.get_args(hint)
        return {name: _convert(part, item, key=key, origin=origin, folder=folder) for name, item in value.items()}
    if hint is Path and isinstance(value, str) and value:
        return _path(value, key=key, origin=origin, folder=folder)
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(
            file=origin.of(key), key=key, expected=words(hint), found=type(value).__name__, fix="write the right type"
        )
    if key in facts.KEYS:
        value = facts.fill_in(value, key=key, file=origin.of(key))
    configrules.check_value(key, value, origin)
    return value


def _path(value: str, *, key: str, origin: Origin, folder: Path) -> Path:
    if not value.startswith("credential:"):
        return folder / Path(value).expanduser()
    name = value.removeprefix("credential:")
    if "/" in name:
        raise ConfigError(
            file=origin.of(key),
            key=key,
            expected="a systemd credential",
            found="a path",
            fix="write its name alone, and LoadCredential=name:/path in the unit; or give a file's path",
        )
    # Commands are run beside the unit, too: they see what the running daemon sees, and what is not there is named later.
    return Path(os.environ.get("CREDENTIALS_DIRECTORY", "") or CREDENTIALS_OF_THE_UNIT) / name


def words(hint: Any) -> str:
    """Return what a value of that type is called."""
    names = {str: "text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}
    if hint in names:
        return names[hint]
    container = typing.get_origin(hint)
    return "a list" if container is list else "a table"
