"""How old each credential is, by a file that notes when a keyed digest of it was first seen. It warns, never blocks.

Without the key, which stays in the state folder, the digests say nothing of the secrets. A day is noted, and an age
judged, only while the clock is synchronised: a credential that came before that counts from then on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import structlog

from actod.config import Config
from actod.durable import write_whole
from actod.errors import ConfigError
from actod.ports import AuditLog
from actod.secretfile import read_labelled

LIMIT_DAYS: Mapping[str, int] = {"dev": 90, "staging": 90, "prod": 30}
FILE = "credentials.json"  # in the state folder
WARN_SHARE = 0.8  # of the limit: a week before it in prod

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    """What is known of one credential: `since` is "" until a synchronised clock has seen it, `told` the last warning."""

    digest: str
    since: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Age:
    """One credential: its age in days (None: not known), the limit, and "", "ageing" or "overdue"."""

    days: int | None
    limit_days: int
    stage: str


class CredentialAges:
    """Watches files by their configuration keys. `ages` is as of the last `look`."""

    def __init__(
        self, memory: Path, *, files: Mapping[str, Path], digest_key: bytes, environment: str, audit: AuditLog
    ) -> None:
        self._memory, self._digest_key, self._audit = memory, digest_key, audit
        self.files = files
        self._limit_days = LIMIT_DAYS[environment]
        self._entries = _recall(memory)
        self.ages: dict[str, Age] = {}

    def look(self, now: datetime | None) -> None:
        """Look at all files; `now` is None while the clock cannot be trusted. Reads, and may write, small files."""
        before = repr(self._entries)
        for key, path in self.files.items():
            try:
                secret, _ = read_labelled(path, key=key)
            except ConfigError:
                continue  # whoever uses it says so
            self.ages[key] = self._seen(key, secret, now)
        if repr(self._entries) != before:
            try:
                write_whole(self._memory, orjson.dumps({name: _kept(entry) for name, entry in self._entries.items()}))
            except OSError as exc:
                _log.info("The ages of credentials could not be noted.", reason=exc.strerror)

    def _seen(self, key: str, secret: str, now: datetime | None) -> Age:
        digest = hashlib.blake2b(secret.encode(), key=self._digest_key, person=b"actod-credential").hexdigest()[:32]
        entry = self._entries.get(key)
        if entry is None or entry.digest != digest:
            if entry is not None:
                self._audit.record("credential.changed", key=key)
            entry = self._entries[key] = _Entry(digest)
        if now is None:
            return Age(None, self._limit_days, entry.told)
        entry.since = entry.since or now.isoformat()
        days = (now - datetime.fromisoformat(entry.since)).total_seconds() / 86_400
        stage = "overdue" if days >= self._limit_days else "ageing" if days >= WARN_SHARE * self._limit_days else ""
        if stage and stage != entry.told:
            self._audit.record(f"credential.{stage}", key=key, days=int(days), limit_days=self._limit_days)
            _log.warning(
                "A credential grows old: actod credentials rotate.", key=key, days=int(days), limit=self._limit_days
            )
        entry.told = stage
        return Age(int(days), self._limit_days, stage)


def known_since(memory: Path) -> dict[str, str]:
    """Return when each credential that was noted was first seen, "" where no synchronised clock has seen it."""
    return {key: entry.since for key, entry in _recall(memory).items()}


def _recall(memory: Path) -> dict[str, _Entry]:
    """Read what was noted. A damaged file is none: ages count anew."""
    try:
        kept: dict[str, dict[str, Any]] = orjson.loads(memory.read_bytes())
        return {str(name): _Entry(str(e["digest"]), _moment(e["since"]), str(e["told"])) for name, e in kept.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _moment(text: str) -> str:
    """Return a time as it was noted, "" for one without its zone. Raises ValueError, TypeError."""
    return text if text and datetime.fromisoformat(text).tzinfo is not None else ""


def credential_files(config: Config) -> dict[str, Path]:
    """Return the secrets that grow old, by the configuration keys that name their files."""
    files = {
        "collector.api_key_file": config.collector.api_key_file,
        "collector.monitor_api_key_file": config.collector.monitor_api_key_file,
        "fleet.api_key_file": config.fleet.api_key_file,
        "mqtt.password_file": config.mqtt.password_file,
    }
    return {key: path for key, path in files.items() if path is not None}


def _kept(entry: _Entry) -> dict[str, str]:
    """Return an entry as it is kept."""
    return {"digest": entry.digest, "since": entry.since, "told": entry.told}
