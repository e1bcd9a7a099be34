"""All checks, in the order in which they run, and the one way to run them."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from actod import configfile
from actod.cli.checks import broker, collector, configuration, disk, machine, secrets, store, token, unit, upkeep
from actod.cli.checks.check import Check, Finding, Line, skip, trouble
from actod.cli.checks.site import Site
from actod.config import Config
from actod.errors import ActodError, ConfigError
from actod.ports import Clock
from actod.service.clock import SystemClock

_GROUPS = (configuration, secrets, token, broker, collector, disk, store, machine, unit, upkeep)
CHECKS: Mapping[str, tuple[str, Check]] = {each.id: (group.GROUP, each) for group in _GROUPS for each in group.CHECKS}
PROGRAMS = frozenset({  # with which a remedy begins
    "/usr/lib/actod/tpm/provision", "actod", "apt-get", "chmod", "chown", "cp", "cryptsetup", "curl", "dmesg", "du", "echo",
    "findmnt", "gpasswd", "grep", "install", "journalctl", "mosquitto_passwd", "mosquitto_sub", "openssl", "pip", "sudo",
    "systemctl", "systemd-machine-id-setup", "timedatectl",
})  # fmt: skip


class UnknownCheckError(ValueError):
    """A name that is neither a check's nor a group's."""


def chosen(only: Collection[str]) -> list[tuple[str, Check]]:
    """Return (group, check) of those named, by id or by group; all if none is. Raises UnknownCheckError."""
    groups = list(dict.fromkeys(group for group, _check in CHECKS.values()))
    unknown = [name for name in only if name not in CHECKS and name not in groups]
    if unknown:
        message = f"there is no check and no group {unknown[0]!r}. Groups: {', '.join(groups)}. Checks: {', '.join(CHECKS)}"
        raise UnknownCheckError(message)
    return [(group, each) for group, each in CHECKS.values() if not only or each.id in only or group in only]


def run_checks(
    config: Config,
    file: Path,
    *,
    only: Collection[str] = (),
    offline: bool = False,
    root: Path = Path("/"),
    clock: Clock | None = None,
) -> Iterator[Line]:
    """Run checks one after the other, and yield the line of each as it ends.

    `file` is the configuration's file. `root` is where the machine's /proc, /sys and /etc lie. Nothing that a check does
    stops the others: neither what it raises nor that it does not end. Raises UnknownCheckError.
    """
    site = Site(config, file, root=root, clock=clock or SystemClock(), offline=offline)
    bad: set[str] = set()
    for group, each in chosen(only):
        if offline and each.network:
            continue
        needed = [name for name in each.needs if name in bad]
        finding = skip(f"not asked: see {', '.join(needed)}") if needed else finding_of(each, site)
        if needed or finding.kind == "trouble":
            bad.add(each.id)
        yield _line(group, each, finding, site)


def _line(group: str, check: Check, finding: Finding, site: Site) -> Line:
    level = finding.kind
    if level == "trouble":
        level = check.prod if site.prod else check.elsewhere
    elif level == "doubt":
        level = "warn"
    excused = f" (no fault in {site.config.environment})" if finding.kind == "trouble" and level == "ok" else ""
    remedy = _command(finding.remedy, check.mend) if level in {"warn", "fail"} else ""
    return Line(check.id, group, level, finding.detail + excused, remedy)


def _command(remedy: str, mend: str) -> str:
    """Return a remedy that begins with a command: words of advice go behind the check's own."""
    if not remedy:
        return mend
    return remedy if remedy.split(maxsplit=1)[0] in PROGRAMS else f"{mend.partition('   #')[0]}   # {remedy}"


def finding_of(check: Check, site: Site) -> Finding:
    """Run one check on a thread of its own: one that hangs is left behind, and the others are made."""
    found: list[Finding] = []
    thread = threading.Thread(target=lambda: found.append(_guarded(check, site)), name=f"check {check.id}", daemon=True)
    thread.start()
    thread.join(check.limit_seconds)
    return found[0] if found else trouble(f"no answer within {check.limit_seconds:g} s")


def _guarded(check: Check, site: Site) -> Finding:
    """Make a finding of what a check raises."""
    try:
        return check.run(site)
    except ConfigError as exc:
        where = configfile.located(exc, site.file)
        found = f", found {where.found}" if where.found else ""
        return trouble(f"{where.file}: {where.key}: expected {where.expected}{found}", where.fix)
    except ActodError as exc:
        return trouble(str(exc))
    except OSError as exc:
        return trouble(f"{exc.filename or check.id}: {exc.strerror or type(exc).__name__}", "sudo -u actod actod check")
    except Exception as exc:  # noqa: BLE001 - a defect of one check must not end the others
        return trouble(f"a defect of this check: {type(exc).__name__}")
