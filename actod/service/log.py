"""The daemon's own log: journald with its fields where systemd runs us, else lines on stderr.

A log line is a sentence with fields. Fields hold codes, counts and ids; the last processors take out what should not
stand there: bytes, anything under a name that sounds like a secret, and what the detectors of telemetry find in text.
A line that comes too often is held back and counted.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from actod.config import LogConfig
from actod.service.messages import MESSAGES

_SECRET_NAMES = {
    "password",
    "secret",
    "pin",
    "api_key",
    "authorization",
    "payload",
    "data",
    "private",
    "private_key",
    "wallet",
}
_SECRET_ENDS = ("_password", "_secret", "_pin", "_api_key", "_payload", "_private_key")
_OURS = {"level", "timestamp", "message_id"}
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_LONGEST_FIELD = 512
_TIMES_A_MINUTE, _MINUTE_SECONDS, _MOST_SENTENCES = 10, 60.0, 256
_HELD_BACK = "A line came too often; it was held back."

Event = MutableMapping[str, Any]
Scrub = Callable[[str], str]


def configure(config: LogConfig, *, announce: bool = True, scrub: Scrub | None = None, identifier: str = "actod") -> None:
    """Set up structlog for this process. Under systemd without its Python binding, `announce` once that stderr is used.

    `scrub` takes secrets out of text, by the detectors that mask telemetry; `identifier` is the journal's word for us.
    """
    under_systemd = is_under_systemd()
    journal = _journal_sender(identifier) if config.format == "auto" and under_systemd else None
    repeats = Repeats(clock=time.monotonic)
    atexit.register(repeats.tell)
    level = logging.getLevelNamesMapping()[config.level.upper()]
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if journal is None:
        processors.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    processors += [structlog.processors.format_exc_info, repeats, identified, redact, *_scrubbed(scrub)]
    processors.append(_renderer(config, journal))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=StderrLogger if journal is None else _SilentLogger,
        cache_logger_on_first_use=True,
    )
    if announce and journal is None and under_systemd and config.format == "auto":
        structlog.get_logger(__name__).warning(
            "The log goes to stderr, without fields: the Python binding of systemd is missing.",
            remedy="install python3-systemd or actod[systemd]",
        )


def _renderer(config: LogConfig, journal: JournalRenderer | None) -> Any:
    if journal is not None:
        return journal
    if config.format == "text" or (config.format == "auto" and sys.stderr.isatty()):
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    return structlog.processors.JSONRenderer()


class Repeats:
    """Lets a sentence be written ten times a minute, and counts what comes beyond; the count is a line of its own."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()  # sentence -> (its minute's end, times in it)
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        """Let one line pass, or raise structlog.DropEvent."""
        sentence, now = str(event.get("event", "")), self._clock()
        if sentence == _HELD_BACK:
            return event
        with self._lock:
            ends, times = self._seen.pop(sentence, (0.0, 0))
            over = now >= ends
            self._seen[sentence] = (now + _MINUTE_SECONDS, 1) if over else (ends, times + 1)
            if len(self._seen) > _MOST_SENTENCES:
                self._seen.popitem(last=False)
        if over and times > _TIMES_A_MINUTE:
            _say_held_back(sentence, times - _TIMES_A_MINUTE)
        if not over and times >= _TIMES_A_MINUTE:
            raise structlog.DropEvent
        return event

    def tell(self) -> None:
        """Say what was held back and not told yet: at the end of the process."""
        with self._lock:
            seen, self._seen = self._seen, OrderedDict()
        for sentence, (_ends, times) in seen.items():
            if times > _TIMES_A_MINUTE:
                _say_held_back(sentence, times - _TIMES_A_MINUTE)


def _say_held_back(sentence: str, count: int) -> None:
    structlog.get_logger(__name__).warning(_HELD_BACK, line=sentence, count=count)


def identified(_logger: Any, _method: str, event: Event) -> Event:
    """Add the MESSAGE_ID under which the catalogue explains the sentence."""
    message = MESSAGES.get(str(event.get("event", "")))
    if message is not None:
        event["message_id"] = message.id
    return event


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """Take out what no log may hold, whatever called us: bytes, secrets by name, endless values."""
    for name, value in event.items():
        event[name] = value if name == "exception" else _redacted(name, value)
    return event


def _scrubbed(scrub: Scrub | None) -> list[Callable[[Any, str, Event], Event]]:
    """Return a processor that scrubs every text of an event, exceptions too; none where there is nothing to scrub with."""

    def process(_logger: Any, _method: str, event: Event) -> Event:
        for name, value in event.items():
            if isinstance(value, str) and name not in _OURS:
                event[name] = scrub(value) if scrub is not None else value
        return event

    return [process] if scrub is not None else []


def _redacted(name: str, value: Any) -> Any:
    """Return the value, or what may stand in its place; containers are looked through."""
    lowered = name.lower()
    if isinstance(value, bytes | bytearray | memoryview) or lowered in _SECRET_NAMES or lowered.endswith(_SECRET_ENDS):
        return "[redacted]"
    if isinstance(value, str) and len(value) > _LONGEST_FIELD:
        return f"{value[:_LONGEST_FIELD]}... ({len(value)} characters)"
    if isinstance(value, dict):
        return {key: _redacted(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", inner) for inner in value]
    return value


class StderrLogger:
    """Writes lines to stderr. A log that cannot be written (disk full, reader gone) must not end what it tells of."""

    def __init__(self, *_args: Any) -> None:
        self._lock = threading.Lock()

    def msg(self, message: str) -> None:
        """Write one line."""
        with self._lock, suppress(OSError):
            sys.stderr.write(message + "\n")
            sys.stderr.flush()

    debug = info = warning = error = exception = critical = msg


class JournalRenderer:
    """Sends an event to journald with PRIORITY, SYSLOG_IDENTIFIER and each field in upper case."""

    def __init__(self, send: Callable[..., None], *, identifier: str) -> None:
        self._send, self._identifier = send, identifier

    def __call__(self, _logger: Any, method: str, event: Event) -> str:
        """Send; what is returned goes to a logger that prints nothing."""
        message = str(event.pop("event", ""))
        known = {"MESSAGE_ID": event.pop("message_id")} if "message_id" in event else {}
        fields = {f"ACTOD_{name.upper()}": _text(value) for name, value in event.items() if name != "level"}
        with suppress(OSError):  # a journal that is away must not end the daemon
            self._send(message, PRIORITY=_PRIORITY.get(method, 6), SYSLOG_IDENTIFIER=self._identifier, **known, **fields)
        return ""


def _text(value: Any) -> str:
    """Return a field as the catalogue shows it: a list as its words."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class _SilentLogger:
    """structlog wants a logger behind the renderer; journald has it all already."""

    def __init__(self, *_args: Any) -> None:
        pass

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


def is_under_systemd() -> bool:
    """Whether stderr goes to journald. A desktop's terminals inherit the variable: systemd.exec(5) says to compare."""
    try:
        seen = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"


def _journal_sender(identifier: str) -> JournalRenderer | None:
    try:
        from systemd import journal  # noqa: PLC0415 - an extra: it has no wheel and needs libsystemd
    except ImportError:
        return None
    return JournalRenderer(journal.send, identifier=identifier)
