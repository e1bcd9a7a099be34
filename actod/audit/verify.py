"""Verification of an audit log: names the first bad line of one that was edited, reordered, cut or truncated."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from actod.audit.log import ZERO, line_hash, log_files
from actod.errors import RejectedError


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The verdict. `file`, `line` (from 1) and `n` say where the first problem is; `problem` is empty if there is none."""

    files: int
    lines: int
    head: str
    problem: str = ""
    file: str = ""
    line: int = 0
    n: int = 0


def verify_log(folder: Path, *, expected_heads: Iterable[str] = ()) -> AuditReport:
    """Hold every line against the chain. `expected_heads` are hashes that must occur (heads carried in bundles).

    A chain alone cannot show that its end was cut off: a head from outside can.
    """
    previous, n, seen, total = "", 0, set(), 0
    files = log_files(folder)
    for file in files:
        for number, raw in enumerate(file.read_bytes().split(b"\n"), 1):
            if not raw:
                continue
            problem, line = _problem(raw, previous, n)
            if problem:
                return AuditReport(len(files), total, previous, problem, file.name, number, n + 1)
            previous, n, total = line["hash"], line["n"], total + 1
            seen.add(previous)
    missing = [head for head in expected_heads if head != ZERO and head not in seen]
    if missing:
        text = f"truncated: {len(missing)} heads that bundles carry are not in the log, the first is {missing[0][:16]}"
        return AuditReport(len(files), total, previous, text, files[-1].name if files else "", 0, n + 1)
    return AuditReport(len(files), total, previous)


def _problem(raw: bytes, previous: str, n: int) -> tuple[str, dict[str, Any]]:
    try:
        line = orjson.loads(raw)
        claimed, own = line["hash"], line_hash(line)
        number, before = line["n"], line["prev"]
    except (orjson.JSONDecodeError, KeyError, TypeError, RejectedError):
        return "not a line of this log", {}
    if not isinstance(claimed, str) or not hmac.compare_digest(claimed, own):
        return "edited: the hash does not match the line", line
    if not previous:  # the oldest file that is left may begin anywhere
        if number == 1 and before != ZERO:
            return "line 1 names a predecessor", line
        return "", line
    if number != n + 1:
        return f"out of order: n is {number} where {n + 1} was expected (a line was removed, inserted or moved)", line
    if before != previous:
        return "the chain is broken: prev is not the hash of the line before", line
    return "", line
