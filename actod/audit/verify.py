"""Verification of an audit log by itself: names the first bad line of one that was edited, reordered, cut or inserted.

What the chain cannot show, that its end was cut off or all of it written anew, the heads show that bundles carry:
`witness.py`.
"""

from __future__ import annotations

import hmac
import io
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actod.audit.files import EPOCH, REMOVED, TURNED, content, first_n, log_files, parse_line, twin_differs
from actod.audit.line import ZERO, line_hash
from actod.errors import RejectedError
from actod.proof.canonical import canonical

BROKEN, UNEXPLAINED = "broken", "unexplained-file"
FIRST_MISSING, MIDDLE_MISSING = "first-file-missing", "middle-file-missing"
_TORN, _LOOKS = "torn", 3


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The verdict. `problem` is empty if there is none; else `file`, `line` (from 1) and `n` name the first bad line.

    `word` is the kind of problem. `head` is the hash of the last good line, `first_n` and `last_n` are the range of good
    lines.
    """

    files: int
    lines: int
    head: str
    first_n: int = 0
    last_n: int = 0
    word: str = ""
    problem: str = ""
    file: str = ""
    line: int = 0
    n: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at a line whose number is `n`, or should be."""

    word: str
    text: str
    n: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What line `n` says of a range that retention removed."""

    n: int
    first_n: int
    last_n: int
    last_hash: str
    why: str
    carried_hash: str
    proof_id: str


@dataclass(slots=True)
class Walk:
    """What one walk along the chain saw.

    `heads` maps each good line's hash to its n, `at` holds their times, in order. `sealed` maps (epoch, device_seq) of a
    bundle to the payload hashes that the line about its sealing names; `keys` are those that epochs name.
    """

    lines: int = 0
    head: str = ""
    first_n: int = 0
    last_n: int = 0
    last: dict[str, Any] = field(default_factory=dict)
    before_first: tuple[int, str] = (0, ZERO)
    heads: dict[str, int] = field(default_factory=dict)
    at: list[str] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    sealed: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    keys: dict[str, int] = field(default_factory=dict)
    epoch: dict[str, Any] = field(default_factory=dict)

    def take(self, raw: bytes, *, begins: int | None) -> Problem | None:
        """Take one line without its line feed. `begins` is what the name of the file says of its first line's number."""
        line, expected = parse_line(raw), self.last_n + 1
        try:
            own = "" if line is None else line_hash(line)
            exact = line is not None and canonical(line) == raw
        except RejectedError:
            exact = False
        if line is None or not exact or not own:
            return Problem(BROKEN, "not a line as this log writes it", expected)
        if not hmac.compare_digest(line["hash"].encode(), own.encode()):
            return Problem(BROKEN, "edited: the hash does not match the line", expected)
        problem = self._file(line, begins) if begins is not None else None
        problem = problem or self._place(line) or self._epoch(line)
        if problem is None:
            self._note(line)
        return problem

    def _file(self, line: dict[str, Any], begins: int) -> Problem | None:
        """Check how a file begins: with an epoch, at the line that its name says, where the one before ended."""
        n = line["n"]
        if line["event"] != EPOCH or n != begins:
            return Problem(UNEXPLAINED, "the file does not begin with the epoch of the line that its name says", n)
        if not self.lines:
            return None
        ended = self.last["event"] == TURNED and self.last.get("next") == self.last_n + 1
        if n > self.last_n + 1 and ended:
            return Problem(MIDDLE_MISSING, f"lines {self.last_n + 1} to {n - 1} are missing: whole files", n)
        if n == self.last_n + 1 and line.get("prev") != self.head:
            return Problem(UNEXPLAINED, "the file does not go on from the one before", n)
        return None

    def _place(self, line: dict[str, Any]) -> Problem | None:
        n, expected, prev = line["n"], self.last_n + 1, str(line.get("prev"))
        if not self.lines:
            self.first_n, self.before_first = n, (n - 1, prev)
        elif n != expected:
            text = f"out of order: n is {n} where {expected} was expected (a line was removed, inserted or moved)"
            return Problem(BROKEN, text, n)
        elif prev != self.head:
            return Problem(BROKEN, "the chain is broken: prev is not the hash of the line before", n)
        return None

    def _epoch(self, line: dict[str, Any]) -> Problem | None:
        """Check that epochs count on, and that a line is of its epoch's boot, and not before the line before it."""
        n = line["n"]
        if line["event"] == EPOCH:
            if self.epoch and line.get("epoch") != _integer(self.epoch.get("epoch")) + 1:
                return Problem(UNEXPLAINED, "the epochs do not count on", n)
            return None
        if line.get("boot") != self.epoch.get("boot") or _integer(line.get("mono_ms")) < _integer(self.last.get("mono_ms")):
            return Problem(UNEXPLAINED, "the line is of another boot than its epoch, or older than the line before", n)
        return None

    def _note(self, line: dict[str, Any]) -> None:
        self.lines, self.last_n, self.head, self.last = self.lines + 1, line["n"], line["hash"], line
        self.heads[self.head] = self.last_n
        self.at.append(str(line.get("at")))
        event = line["event"]
        if event == EPOCH:
            self.epoch = line
            if line.get("key"):
                self.keys.setdefault(str(line["key"]), self.last_n)
        elif event == REMOVED:
            texts = (str(line.get(name)) for name in ("last_hash", "why", "carried_hash", "proof_id"))
            self.removed.append(Removed(line["n"], _integer(line.get("first_n")), _integer(line.get("last_n")), *texts))
        elif event.startswith("checkpoint."):
            self._note_checkpoint(line)

    def _note_checkpoint(self, line: dict[str, Any]) -> None:
        if "device" in line:
            self.devices.add(str(line["device"]))
        heads = line.get("heads")
        if line["event"] == "checkpoint.sealed" and isinstance(heads, dict):
            rows = [row for row in heads.values() if isinstance(row, list) and len(row) == 3]  # noqa: PLR2004
            for epoch, _seq, payload_hash in rows:
                self.sealed.setdefault((_integer(epoch), _integer(line.get("device_seq"))), set()).add(str(payload_hash))

    def beginning(self, signed: AbstractSet[tuple[int, str]] = frozenset()) -> Problem | None:
        """Say whether what came before the first line is missing, and the log does not say why.

        `signed` are removals (last_n, last_hash) that the device's chain records: a cut may have taken the log's word.
        """
        number = f"lines 1 to {self.first_n - 1} are missing"
        known = {(one.last_n, one.last_hash) for one in self.removed} | {(0, ZERO)} | signed
        if self.lines and self.before_first not in known:
            return Problem(FIRST_MISSING, f"cut at the beginning: {number}, and the log does not say why", self.first_n)
        return None

    def hole(self, signed: AbstractSet[tuple[int, str]] = frozenset()) -> Problem | None:
        """Say whether lines went without a word, between two removals that the log does say; `signed` as above."""
        last, known = 0, {last_n for last_n, _hash in signed}
        for one in sorted(self.removed, key=lambda one: one.last_n):
            if last and one.first_n > last + 1 and one.first_n - 1 not in known:
                text = f"lines {last + 1} to {one.first_n - 1} went without a word before later ones were removed"
                return Problem(FIRST_MISSING, text, self.first_n)
            last = one.last_n
        return None


