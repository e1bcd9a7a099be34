"""The collector: HTTPS, pins, certificates and their ends, and what else this machine may reach."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from asn1crypto import pem

from actod.cli.checks.check import Check, Finding, doubt, ok, skip, trouble
from actod.cli.checks.site import Site
from actod.errors import TransientError
from actod.submit.endpoint import check_proxy, check_url
from actod.submit.pins import parse_pins, pin_of_der
from actod.submit.seen import ends_soon, validity
from actod.submit.tls import CollectorTls
from actod.submit.verdict import VERDICTS

_OK = 200
_PIN_SET_DAYS = timedelta(days=30)


def _url(site: Site) -> Finding:
    collector = site.config.collector
    check_url(collector.url, site.config.environment)
    check_proxy(collector.proxy)
    return ok(f"{collector.url}{f', through {collector.proxy}' if collector.proxy else ''}")


def _pins(site: Site) -> Finding:
    pins = parse_pins(site.config.collector.pins)
    tls = CollectorTls(
        collector=site.config.collector, clock=site.clock, state_directory=site.config.state_directory, writes=False
    )
    if tls.guard.report_only:
        end = site.config.collector.pins_report_only_until
        return doubt(
            f"pins only report until {end}: compare pins.would_refuse in the audit log with collector.pins",
            "actod audit show --event pins.would_refuse",
        )
    source = f"signed set {tls.pin_set.version}" if tls.pin_set is not None else "of the configuration"
    return ok(f"{len(tls.guard.pins) if tls.pin_set is not None else len(pins)} pins, {source}")


def _collector(site: Site) -> Finding:
    url = site.config.collector.url
    try:
        answer = site.server()
    except TransientError as exc:
        verdict = VERDICTS.get(exc.reason)
        return trouble(f"{url}: {exc.reason}", verdict.remedy if verdict is not None else "")
    if answer.status != _OK:
        return trouble(f"{url}/health answers {answer.status}", f"curl -sv {url}/health   # and check collector.url")
    return ok(f"{url} answers{'' if answer.tls.guard.report_only else ' under a pinned key'}")


def _backup(site: Site) -> Finding:
    """Hold the pins against the chain: one that is not in it is the backup, kept for the day on which a key is lost."""
    guard = site.server().tls.guard
    chain = {pin_of_der(certificate) for certificate in guard.chain}
    if not guard.pins - chain:
        return trouble("each pin is of the chain that the server shows now: none is left when its keys must go")
    return ok(f"{len(guard.pins & chain)} pins are of the server's chain, {len(guard.pins - chain)} are kept back")


def _pin_set(site: Site) -> Finding:
    collector = site.config.collector
    if collector.pin_set.file is None:
        return skip("the pins are those of the configuration, and have no end")
    tls = CollectorTls(collector=collector, clock=site.clock, state_directory=site.config.state_directory, writes=False)
    if tls.pin_set is None:
        return trouble(f"{collector.pin_set.file} was not taken: the pins of the configuration are in force")
    left = tls.pin_set.expires - site.now
    detail = f"set {tls.pin_set.version}, until {tls.pin_set.expires:%Y-%m-%d}"
    return trouble(f"{detail}: nothing is sent after that") if left < _PIN_SET_DAYS else ok(detail)


def _certificates(site: Site) -> Finding:
    return _ends(site.server().tls.guard.chain, site, "the server's chain")


def _client_certificates(site: Site) -> Finding:
    files = [file for file in (site.config.mqtt.certificate_file, site.config.collector.certificate_file) if file]
    if not files:
        return skip("the configuration names no client certificate")
    for file in files:
        finding = _ends(_read(file), site, str(file))
        if finding.kind != "ok":
            return finding
    return ok(f"{len(files)} files, none of which ends soon")


def _read(file: Path) -> list[bytes]:
    """Return the certificates of a PEM file. Raises OSError; a file without any has none."""
    data = file.read_bytes()
    if not pem.detect(data):
        return []
    return [der for kind, _headers, der in pem.unarmor(data, multiple=True) if kind == "CERTIFICATE"]


def _ends(chain: Sequence[bytes], site: Site, name: str) -> Finding:
    for place, certificate in enumerate(chain):
        start, end = validity(certificate)
        if site.now < start:
            return trouble(
                f"{name}: certificate {place} begins on {start:%Y-%m-%d}, and the clock says {site.now:%Y-%m-%d}",
                "timedatectl   # set the clock first: no end can be told before it is right",
            )
        if ends_soon(certificate, site.now):
            days = (end - site.now).days
            return trouble(f"{name}: certificate {place} ends on {end:%Y-%m-%d}, in {days} days")
    first = min((validity(certificate)[1] for certificate in chain), default=None)
    return ok(f"{name}: until {first:%Y-%m-%d}" if first is not None else f"{name}: no certificate")


GROUP = "collector"
CHECKS = (
    Check(
        id="collector-url",
        looks_at="HTTPS, no credentials in the URL, in prod no address of this machine; the proxy",
        run=_url,
        mend="actod run --dry-run",
        elsewhere="fail",
    ),
    Check(
        id="pins",
        looks_at="at least two pins, and whether they are enforced or only report",
        run=_pins,
        mend="actod pins show",
        elsewhere="fail",
        needs=("secret-client-keys",),
    ),
    Check(
        id="collector-answers",
        looks_at="whether it answers, under a validated chain with a pinned key",
        run=_collector,
        mend="actod why",
        elsewhere="fail",
        network=True,
        needs=("collector-url", "pins", "secret-api-key", "secret-wallet", "secret-client-keys"),
        limit_seconds=90.0,  # collector.request_timeout_seconds is 60
    ),
    Check(
        id="pin-backup",
        looks_at="whether a pin is kept back: one of a key that the server's chain does not show now",
        run=_backup,
        mend="openssl pkey -in backup.key -pubout -outform der | openssl dgst -sha256 -binary | base64",
        network=True,
        needs=("collector-answers",),
    ),
    Check(
        id="pin-set",
        looks_at="the signed pin set: taken, and 30 days or more before its end",
        run=_pin_set,
        mend="actod pins sign --key PEM FILE",
        needs=("pins",),
    ),
    Check(
        id="certificate",
        looks_at="the ends of the server's certificates: 14 days or a fifth of their life before",
        run=_certificates,
        mend="openssl s_client -connect HOST:443 -showcerts   # and have the collector's operator renew it",
        network=True,
        needs=("collector-answers",),
    ),
    Check(
        id="client-certificates",
        looks_at="the ends of our own certificates, likewise",
        run=_client_certificates,
        mend="openssl x509 -in FILE -noout -enddate   # then put a new one and its key in place",
        needs=("secret-client-keys",),
    ),
)
