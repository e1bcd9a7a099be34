"""The collectors of a bundle for support: each says which fields it may give, and gathers without caring for secrets.

All of them work beside a running daemon and without one; what a configuration that is refused cannot tell is named.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

from actod import configfile, configranges
from actod.audit.files import log_files, whole_lines
from actod.audit.verify import verify_log
from actod.cli.checks.registry import CHECKS
from actod.cli.checkup import checkup
from actod.cli.diagnostics import machine, words
from actod.cli.diagnostics.bundle import Collector
from actod.cli.diagnostics.fields import Each, Items, Shape, digest, moment, number, one_of, version
from actod.cli.diagnostics.journal import LINE, log_lines
from actod.cli.maintenance import STEPS
from actod.cli.state import ask
from actod.config import Config
from actod.errors import ConfigError
from actod.service.clock import SystemClock
from actod.service.maintenance import LIMIT_DAYS, standing
from actod.service.records import inventory
from actod.store.inspection import inspect
from actod.store.status import SpoolStatus
from actod.submit.hold import REASON as LOCKED
from actod.submit.incident import read_incident
from actod.submit.verdict import VERDICTS, State

_LOSS = Each(one_of(words.LOSSES), number)
_NUMBERS_OF_STORE: dict[str, Shape] = {
    field.name: number
    for field in dataclasses.fields(SpoolStatus)
    if field.name not in {"device", "losses_pending", "by_class"}
}
STORE: dict[str, Shape] = {
    **_NUMBERS_OF_STORE,
    "losses_pending": _LOSS,
    "by_class": Each(one_of(words.CLASSES), Each(one_of({"acknowledged", "waiting"}), number)),
    "file_bytes": number,
}
STATUS: dict[str, Shape] = {
    "version": version,
    "intake": one_of(words.STATES),
    "uplink": one_of(words.STATES),
    "sealing_waits_for": one_of(words.REASONS),
    "disk_refuses": one_of(words.REASONS, {""}),
    "message_bytes_a_day": number,
    "days_until_full": number,
    "signer": {
        "calls": number,
        "p50_seconds": number,
        "p99_seconds": number,
        "errors": Each(one_of(words.REASONS), number),
        "memory_locked": number,
        "reason": one_of(words.REASONS),
    },
    "store": STORE,
}
_VERSIONS: dict[str, Shape] = {
    **dict.fromkeys(inventory(), version),
    "machine": one_of(words.MACHINES),
    "implementation": one_of({"cpython"}),
    "systemd": version,
}
_WHY: dict[str, Shape] = {
    "state": one_of(words.STATES),
    "reason": one_of(VERDICTS),
    "remedy": one_of([verdict.remedy for verdict in VERDICTS.values()]),
}
_AUDIT: dict[str, Shape] = {
    **dict.fromkeys(("files", "lines", "first_n", "last_n", "whole", "bad_n"), number),
    "events": Each(one_of(words.EVENTS), number),
}
_NAMES = Items(one_of(CHECKS, [step.id for steps in STEPS.values() for step in steps]))
_MAINTENANCE = Each(
    one_of(LIMIT_DAYS),
    {
        "result": one_of(words.LEVELS, {"never"}),
        "at": moment,
        "age_days": number,
        "overdue": number,
        "failed": _NAMES,
        "warned": _NAMES,
    },
)
_CHECKS = Items({"id": one_of(CHECKS), "level": one_of(words.LEVELS)})
_SET, _NOT_SET = "set", "not set"
_CHOICES = [word for choices in configranges.CHOICES.values() for word in choices]
_INDEX = re.compile(r"\[\d+\]")


def _keys(cls: Any, prefix: str = "") -> Iterator[str]:
    """Yield each dotted key that a configuration can have."""
    for name, hint in get_type_hints(cls).items():
        inner = next((part for part in (hint, *get_args(hint)) if dataclasses.is_dataclass(part)), None)
        yield prefix + name
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}.")


KEYS = frozenset(_keys(Config))
_TABLES = frozenset(key.rpartition(".")[0] for key in KEYS)
_SETTING = one_of(_CHOICES, (_SET, _NOT_SET))
_CONFIG: dict[str, Shape] = {
    "settings": Each(one_of(KEYS), lambda value: number(value) or _SETTING(value)),
    "digest": digest,
    "refused_at": one_of(KEYS),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where to look. `log_file` holds the daemon's lines as JSON where there is no journal; `most_lines` are taken."""

    config_file: Path
    log_file: Path | None
    most_lines: int

    def config(self) -> Config:
        """Return the configuration. Raises ConfigError."""
        return configfile.load(self.config_file)