def walk_log(folder: Path) -> tuple[Walk, AuditReport]:
    """Hold every line against the chain. Raises OSError if it cannot be read.

    A daemon that is at work is no damage: what it was just writing, or removed meanwhile, is looked at once more.
    """
    for _ in range(_LOOKS - 1):
        with suppress(FileNotFoundError):
            walk, report = _walk(folder)
            if not report.problem.startswith(_TORN):
                return walk, report
    return _walk(folder)


def _walk(folder: Path) -> tuple[Walk, AuditReport]:
    walk, files = Walk(), log_files(folder)
    for file in files:
        problem, number = _walk_file(walk, file)
        if problem:
            return walk, _report(files, walk, problem, file, number)
    if files and not walk.lines:
        return walk, _report(files, walk, Problem(BROKEN, "empty: a log that was ever opened has a line", 1), files[0], 1)
    if problem := walk.beginning() or walk.hole():
        return walk, _report(files, walk, problem, files[0], 1)
    return walk, _report(files, walk)


def _walk_file(walk: Walk, file: Path) -> tuple[Problem | None, int]:
    """Return the first problem of a file, if it has one, and the number of its line."""
    (data, damage), number = content(file), 0
    for number, raw in enumerate(io.BytesIO(data), 1):
        if not raw.endswith(b"\n"):
            return Problem(BROKEN, damage or f"{_TORN}: no line feed ends the line", walk.last_n + 1), number
        if problem := walk.take(raw[:-1], begins=first_n(file) if number == 1 else None):
            return problem, number
    if damage:
        return Problem(BROKEN, damage, walk.last_n + 1), number + 1
    if twin_differs(file):
        text = "a compressed file of this name lies beside it, and holds something else"
        return Problem(UNEXPLAINED, text, first_n(file)), 1
    return None, 0


def verify_log(folder: Path, *, expected_heads: Sequence[str] = ()) -> AuditReport:
    """Hold every line against the chain. Raises OSError if it cannot be read.

    `expected_heads` are heads that must be in it, oldest first; those from before the first line of a log whose oldest files
    were removed are passed over.
    """
    walk, report = walk_log(folder)
    if report.problem or not report.files or not (text := _missing_heads(walk, expected_heads)):
        return report
    file = log_files(folder)[-1]
    lines = content(file)[0].count(b"\n")
    return _report(log_files(folder), walk, Problem(BROKEN, text, walk.last_n + 1), file, lines)


def _missing_heads(walk: Walk, expected_heads: Sequence[str]) -> str:
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
    files: list[Path], walk: Walk, problem: Problem | None = None, file: Path | None = None, line: int = 0
) -> AuditReport:
    return AuditReport(
        files=len(files),
        lines=walk.lines,
        head=walk.head,
        first_n=walk.first_n,
        last_n=walk.last_n,
        word=problem.word if problem else "",
        problem=problem.text if problem else "",
        file="" if file is None else file.name,
        line=line,
        n=problem.n if problem else 0,
    )


def _integer(value: Any) -> int:
    return value if type(value) is int else 0
