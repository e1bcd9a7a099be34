"""Verification of an audit log: names the first bad line of one that was edited, reordered, cut, inserted or truncated."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actod.audit.files import log_files, parse_line
from actod.audit.line import ZERO, line_hash
from actod.errors import RejectedError
from actod.proof.canonical import canonical


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The verdict. `problem` is empty if there is none; else `file`, `line` (from 1) and `n` name the first bad line.

    `head` is the hash of the last good line, `first_n` and `last_n` are the range of good lines.
    """

    files: int
    lines: int
    head: str
    first_n: int = 0
    last_n: int = 0
    problem: str = ""
    file: str = ""
    line: int = 0
    n: int = 0


class _Walk:
    """The state of one walk along the chain."""

    def __init__(self) -> None:
        self.lines = 0
        self.head, self.first_n, self.last_n = "", 0, 0
        self.before_first = (0, ZERO)
        self.removed: set[tuple[int, str]] = {(0, ZERO)}
        self.heads: dict[str, int] = {}

    def take(self, raw: bytes) -> tuple[str, int]:
        """Take one line without its line feed; return what is wrong with it, or "", and the n that it has or should have."""
        line = parse_line(raw)
        expected = self.last_n + 1
        try:
            own = "" if line is None else line_hash(line)
            exact = line is not None and canonical(line) == raw
        except RejectedError:
            exact = False
        if line is None or not exact or not own:
            return "not a line as this log writes it", expected
        if not hmac.compare_digest(line["hash"].encode(), own.encode()):
            return "edited: the hash does not match the line", expected
        n, prev = line["n"], str(line.get("prev"))
        if not self.lines:
            self.first_n, self.before_first = n, (n - 1, prev)
        elif n != expected:
            return f"out of order: n is {n} where {expected} was expected (a line was removed, inserted or moved)", n
        elif prev != self.head:
            return "the chain is broken: prev is not the hash of the line before", n
        self.lines, self.last_n, self.head = self.lines + 1, n, line["hash"]
        self.heads[self.head] = n
        if line["event"] == "audit.removed":
            self.removed.add((_integer(line.get("last_n")), str(line.get("last_hash"))))
        return "", n


def verify_log(folder: Path, *, expected_heads: Sequence[str] = ()) -> AuditReport:
    """Hold every line against the chain. Raises OSError if it cannot be read.

    A chain alone cannot show that its end was cut off: a head from outside can. `expected_heads` are such (the heads carried
    in bundles), oldest first; those from before the first line of a log whose oldest files were removed are passed over.
    """
    walk = _Walk()
    files = log_files(folder)
    file, number = None, 0
    for file in files:
        data = file.read_bytes()
        *lines, rest = data.split(b"\n")
        for number, raw in enumerate(lines, 1):
            problem, n = walk.take(raw)
            if problem:
                return _report(files, walk, problem, file, number, n)
        if rest:
            return _report(files, walk, "torn: no line feed ends the line", file, len(lines) + 1, walk.last_n + 1)
    if files and not walk.lines:
        return _report(files, walk, "empty: a log that was ever opened has a line", files[0], 1, 1)
    if walk.lines and walk.before_first not in walk.removed:
        problem = f"cut at the beginning: lines 1 to {walk.first_n - 1} are missing, and the log does not say why"
        return _report(files, walk, problem, files[0], 1, walk.first_n)
    if file is not None and (problem := _missing_heads(walk, expected_heads)):
        return _report(files, walk, problem, file, number, walk.last_n + 1)
    return _report(files, walk)


def _missing_heads(walk: _Walk, expected_heads: Sequence[str]) -> str:
    """Say whether heads from outside show that the end was cut off."""
    expected = [head for head in expected_heads if head != ZERO]
    if walk.first_n > 1:
        known = next((index for index, head in enumerate(expected) if head in walk.heads), len(expected) - 1)
        expected = expected[max(known, 0) :]
    missing = [head for head in expected if head not in walk.heads]
    if not missing:
        return ""
    return (
        f"cut at the end, or written anew: {len(missing)} of {len(expected)} heads that bundles carry are not in the log, "
        f"the first is {missing[0][:16]}"
    )


def _report(
    files: list[Path], walk: _Walk, problem: str = "", file: Path | None = None, line: int = 0, n: int = 0
) -> AuditReport:
    return AuditReport(
        files=len(files),
        lines=walk.lines,
        head=walk.head,
        first_n=walk.first_n,
        last_n=walk.last_n,
        problem=problem,
        file="" if file is None else file.name,
        line=line,
        n=n,
    )


def _integer(value: Any) -> int:
    return value if type(value) is int else 0
