"""Each week: audit log, store and exports are whole; limits, access and credentials are reviewed."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
from nacl.public import PrivateKey

from actod.audit.verify import verify_log
from actod.cli.checkup import checkup
from actod.cli.queue import found_by_fsck
from actod.cli.rounds.step import FAIL, OK, WARN, Result, Round, Step
from actod.cli.state import NotRunningError, ask
from actod.proof.verify import Verdict, verify_envelope
from actod.store.export import read_export, write_export
from actod.store.inspection import PLACES, inspect
from actod.store.schema import DATABASE_NAME

CHECKS = (
    "quarantine",
    "queue-age",
    "queue-share",
    "losses",
    "limits",
    "disk-space",
    "disk-inodes",
    "disk-wear",
    "pins",
    "pin-set",
    "client-certificates",
    "credential-age",
    "key-age",
    "clock",
)
_EXPORTED = 3  # bundles that the export is tried with
_LIMITS = {"rate_limited", "flood_brake"}
_STORE_SECONDS = 1800.0  # each row of a full store on a slow card
_CERTIFICATES = {"certificate.ends_soon", "certificate.issuer_changed", "pins.ends_soon", "pins.would_refuse"}


def _audit(round_: Round) -> Iterator[Result]:
    report = verify_log(round_.state / "audit")
    if report.problem:
        where = f"{report.file}, line {report.line}: {report.problem}"
        yield Result("audit", FAIL, where, "docs/incidents.md: a broken audit chain")
    else:
        yield Result("audit", OK, f"{report.lines} lines, no line was changed")


def _store(round_: Round) -> Iterator[Result]:
    findings, messages = found_by_fsck(round_.state)
    if findings:
        for each in findings:
            yield Result("store", FAIL, f"{each.where}: {each.what}", "actod queue fsck   # a restart repairs the store")
    else:
        yield Result("store", OK, ", ".join(f"{number} messages in the {place}" for place, number in messages.items()))


def _export(round_: Round) -> Iterator[Result]:
    """Export the newest bundles to a key that is thrown away, read them back, and verify them."""
    if not (round_.state / DATABASE_NAME).exists():
        yield Result("export", OK, "there is nothing to export yet")
        return
    with inspect(round_.state) as store:
        newest = [row for place in PLACES for row in store.bundles(place, limit=_EXPORTED)][:_EXPORTED]
        bodies = [store.envelope(row) for row in newest]
    whole = [body for body in bodies if body is not None]
    key = PrivateKey.generate()
    with tempfile.TemporaryDirectory(prefix="actod-") as folder:
        file = Path(folder) / "export"
        write_export(file, whole, recipient=bytes(key.public_key))
        with file.open("rb") as opened:
            back = b"".join(read_export(opened, private_key=bytes(key))).splitlines()
    verdicts = [verify_envelope(orjson.loads(body), source="export").verdict for body in back]
    if len(whole) != len(newest) or back != whole or any(verdict is Verdict.INVALID for verdict in verdicts):
        yield Result("export", FAIL, f"{len(newest)} bundles did not come back as they are", "actod queue fsck")
    else:
        yield Result("export", OK, f"{len(back)} bundles were exported, read back and verified")


def _limits(round_: Round) -> Iterator[Result]:
    """Say which routes met their limits since the last round: too low a limit loses messages, too high a one is none."""
    met: Counter[str] = Counter()
    for line in round_.audited("refused"):
        if line.get("reason") in _LIMITS:
            met[f"{line.get('route')} ({line['reason']})"] += int(line.get("count", 0))
    if met:
        said = ", ".join(f"{count} messages of {where}" for where, count in met.most_common(8))
        yield Result("limits-met", WARN, said, "look at the robot that floods, or raise the route's limit")
    else:
        yield Result("limits-met", OK, "no limit dropped anything since the last round")


def _access(round_: Round) -> Iterator[Result]:
    denied = Counter(str(line.get("where")) for line in round_.audited("access.denied"))
    if denied:
        said = ", ".join(f"{count} times at {where}" for where, count in denied.items())
        yield Result("access", WARN, f"refused: {said}", "actod audit show --event access.   # docs/incidents.md")
    else:
        yield Result("access", OK, "nobody was refused since the last round")


def _announced(round_: Round) -> Iterator[Result]:
    """Say what the daemon saw of the collector's certificates and pins: this round has no network."""
    seen = {line["event"] for line in round_.audited(*_CERTIFICATES)}
    if seen:
        yield Result("certificates", WARN, ", ".join(sorted(seen)), "actod audit show --event cert   # docs/pins.md")
    else:
        yield Result("certificates", OK, "the daemon saw none that ends soon or has another issuer")


def _credentials(round_: Round) -> Iterator[Result]:
    """Ask the daemon, which alone reads its unit's credentials, for their ages, and whether the server took them."""
    try:
        known = ask(round_.config, "credentials")
    except NotRunningError as exc:
        yield Result("credentials", WARN, f"not known: {exc}", "systemctl start actod")
        return
    old = [key for key, facts in known.items() if facts["stage"]]
    if old:
        yield Result("credentials", WARN, f"old: {', '.join(sorted(old))}", "actod credentials list")
    else:
        yield Result("credentials", OK, f"{len(known)} credentials, none is old")


def checked(round_: Round, *, only: tuple[str, ...] = ()) -> Iterator[Result]:
    """Make checks of `actod check`, the network left out."""
    for line in checkup(round_.config, round_.file, only=only):
        yield Result(line.id, line.level, line.detail, line.remedy)


STEPS = (
    Step("audit", _audit, "docs/incidents.md: a broken audit chain", _STORE_SECONDS),
    Step("store", _store, "actod queue fsck", _STORE_SECONDS),
    Step("export", _export, "actod queue fsck"),
    Step("limits-met", _limits, "actod audit verify"),
    Step("access", _access, "actod audit verify"),
    Step("certificates", _announced, "actod audit verify"),
    Step("credentials", _credentials, "actod credentials list"),
)
