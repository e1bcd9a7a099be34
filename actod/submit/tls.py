"""TLS to the collector: validated chain and host name, TLS 1.2 or newer, pins on top; follows its files while it runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from actod.config import CollectorConfig
from actod.errors import ActodError, ConfigError, RejectedError, TransientError
from actod.ports import AuditLog, Clock
from actod.secretfile import load_identity
from actod.submit.endpoint import host_of
from actod.submit.guard import PinGuard
from actod.submit.pinfile import PinFile
from actod.submit.pins import hold_to_pins, parse_pins
from actod.submit.pinset import Operators, PinSet, parse_day
from actod.submit.seen import ServerCertificates

PIN_MEMORY = "pins.json"  # in the state folder
_SERVER_MEMORY = "server.json"
_WARN_BEFORE = timedelta(days=30)

_log = structlog.get_logger(__name__)
_Mark = tuple[int, int, int]
Check = Callable[[Sequence[bytes]], None]


class CollectorTls:
    """The context for every connection to the collector. `generation` counts up when connections made before must end.

    The pins are those of the newest signed set that was taken, else those of the configuration. Nothing of it can be
    changed by the environment: neither the trust store (SSL_CERT_FILE) nor a key log. Raises ConfigError.
    """

    def __init__(
        self,
        *,
        collector: CollectorConfig,
        clock: Clock,
        audit: AuditLog | None = None,
        state_directory: Path | None = None,
        writes: bool = True,
    ) -> None:
        self._collector, self._audit = collector, audit
        self.guard = PinGuard(
            pins=parse_pins(collector.pins), report_only_until=_report_only_until(collector), clock=clock, audit=audit
        )
        memory = state_directory / PIN_MEMORY if state_directory is not None else None
        self._pin_file = _pin_file(collector, memory, writes=writes)
        notes = state_directory / _SERVER_MEMORY if state_directory is not None and writes else None
        self._certificates = ServerCertificates(memory=notes, audit=audit)
        self.context = client_context(collector, self.guard.check)
        self.generation = 0
        self._marks = self._look()
        self._told, self._warned = "", 0
        self._begin()
        self._lenient = self._leniency()

    @property
    def pin_set(self) -> PinSet | None:
        """Return the signed set in force, None where the configuration's own pins are."""
        return self._pin_file.taken if self._pin_file is not None else None

    def refresh(self) -> bool:
        """Look at the files, and take what changed; whether there was anything. Reads and may write small files."""
        now = self.guard.trusted_now()
        self._certificates.look(self.guard.chain, now=now)
        seen = self._look()
        changed = self._take_pins()
        if seen != self._marks:
            self._marks = seen
            changed = self._rebuild() or changed
        lenient, self._lenient = self._lenient, self._leniency()
        changed = changed or lenient != self._lenient  # what was let through before is no longer, nor is what it opened
        if changed:
            self.generation += 1
        self._warn_of_end(now)
        return changed

    def _leniency(self) -> tuple[bool, bool]:
        """Return what lets a chain through or not beside pins and files: the days of both pass by themselves."""
        return self.guard.ended, self.guard.report_only

    def _begin(self) -> None:
        if self._pin_file is None:
            return
        if self._pin_file.damaged:
            self._record("pins.memory_damaged")
            _log.warning("What was known of signed pin sets is damaged: an older one could be taken now.")
        self._hold(self._pin_file.taken)
        self._take_pins()

    def _take_pins(self) -> bool:
        if self._pin_file is None:
            return False
        try:
            taken = self._pin_file.take(self.guard.trusted_now())
        except (RejectedError, TransientError) as refusal:
            if str(refusal) != self._told:
                self._told = str(refusal)
                self._record("pins.refused", reason=refusal.reason)
                _log.error("The file of pins is not taken; the pins in force stay.", why=str(refusal))
            return False
        self._told = ""
        if taken:
            self._hold(self._pin_file.taken)
        return taken

    def _hold(self, pin_set: PinSet | None) -> None:
        if pin_set is not None:
            self.guard.hold_to(pin_set.pins, expires=pin_set.expires)
            self._record("pins.in_force", version=pin_set.version, pins=len(pin_set.pins), digest=pin_set.digest)
            _log.info("A signed pin set is in force.", version=pin_set.version, expires=f"{pin_set.expires:%Y-%m-%d}")

    def _warn_of_end(self, now: datetime | None) -> None:
        """Say once for each set, a month before its end, that nothing will be sent after it."""
        pin_set = self.pin_set
        if pin_set is None or now is None or pin_set.version == self._warned or pin_set.expires - now > _WARN_BEFORE:
            return
        self._warned = pin_set.version
        days = max(0, (pin_set.expires - now).days)
        self._record("pins.ends_soon", version=pin_set.version, days=days)
        _log.warning("The signed pin set ends soon; after that nothing is sent: sign a newer one.", days=days)

    def _rebuild(self) -> bool:
        """Make a new context of new certificate files; ones that cannot be used yet change nothing."""
        try:
            self.context = client_context(self._collector, self.guard.check)
        except ActodError as refusal:
            self._record("tls.files_refused")
            _log.error("The certificate files cannot be used; the ones read before stay.", why=str(refusal))
            return False
        self._record("tls.files_taken")
        return True

    def _look(self) -> tuple[_Mark | None, ...]:
        collector = self._collector
        return marks((collector.ca_file, collector.certificate_file, collector.private_key_file))

    def _record(self, event: str, **fields: str | int) -> None:
        if self._audit is not None:
            self._audit.record(event, **fields)


