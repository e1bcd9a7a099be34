"""The daemon's own log: journald with its fields where systemd runs us, else lines on stderr.

A log line is a sentence with fields. Fields hold codes, counts and ids; the last processor takes out what should not
stand there: bytes, and anything under a name that sounds like a secret.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from actod.config import LogConfig

_SECRET_NAMES = ("password", "secret", "token_pin", "pin", "api_key", "authorization", "payload", "data", "private")
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
_LONGEST_FIELD = 512

Event = MutableMapping[str, Any]


def configure(config: LogConfig) -> None:
    """Set up structlog for this process. Under systemd without its Python binding, say once that stderr is used."""
    journal = _journal_sender() if config.format == "auto" and _under_systemd() else None
    level = logging.getLevelNamesMapping()[config.level.upper()]
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if journal is not None:
        processors += [structlog.processors.format_exc_info, redact, JournalRenderer(journal)]
    elif config.format == "text" or (config.format == "auto" and sys.stderr.isatty()):
        processors += [structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.format_exc_info]
        processors += [redact, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        processors += [structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.format_exc_info]
        processors += [redact, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr) if journal is None else _SilentFactory(),
        cache_logger_on_first_use=True,
    )
    if journal is None and _under_systemd():
        structlog.get_logger(__name__).warning(
            "The log goes to stderr, without fields: the Python binding of systemd is missing.",
            remedy="install python3-systemd or actod[systemd]",
        )


def redact(_logger: Any, _method: str, event: Event) -> Event:
    """Take out what no log may hold, whatever called us: bytes, secrets by name, endless values."""
    for name, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview) or name.lower() in _SECRET_NAMES:
            event[name] = "[redacted]"
        elif isinstance(value, str) and len(value) > _LONGEST_FIELD and name != "exception":
            event[name] = f"{value[:_LONGEST_FIELD]}... ({len(value)} characters)"
    return event


class JournalRenderer:
    """Sends an event to journald with PRIORITY, SYSLOG_IDENTIFIER and each field in upper case."""

    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send

    def __call__(self, _logger: Any, method: str, event: Event) -> str:
        """Send; what is returned goes to a logger that prints nothing."""
        message = str(event.pop("event", ""))
        fields = {f"ACTOD_{name.upper()}": str(value) for name, value in event.items() if name != "level"}
        self._send(message, PRIORITY=_PRIORITY.get(method, 6), SYSLOG_IDENTIFIER="actod", **fields)
        return ""


class _SilentFactory:
    """structlog wants a logger behind the renderer; journald has it all already."""

    def __call__(self, *_args: Any) -> _SilentLogger:
        return _SilentLogger()


class _SilentLogger:
    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_args, **_fields: None


def _under_systemd() -> bool:
    return bool(os.environ.get("JOURNAL_STREAM"))


def _journal_sender() -> Callable[..., None] | None:
    try:
        from systemd import journal  # noqa: PLC0415 - an extra: it has no wheel and needs libsystemd
    except ImportError:
        return None
    send: Callable[..., None] = journal.send
    return send
