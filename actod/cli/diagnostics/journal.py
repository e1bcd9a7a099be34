"""The newest lines of daemon and signer: what was said by its MESSAGE_ID, and the fields that hold the program's words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actod.cli.diagnostics import words
from actod.cli.diagnostics.fields import Shape, moment, number, one_of
from actod.service.messages import MESSAGES

_SENTENCES = {message.id: sentence for sentence, message in MESSAGES.items()}
_PRIORITIES = {"2": "critical", "3": "error", "4": "warning", "5": "info", "6": "info", "7": "debug"}
_UNITS = ("actod.service", "actod-signer.service", "actod-maintenance@*.service")
_NUMBERS = ("count", "percent", "days", "limit", "kept", "lost", "messages")
LINE: dict[str, Shape] = {
    "at": moment,
    "level": one_of(words.LEVELS),
    "message_id": one_of(_SENTENCES),
    "says": one_of(MESSAGES),
    "reason": one_of(words.REASONS),
    "state": one_of(words.STATES),
    "before": one_of(words.STATES),
    **dict.fromkeys(_NUMBERS, number),
}
_COMMAND_SECONDS = 12
_TAIL_BYTES = 4 << 20


def log_lines(file: Path | None, *, most: int) -> list[dict[str, Any]]:
    """Return the newest lines that have an id: of a file of JSON lines, else of the journal."""
    raw = _tail(file) if file is not None else _journal(most)
    return [line for line in map(_told, raw) if line is not None][-most:]


def _tail(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        for raw in opened:
            try:
                line = json.loads(raw)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield {**line, "at": line.get("timestamp")}


def _journal(most: int) -> Iterator[dict[str, Any]]:
    units = [word for unit in _UNITS for word in ("-u", unit)]
    command = ["journalctl", "-o", "json", "-n", str(most), "--no-pager", "-q", *units]
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, timeout=_COMMAND_SECONDS, check=True, env=environment)  # noqa: S603 - fixed words
    for raw in done.stdout.splitlines():
        line = json.loads(raw)
        at = datetime.fromtimestamp(int(line["__REALTIME_TIMESTAMP"]) / 1e6, UTC).isoformat(timespec="microseconds")
        fields = {
            name.removeprefix("ACTOD_").lower(): _value(text) for name, text in line.items() if name.startswith("ACTOD_")
        }
        yield fields | {"at": at, "message_id": line.get("MESSAGE_ID"), "level": _PRIORITIES.get(str(line.get("PRIORITY")))}


def _value(text: Any) -> Any:
    return int(text) if isinstance(text, str) and text.isdecimal() else text


def _told(line: dict[str, Any]) -> dict[str, Any] | None:
    """Return a line with its sentence, None for one that has no id; its own text is never taken."""
    sentence = _SENTENCES.get(str(line.get("message_id")))
    return (
        None if sentence is None else {name: value for name, value in line.items() if name != "event"} | {"says": sentence}
    )