def client_context(collector: CollectorConfig, check: Check) -> ssl.SSLContext:
    """Return a context for the collector whose handshakes end with `check` of the validated chain. Raises ConfigError."""
    context = validating_context(collector.ca_file, key="collector.ca_file")
    if collector.certificate_file is not None:
        load_identity(context, collector.certificate_file, collector.private_key_file, section="collector")
    hold_to_pins(context, check)
    return context


def validating_context(ca_file: Path | None, *, key: str) -> ssl.SSLContext:
    """Return a client context that validates chain and host name. `key` names the CA file. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # validates chain and host name by itself
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _trust(context, ca_file, key)
    return context


def marks(paths: Iterable[Path | None]) -> tuple[_Mark | None, ...]:
    """Return what changes when one of the files is written or replaced; None for a file that is not there."""
    return tuple(_mark(path) for path in paths)


def _mark(path: Path | None) -> _Mark | None:
    try:
        seen = path.stat() if path is not None else None
    except OSError:
        return None
    return (seen.st_ino, seen.st_mtime_ns, seen.st_size) if seen is not None else None


def _report_only_until(collector: CollectorConfig) -> datetime | None:
    text = collector.pins_report_only_until
    day = parse_day(text)
    if text and day is None:
        raise ConfigError(
            key="collector.pins_report_only_until",
            expected="a day as YYYY-MM-DD, on which pins are enforced again (00:00 UTC), at most 90 days ahead",
            found=repr(text[:40]),
            fix="write the day; there is no report-only without an end",
        )
    return day


def _pin_file(collector: CollectorConfig, memory: Path | None, *, writes: bool) -> PinFile | None:
    wanted = collector.pin_set
    if wanted.file is None and not wanted.keys:
        return None
    if wanted.file is None:
        raise ConfigError(
            key="collector.pin_set.file",
            expected="the path of the signed pin set",
            fix="name it, or leave out collector.pin_set",
        )
    return PinFile(
        wanted.file,
        operators=Operators.parse(wanted.keys, wanted.threshold),
        host=host_of(collector.url),
        memory=memory,
        writes=writes,
    )


def _trust(context: ssl.SSLContext, ca_file: Path | None, key: str) -> None:
    try:
        if ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
            return
        system = ssl.get_default_verify_paths()
        cafile = system.openssl_cafile if Path(system.openssl_cafile).is_file() else None
        capath = system.openssl_capath if Path(system.openssl_capath).is_dir() else None
        context.load_verify_locations(cafile=cafile, capath=capath)
    except (OSError, ssl.SSLError, TypeError) as exc:  # TypeError: the system has neither
        raise ConfigError(
            key=key,
            expected="a readable PEM file of CA certificates",
            found=str(ca_file) if ca_file else "no trust store on this system",
            fix="name the CA's certificate file, or install ca-certificates",
        ) from exc
