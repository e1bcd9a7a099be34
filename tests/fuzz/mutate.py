"""A mutator that knows JSON: it changes one value of a message, wraps it, repeats it, or lets the bytes be changed.

Pure: the same data and seed give the same result, if the mutator of bytes does.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.fuzz.words import KEYS, LAYERS, SCALARS, TEXTS, TOKENS, TOPICS

ByBytes = Callable[[bytes, int], bytes]
_BETWEEN = ("", " ", ", ", ": ", "=", "\n", "/", '"')
_SEPARATOR = b"\x1e"
_MOST_PLACES = 400
_LONGEST_WRAPPED = 20_000


def mutator(target: str, by_bytes: ByBytes) -> Callable[[bytes, int, int], bytes]:
    """Return the mutator of a target, as atheris wants it: (data, most bytes, seed) to data."""
    split_line = b"\n" if target in {"message", "twice"} else b""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311 - repeatable
        if target in {"transport", "wire"} or chance.random() < 0.25:
            changed = _with_token(data, chance) if chance.random() < 0.3 else by_bytes(data, max_size)
        else:
            changed = _in_parts(data, split_line, chance)
        return changed[:max_size]

    return mutate


def swap_bytes(chance: random.Random) -> ByBytes:
    """Return a simple mutator of bytes, for where no fuzzer brings its own."""

    def by_bytes(data: bytes, max_size: int) -> bytes:
        at = chance.randrange(len(data) + 1)
        return (data[:at] + chance.randbytes(chance.randrange(3)) + data[at + chance.randrange(3) :])[:max_size]

    return by_bytes


def _with_token(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    cut = chance.choice((0, 0, 1, 4, 16))
    return data[:at] + chance.choice(TOKENS) * chance.choice((1, 1, 1, 2, 50)) + data[at + cut :]


def _in_parts(data: bytes, split_line: bytes, chance: random.Random) -> bytes:
    """Change one message, envelope or line of an input."""
    parts = data.split(_SEPARATOR)
    index = chance.randrange(len(parts))
    if split_line:
        head, _, payload = parts[index].partition(b"\n")
        if chance.random() < 0.1:
            head = chance.choice(b"0123456789;=?").to_bytes(1) + chance.choice(TOPICS).encode()
        parts[index] = head + b"\n" + _document(payload, chance)
    else:
        lines = parts[index].split(b"\n")
        line = chance.randrange(len(lines))
        head, lines[line] = (lines[line][:1], lines[line][1:]) if line == 0 else (b"", lines[line])
        if head and chance.random() < 0.1:
            head = chance.choice((b"0", b"1"))
        lines[line] = head + _document(lines[line], chance)
        if chance.random() < 0.1:
            lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
        parts[index] = b"\n".join(lines)
    if chance.random() < 0.1:
        parts.insert(index, parts[chance.randrange(len(parts))])
    elif len(parts) > 1 and chance.random() < 0.1:
        del parts[index]
    return _SEPARATOR.join(parts)


def _document(text: bytes, chance: random.Random) -> bytes:
    """Change one JSON text; what is none is wrapped, repeated, or replaced by one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        plain = text.decode("utf-8", "replace")
        choice = chance.randrange(4)
        if choice == 0:
            return _text(plain, chance).encode("utf-8", "replace")
        value = {chance.choice(KEYS): plain} if choice == 1 else [plain] if choice == 2 else {"note": chance.choice(TEXTS)}
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = _changed(value, chance)
    written = json.dumps(
        value, ensure_ascii=chance.random() < 0.3, separators=chance.choice(((",", ":"), (", ", ": ")))
    ).encode("utf-8", "surrogatepass")
    if chance.random() < 0.05 and b'":' in written:  # a key twice
        written = written.replace(b"{", b'{"' + chance.choice(KEYS).encode() + b'":1,', chance.choice((1, 2)))
    return written


def _changed(value: Any, chance: random.Random) -> Any:
    """Return the value with one change somewhere."""
    places = list(_places(value))
    if not places or chance.random() < 0.05:
        return _new(value, chance)
    holder, key = chance.choice(places)
    choice = chance.randrange(10)
    if choice == 0:
        del holder[key]
    elif choice == 1 and isinstance(holder, dict):
        holder[chance.choice((*KEYS, chance.choice(TEXTS)))] = holder.pop(key)
    elif choice == 2 and isinstance(holder, dict):
        holder[chance.choice(KEYS)] = _new(holder[key], chance)
    elif choice == 2:
        holder.insert(key, _new(holder[key], chance))
    elif choice == 3:
        other, name = chance.choice(places)
        holder[key] = json.loads(json.dumps(other[name])) if name in other or isinstance(other, list) else None
    else:
        holder[key] = _new(holder[key], chance)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key or index) of the first members in a value, in breadth."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo and len(found) < _MOST_PLACES:
        item = todo.pop(0)
        if isinstance(item, dict | list):
            inner = item.items() if isinstance(item, dict) else enumerate(item)
            for key, member in inner:
                found.append((item, key))
                todo.append(member)
    return found


def _new(old: Any, chance: random.Random) -> Any:
    choice = chance.randrange(8)
    if choice == 0:
        return json.loads(json.dumps(chance.choice(SCALARS)))
    if choice == 1:
        return chance.choice(TEXTS)
    if choice == 2:
        return _deep(old, chance)
    if choice == 3:
        return [old, chance.choice(TEXTS)] if chance.random() < 0.5 else {chance.choice(KEYS): old}
    if choice == 4 and isinstance(old, int | float):
        return old + chance.choice((-1, 1, 0.5, 1e9, -1e15))
    text = old if isinstance(old, str) else json.dumps(old)
    return _text(text, chance)


def _deep(old: Any, chance: random.Random) -> Any:
    for _ in range(chance.choice((1, 3, 10, 60, 70, 130))):
        old = [old] if chance.random() < 0.5 else {chance.choice(KEYS): old}
    return old


def _text(text: str, chance: random.Random) -> str:
    choice = chance.randrange(6)
    if choice == 0:
        return chance.choice(LAYERS)(text[:_LONGEST_WRAPPED])
    if choice == 1:
        unit = chance.choice((chance.choice(TEXTS), text[: chance.choice((1, 2, 4, 8, 32))], _pair(chance))) or "a"
        return (unit * (chance.choice((64, 500, 2000, 4000)) // len(unit) + 1))[: chance.choice((600, 4000))]
    if choice == 2:
        at = chance.randrange(len(text) + 1)
        return text[:at] + chance.choice(TEXTS) + text[at:]
    if choice == 3:
        at = chance.randrange(len(text) + 1)
        return text[:at] + text[at + chance.choice((1, 2, 8)) :]
    if choice == 4:
        return chance.choice(KEYS) + chance.choice(_BETWEEN) + text
    return text + chance.choice(_BETWEEN) + chance.choice(TEXTS)


def _pair(chance: random.Random) -> str:
    """Two shapes side by side: what each alone is cheap at may be dear together."""
    return chance.choice(TEXTS)[:12] + chance.choice(_BETWEEN) + chance.choice(TEXTS)[:12]