def collectors(site: Site) -> list[Collector]:
    """Return all of them, in the order of the bundle."""
    gathered: tuple[tuple[str, str, Shape, Callable[[], Any], float], ...] = (
        ("versions", "actod, Python, kernel, libraries, systemd", _VERSIONS, machine.versions, 10),
        ("machine", "board, memory, load, and the disk of the state folder", machine.MACHINE, partial(_machine, site), 10),
        ("units", "what systemd says of the units", machine.UNITS, machine.units, 10),
        (
            "configuration",
            "numbers, switches, choices; of the rest, if it is set",
            _CONFIG,
            partial(_config, site),
            10,
        ),
        ("status", "what the running daemon says of itself", STATUS, partial(_asked, site, "status"), 15),
        ("why", "why the oldest bundle has not left", _WHY, partial(_why, site), 15),
        ("incident", "whether submission is locked", {"locked": number, "since": moment}, partial(_incident, site), 10),
        ("maintenance", "the last round of each kind", _MAINTENANCE, partial(_maintenance, site), 10),
        ("store", "the store in numbers, read from its file", STORE, partial(_store, site), 15),
        (
            "refused",
            "messages refused, by reason, as far as the audit log reaches",
            _LOSS,
            partial(_refused, site),
            60,
        ),
        ("audit", "whether the audit log is whole, and how often what stands in it", _AUDIT, partial(_audit, site), 120),
        ("log", "the newest lines that call for a person, by their MESSAGE_ID", Items(LINE), partial(_log, site), 15),
        ("checks", "which checks pass, the network left out", _CHECKS, partial(_checked, site), 180),
    )
    return [
        Collector(name=name, about=about, shape=shape, gather=gather, limit_seconds=limit)
        for name, about, shape, gather, limit in gathered
    ]


def _machine(site: Site) -> dict[str, Any]:
    state = None
    with suppress(ConfigError):
        state = site.config().state_directory
    return machine.facts(state, synchronised=SystemClock().synchronised())


def _config(site: Site) -> dict[str, Any]:
    try:
        config = site.config()
    except ConfigError as exc:
        return {"refused_at": _INDEX.sub("", exc.key)}
    return {"settings": dict(_settings(dataclasses.asdict(config))), "digest": configfile.digest(config)}


def _settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting: what may be seen of it, its length, or whether it is set."""
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key in _TABLES:
            yield from _settings(value, f"{key}.")
        elif isinstance(value, list | dict):
            yield key, len(value)
        elif isinstance(value, int | float) or key in configranges.CHOICES:
            yield key, value
        else:
            yield key, _SET if value not in (None, "") else _NOT_SET


def _asked(site: Site, command: str) -> dict[str, Any]:
    return ask(site.config(), command)


def _why(site: Site) -> dict[str, Any]:
    """Name the reason by the program's own word; the sentence may hold an operator's."""
    said = _asked(site, "why")
    named = [LOCKED] if said["state"] == State.INCIDENT else re.findall(r"\((\w+)", said["why"])
    reason = next((word for word in named if word in VERDICTS), None)
    found = {"state": said["state"]}
    return found if reason is None else found | {"reason": reason, "remedy": VERDICTS[reason].remedy}


def _incident(site: Site) -> dict[str, Any]:
    incident = read_incident(site.config().state_directory)
    return {"locked": incident.locked, "since": incident.since or None}


def _maintenance(site: Site) -> dict[str, Any]:
    return standing(site.config().state_directory, SystemClock())


def _store(site: Site) -> dict[str, Any]:
    with inspect(site.config().state_directory) as store:
        return dataclasses.asdict(store.status(wall_ns=SystemClock().now().wall_ns))


def _audit_lines(site: Site) -> Iterator[dict[str, Any]]:
    for file in log_files(site.config().state_directory / "audit"):
        yield from whole_lines(file)


def _refused(site: Site) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in _audit_lines(site):
        if line["event"] == "refused":
            counts[str(line.get("reason"))] += int(line.get("count", 0))
    return counts


def _audit(site: Site) -> dict[str, Any]:
    report = verify_log(site.config().state_directory / "audit")
    events = Counter(line["event"] for line in _audit_lines(site))
    facts = {"files": report.files, "lines": report.lines, "first_n": report.first_n, "last_n": report.last_n}
    return facts | {"whole": not report.problem, "bad_n": report.n if report.problem else None, "events": events}


def _log(site: Site) -> list[dict[str, Any]]:
    return log_lines(site.log_file, most=site.most_lines)


def _checked(site: Site) -> list[dict[str, Any]]:
    return [{"id": each.id, "level": each.level} for each in checkup(site.config(), site.config_file)]
