"""The daemon's own log: journald with its fields where systemd runs us, else lines on stderr.

A log line is a sentence with fields. Fields hold codes, counts and ids; the last processor takes out what should not
stand there: bytes, and anything under a name that sounds like a secret.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from actod.config import LogConfig

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
_OURS = {"level", "timestamp"}
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_LONGEST_FIELD = 512

Event = MutableMapping[str, Any]
Scrub = Callable[[str], str]


def configure(config: LogConfig, *, announce: bool = True, scrub: Scrub | None = None) -> None:
    """Set up structlog for this process. Under systemd without its Python binding, `announce` once that stderr is used.

    `scrub` takes secrets out of text, by the detectors that mask telemetry.
    """
    under_systemd = _under_systemd()
    journal = _journal_sender() if config.format == "auto" and under_systemd else None
    level = logging.getLevelNamesMapping()[config.level.upper()]
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if journal is None:
        processors.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    processors += [structlog.processors.format_exc_info, redact, *_scrubbed(scrub), _renderer(config, journal)]
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


def _renderer(config: LogConfig, journal: Callable[..., None] | None) -> Any:
    if journal is not None:
        return JournalRenderer(journal)
    if config.format == "text" or (config.format == "auto" and sys.stderr.isatty()):
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    return structlog.processors.JSONRenderer()


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

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send

    def __call__(self, _logger: Any, method: str, event: Event) -> str:
        """Send; what is returned goes to a logger that prints nothing."""
        message = str(event.pop("event", ""))
        fields = {f"ACTOD_{name.upper()}": str(value) for name, value in event.items() if name != "level"}
        with suppress(OSError):  # a journal that is away must not end the daemon
            self._send(message, PRIORITY=_PRIORITY.get(method, 6), SYSLOG_IDENTIFIER="actod", **fields)
        return ""


class _SilentLogger:
    """structlog wants a logger behind the renderer; journald has it all already."""

    def __init__(self, *_args: Any) -> None:
        pass

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


def _under_systemd() -> bool:
    """Whether stderr goes to journald. A desktop's terminals inherit the variable: systemd.exec(5) says to compare."""
    try:
        seen = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"


def _journal_sender() -> Callable[..., None] | None:
    try:
        from systemd import journal  # noqa: PLC0415 - an extra: it has no wheel and needs libsystemd
    except ImportError:
        return None
    send: Callable[..., None] = journal.send
    return send
