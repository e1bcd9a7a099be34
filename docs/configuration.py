#!/usr/bin/env python3
"""Print docs/configuration.md from the types: python docs/configuration.py > docs/configuration.md."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import sys
import tokenize
import typing
from collections.abc import Iterator
from typing import Any

from actod import config, configfile, configranges, facts

_HEAD = """# The configuration, key by key

Made from the types that the configuration is read into (`actod/config.py`), so it has each key there is. One TOML file,
`/etc/actod/actod.toml`, then `conf.d/*.toml` beside it in the order of their names: a table is merged, anything else
replaces. An unknown key, a wrong type or a value out of range is refused at start with file, key, what was expected and its
fix; `actod run --dry-run` says so beforehand. What changes without a restart: [reload.md](reload.md).

A path is relative to the folder of the main file; `credential:NAME` names a systemd credential. A secret never stands in the
configuration: each key that ends in `_file` names the file that holds it, of mode 0600 or stricter.
"""
_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"))


def document() -> str:
    """Return the page as Markdown."""
    return "\n".join((_HEAD, *_table(config.Config, key="", heading="The top of the file")))


def _table(cls: type[Any], *, key: str, heading: str) -> Iterator[str]:
    """Yield the lines of one table, then those of the tables in it."""
    hints, comments = typing.get_type_hints(cls), _comments(cls)
    inner = [(item.name, *_inside(hints[item.name])) for item in dataclasses.fields(cls)]
    yield f"## {heading}\n"
    yield inspect.cleandoc(cls.__doc__ or "") + "\n"
    rows = [item for item, (_name, table, _bracket) in zip(dataclasses.fields(cls), inner, strict=True) if table is None]
    if rows:
        yield "| key | value | default | what it is for |"
        yield "|---|---|---|---|"
    for item in rows:
        full = f"{key}.{item.name}" if key else item.name
        cells = (f"`{item.name}`", _value(full, hints[item.name]), _default(item), comments[item.name])
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"
    yield ""
    for name, table, bracket in inner:
        if table is not None:
            full = f"{key}.{name}" if key else name
            yield from _table(table, key=full, heading=f"`{bracket}{full}{bracket.replace('[', ']')}`")


def _inside(hint: Any) -> tuple[type[Any] | None, str]:
    """Return the table that a key holds, if any, and how many brackets its heading has."""
    if dataclasses.is_dataclass(hint):
        return typing.cast("type[Any]", hint), "["
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is list and dataclasses.is_dataclass(parts[0]):
        return typing.cast("type[Any]", parts[0]), "[["
    return None, ""


def _comments(cls: type[Any]) -> dict[str, str]:
    """Return what stands beside each field in the source. Raises KeyError later for a field with nothing beside it."""
    source = inspect.getsource(cls)
    beside = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (body,) = ast.parse(source).body
    fields = (node for node in typing.cast("ast.ClassDef", body).body if isinstance(node, ast.AnnAssign))
    return {typing.cast("ast.Name", node.target).id: beside[node.lineno] for node in fields if node.lineno in beside}


def _value(key: str, hint: Any) -> str:
    choices = configranges.CHOICES.get(key)
    if choices:
        return ", ".join(f'`"{choice}"`' for choice in choices)
    words = _words(hint)
    if key in configranges.RANGES:
        low, high = configranges.RANGES[key]
        words = f"{words}, {_number(low)} to {_number(high)}"
    return f"{words}, with facts" if key in facts.KEYS else words


def _words(hint: Any) -> str:
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    match typing.get_origin(hint):
        case origin if origin is list:
            return f"list: {_words(parts[0])}"
        case origin if origin is dict:
            return f"table: name = {_words(parts[1])}"
    return configfile.words(parts[0] if parts else hint)


def _default(item: dataclasses.Field[Any]) -> str:
    if item.default_factory is not dataclasses.MISSING:
        return "none"
    if item.default is dataclasses.MISSING:
        return "must be given"
    value = item.default
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value}` ({_number(value)})" if _number(value).endswith("iB") else f"`{value}`"


def _number(value: float) -> str:
    for size, unit in _UNITS:
        if value >= size and value % size == 0:
            return f"{int(value) // size} {unit}"
    return f"{value:.12g}"


if __name__ == "__main__":
    sys.stdout.write(document())
