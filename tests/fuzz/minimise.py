"""The fewest inputs that reach every line that a corpus reaches, smallest first: what is kept with the sources."""

# ruff: noqa: T201 - a command prints
from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import actod
from tests.fuzz.targets import TARGETS

_CORPUS = Path(__file__).parent / "corpus"
_OURS = str(Path(actod.__file__).parent)
_LARGEST_BYTES = 6000

Line = tuple[str, int]


def keep_fewest(name: str, folders: list[Path]) -> int:
    """Replace the kept corpus of a target by a smallest one, chosen greedily from some folders."""
    files = {file.read_bytes() for folder in folders if folder.is_dir() for file in folder.iterdir()}
    inputs = sorted((data for data in files if len(data) <= _LARGEST_BYTES), key=lambda data: (len(data), data))
    reached = {data: lines_of(TARGETS[name], data) for data in inputs}
    missing: set[Line] = set().union(*reached.values())
    print(f"{len(inputs)} inputs reach {len(missing)} lines of actod")
    kept: list[bytes] = []
    while missing:
        best = max(inputs, key=lambda data: len(reached[data] & missing) / (200 + len(data)))
        kept.append(best)
        missing -= reached[best]
    target = _CORPUS / name
    target.mkdir(parents=True, exist_ok=True)
    for file in target.iterdir():
        file.unlink()
    for data in kept:
        (target / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    print(f"{len(kept)} of them, {sum(map(len, kept))} bytes, are kept in {target}")
    return 0


def lines_of(target: Callable[[bytes], None], data: bytes) -> set[Line]:
    """Return the lines of actod that an input reaches; none where it shows a defect."""
    lines: set[Line] = set()

    def in_frame(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return in_frame

    def on_call(frame: FrameType, _event: str, _: Any) -> Any:
        return in_frame if frame.f_code.co_filename.startswith(_OURS) else None

    sys.settrace(on_call)
    try:
        target(data)
    except Exception:  # noqa: BLE001 - it is a file of crashes/, then
        return set()
    finally:
        sys.settrace(None)
    return lines
