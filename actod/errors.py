"""The tree of failures: three verdicts, and what stops the daemon.

Every foreign exception (OSError, ssl.SSLError, pkcs11.PKCS11Error, ...) is translated once, at the edge where it
enters, into one of these. A message never holds a payload, a PIN, a key or a credential: reasons are fixed words.
"""

from __future__ import annotations

import re

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTEGRITY = 70
EXIT_LOCKED = 75
EXIT_CONFIG = 78

_REASON = re.compile(r"[a-z0-9][a-z0-9_:.-]{0,63}\Z")


class ActodError(Exception):
    """Root of the tree. `reason` is a short fixed word that may stand in logs, metrics and the signed ledger."""

    exit_code = EXIT_FAILED

    def __init__(self, reason: str, message: str = "") -> None:
        if not _REASON.match(reason):
            message = "a reason must be a short lower-case word"
            raise ValueError(message)
        super().__init__(f"{reason}: {message}" if message else reason)
        self.reason = reason


class TransientError(ActodError):
    """Nothing is wrong with the item: it is retried for ever, with backoff, and never counted against it."""

    def __init__(self, reason: str, message: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason, message)
        self.retry_after_seconds = retry_after_seconds


class SuspectError(TransientError):
    """The item may be at fault, or the server: others are tried before it, and only their success condemns it."""


class RejectedError(ActodError):
    """This item will always fail: it is set aside, audited, entered in the loss ledger, and the next one is taken."""


class TooLargeError(RejectedError):
    """The collector takes only smaller bundles: this one is sealed again, in bundles of at most `most_bytes` of events."""

    def __init__(self, reason: str, message: str = "", *, most_bytes: int) -> None:
        super().__init__(reason, message)
        self.most_bytes = most_bytes


class StopError(ActodError):
    """The daemon cannot go on: it stops with a clear message and an exit code."""


class ConfigError(StopError):
    """Configuration that is refused at start: names the file, the key, what was expected and how to mend it."""

    exit_code = EXIT_CONFIG

    def __init__(self, *, key: str, expected: str, fix: str, file: str = "", found: str = "") -> None:
        self.file, self.key, self.expected, self.fix, self.found = file, key, expected, fix, found
        where = f"{file}: {key}" if file else key
        seen = f", found {found}" if found else ""
        super().__init__("config", f"{where}: expected {expected}{seen}. Fix: {fix}")


class IntegrityError(StopError):
    """Something that must hold does not: our own signature fails its check, or a state folder is not ours."""

    exit_code = EXIT_INTEGRITY


class LockedError(StopError):
    """Another process works on the same state folder."""

    exit_code = EXIT_LOCKED
