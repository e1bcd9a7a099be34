"""A robot whose disk was put back to an earlier image has lived more than once: which bundles are of which life.

No robot can find that out by itself (docs/guarantees.md): everything that could tell is part of what was put back. The
rig knows when it did it. Each life by itself has to be whole; held together they have to show as a fork.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson


def lives(envelopes: Sequence[dict[str, Any]], overwritten: Sequence[range]) -> list[list[int]]:
    """Return the places of each life's bundles: first the life that goes on, then those that were overwritten.

    `overwritten` are the places of what arrived between an image and its being put back. What the image held already, sealed
    and not yet sent, belongs to both lives: it is what stands before the first bundle that was sealed anew.
    """
    numbers = [_number(envelope) for envelope in envelopes]
    undone: set[int] = set()
    ended = []
    for span in overwritten:
        anew = min(numbers[span.stop :], default=None)
        ended.append([place for place in range(span.stop) if place not in undone])
        undone.update(place for place in span if anew is not None and numbers[place] >= anew)
    return [[place for place in range(len(numbers)) if place not in undone], *ended]


def holes(envelopes: Sequence[dict[str, Any]]) -> dict[tuple[str, int], list[int]]:
    """Return, of each (device, epoch) that has any, the numbers that are missing between its first bundle and its last."""
    numbers: dict[tuple[str, int], set[int]] = {}
    for envelope in envelopes:
        part = envelope["payload"]["meta"]["actod"]
        numbers.setdefault((part["device"], part["epoch"]), set()).add(part["device_seq"])
    missing = {key: sorted(set(range(min(found), max(found))) - found) for key, found in numbers.items()}
    return {key: gone for key, gone in missing.items() if gone}


def _number(envelope: dict[str, Any]) -> tuple[int, int]:
    part = envelope["payload"]["meta"]["actod"]
    return part["epoch"], part["device_seq"]


def write(file: Path, overwritten: Sequence[range]) -> list[Path]:
    """Write each life's lines of a JSONL file to a file beside it, byte for byte; one life is the file itself."""
    if not overwritten:
        return [file]
    lines = file.read_bytes().splitlines(keepends=True)
    written = []
    for number, places in enumerate(lives([orjson.loads(line) for line in lines], overwritten), start=1):
        life = file.with_name(f"life-{number}.jsonl")
        life.write_bytes(b"".join(lines[place] for place in places))
        written.append(life)
    return written
