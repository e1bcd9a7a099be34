"""A configuration that loads, and changes to it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

BASE: dict[str, Any] = {
    "environment": "dev",
    "state_directory": "/var/lib/actod",
    "token": {"uri": "pkcs11:token=t;object=o?module-path=/p11.so", "pin_file": "pin"},
    "collector": {
        "url": "https://collector.example",
        "pins": ["sha256/" + "A" * 43 + "=", "sha256/" + "B" * 42 + "A="],
        "api_key_file": "api-key",
    },
    "routes": [{"name": "all", "topic": "robot/#"}],
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """Return the base with one value set; "a.b" names a table's member, "routes.x" one of the first route."""
    config: dict[str, Any] = json.loads(json.dumps(BASE))
    *tables, name = key.split(".")
    at: Any = config
    for table in tables:
        at = at.setdefault(table, [{}] if table in {"rules", "detectors", "schemas", "alerts"} else {})
        at = at[0] if isinstance(at, list) else at
    at[name] = value
    return config


def write(folder: Path, config: dict[str, Any], name: str = "actod.toml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    text = toml(config)
    assert repr(tomllib.loads(text)) == repr(config)
    file.write_text(text, encoding="utf-8")
    return file


def toml(config: dict[str, Any]) -> str:
    """Write plain values first, then tables, as TOML wants it."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in config.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {_value(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)
