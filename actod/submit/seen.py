"""What a server's certificates announce: that one of them ends soon, or that another CA issues them now."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import structlog
from asn1crypto import x509

from actod.durable import write_whole
from actod.ports import AuditLog
from actod.submit.pins import pin_of_der

_SOON = timedelta(days=14)
_SHARE_OF_LIFE = 5  # a certificate of six days is old in its last fifth, not from its first hour

_log = structlog.get_logger(__name__)


class ServerCertificates:
    """Warns once for each certificate, and once for each new issuer. `memory` outlives restarts (None: it does not)."""

    def __init__(self, *, memory: Path | None, audit: AuditLog | None) -> None:
        self._memory, self._audit = memory, audit
        self._looked_at: tuple[bytes, ...] = ()
        self._warned: set[str] = set()
        self._issuer = self._recall()

    def look(self, chain: Sequence[bytes], *, now: datetime | None) -> None:
        """Look at a validated chain (DER, leaf first). `now` is None while the clock cannot be trusted."""
        if not chain:
            return
        if tuple(chain) != self._looked_at:
            self._looked_at = tuple(chain)
            self._note_issuer(pin_of_der(chain[min(1, len(chain) - 1)]))
        if now is not None:
            for place, certificate in enumerate(chain):
                self._warn_of_end(place, certificate, now)

    def _warn_of_end(self, place: int, certificate: bytes, now: datetime) -> None:
        name = hashlib.sha256(certificate).hexdigest()
        if name in self._warned:
            return
        if ends_soon(certificate, now):
            end = validity(certificate)[1]
            self._warned.add(name)
            days = max(0, (end - now).days)
            self._record("certificate.ends_soon", place=place, days=days, sha256=name)
            _log.warning("A certificate of the server ends soon.", place=place, days=days, ends=f"{end:%Y-%m-%d}")

    def _note_issuer(self, issuer: str) -> None:
        if issuer == self._issuer:
            return
        if self._issuer:
            self._record("certificate.issuer_changed", before=self._issuer, now=issuer)
            _log.warning("Another CA issues the server's certificate now.", before=self._issuer, now=issuer)
        self._issuer = issuer
        if self._memory is not None:
            try:
                write_whole(self._memory, orjson.dumps({"issuer": issuer}))
            except OSError as exc:  # a full disk: after a restart the change may be told once more
                _log.info("The server's issuer could not be noted.", reason=exc.strerror)

    def _recall(self) -> str:
        try:
            issuer = orjson.loads(self._memory.read_bytes())["issuer"] if self._memory is not None else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        return issuer if isinstance(issuer, str) else ""

    def _record(self, event: str, **fields: str | int) -> None:
        if self._audit is not None:
            self._audit.record(event, **fields)


def validity(certificate: bytes) -> tuple[datetime, datetime]:
    """Return the first and the last moment of a DER certificate."""
    days = x509.Certificate.load(certificate)["tbs_certificate"]["validity"]
    return days["not_before"].native, days["not_after"].native


def ends_soon(certificate: bytes, now: datetime) -> bool:
    """Whether a DER certificate is in its last days."""
    start, end = validity(certificate)
    return bool(end - now < min(_SOON, (end - start) / _SHARE_OF_LIFE))
