"""The state folder and what lies in it: owner, integrity, what waits, what was set aside, what was lost."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

from actod.audit.files import log_files, whole_lines
from actod.audit.verify import verify_log
from actod.cli.checks.check import Check, Finding, doubt, ok, trouble
from actod.cli.checks.site import Site
from actod.service.folder import check_folder
from actod.store.inspection import inspect
from actod.store.schema import DATABASE_NAME
from actod.store.status import SpoolStatus
from actod.store.vault import read_operator_key

_GROUP_AND_OTHERS = 0o077
_OLD_SECONDS = 86_400
_NEARLY_FULL_PERCENT = 80
_WITHHELD = "withheld"  # what sits in quarantine, which is a check of its own
_NONE_YET = "there is none yet"


def _folder(site: Site) -> Finding:
    folder = site.config.state_directory
    if not folder.exists():
        return doubt(f"{folder} is not there yet", f"install -d -m 0700 -o $(id -un) {folder}")
    check_folder(folder)
    return ok(f"{folder}, ours alone")


def _files(site: Site) -> Finding:
    folder, count = site.config.state_directory, 0
    owner = folder.stat().st_uid if folder.exists() else 0
    for file in folder.rglob("*"):
        try:
            seen = file.lstat()
        except FileNotFoundError:
            continue  # the daemon has just removed it
        count += 1
        if stat.S_ISSOCK(seen.st_mode):
            continue  # who calls is checked at each call
        if seen.st_mode & _GROUP_AND_OTHERS or seen.st_uid != owner or stat.S_ISLNK(seen.st_mode):
            return trouble(
                f"{file}, mode {stat.S_IMODE(seen.st_mode):04o}, of user {seen.st_uid}: not ours alone",
                f"chown -R {owner} {folder} && chmod -R go= {folder}",
            )
    return ok(f"{count} files and folders, ours alone")


def _status(site: Site) -> SpoolStatus | None:
    """Return the store's numbers; None if there is no store yet. Raises ActodError."""
    if not (site.config.state_directory / DATABASE_NAME).exists():
        return None
    with inspect(site.config.state_directory) as store:
        return store.status(wall_ns=site.clock.now().wall_ns)


def _store(site: Site) -> Finding:
    status = _status(site)
    if status is None:
        return ok(_NONE_YET)
    with inspect(site.config.state_directory) as store:
        complaint = store.complaint()
    if complaint:
        return trouble(complaint)
    return ok(
        f"{status.file_bytes // 1024} KiB, {status.journal_messages} messages and {status.outbox_bundles} bundles wait"
    )


def _quarantine(site: Site) -> Finding:
    status = _status(site)
    count = status.quarantined_bundles if status is not None else 0
    return trouble(f"{count} bundles are set aside: the collector refused them") if count else ok("nothing is set aside")


def _age(site: Site) -> Finding:
    status = _status(site)
    ages = [] if status is None else [status.journal_oldest_seconds or 0, status.outbox_oldest_seconds or 0]
    oldest = max(ages, default=0)
    if oldest >= _OLD_SECONDS:
        return trouble(f"the oldest has waited for {oldest / 3600:.0f} hours")
    return ok(f"the oldest has waited for {oldest:.0f} s" if oldest else "nothing waits")


def _share(site: Site) -> Finding:
    status = _status(site)
    used = 0 if status is None else status.journal_bytes + status.outbox_bytes
    percent = 100 * used // site.config.store.shares.database
    detail = f"{percent} % of the queue's share is full"
    return trouble(detail) if percent >= _NEARLY_FULL_PERCENT else ok(detail)


def _losses(site: Site) -> Finding:
    """Count what the audit log says since the daemon's last start, and what no bundle has carried yet."""
    counts: Counter[str] = Counter()
    for file in reversed(log_files(site.config.state_directory / "audit")):
        started, found = _lost(file)
        counts.update(found)
        if started:
            break
    status = _status(site)
    for reason, count in ({} if status is None else status.losses_pending).items():
        counts[reason] = max(count, counts[reason])
    del counts[_WITHHELD]
    if not counts:
        return ok("none since the last start")
    return trouble("since the last start: " + ", ".join(f"{reason} {count}" for reason, count in counts.most_common()))


def _lost(file: Path) -> tuple[bool, Counter[str]]:
    """Return whether a start stands in a file of the audit log, and what was lost after its last one, by reason."""
    started, counts = False, Counter[str]()
    for line in whole_lines(file):
        if line["event"] == "daemon.started":
            started, counts = True, Counter()
        elif line["event"] == "refused":
            counts[str(line.get("reason"))] += int(line.get("count", 0))
        elif isinstance(line.get("lost"), dict):
            counts.update(line["lost"])
    return started, counts


def _audit(site: Site) -> Finding:
    folder = site.config.state_directory / "audit"
    if not folder.exists():
        return ok(_NONE_YET)
    report = verify_log(folder)
    if report.problem:
        return trouble(f"{report.file}, line {report.line}: {report.problem}")
    return ok(f"{report.lines} lines, no line was changed")


def _exports(site: Site) -> Finding:
    key = site.config.masking.operator_key
    if not key:
        return trouble("no masking.operator_key: what cannot be masked is not kept, and each export must name its recipient")
    read_operator_key(key)
    return ok("exports, and what cannot be masked, are sealed to the operator's key")


GROUP = "store"
CHECKS = (
    Check(
        id="state-folder",
        looks_at="whether the state folder is there, of mode 0700, and of the user who asks",
        run=_folder,
        mend="chmod 700 FOLDER",
        elsewhere="fail",
    ),
    Check(
        id="state-files",
        looks_at="owner and mode of each file in the state folder",
        run=_files,
        mend="chmod -R go= FOLDER",
        needs=("state-folder",),
    ),
    Check(
        id="store-whole",
        looks_at="whether it opens, and its structure is whole; `actod queue fsck` looks at each row as well",
        run=_store,
        mend="systemctl restart actod   # a start repairs its store by itself, and says what is gone",
        elsewhere="fail",
        limit_seconds=300.0,  # a gigabyte on a slow card
    ),
    Check(
        id="quarantine",
        looks_at="bundles that the collector refused",
        run=_quarantine,
        mend="actod queue list --place quarantine   # then actod queue retry or purge",
        prod="warn",
        needs=("store-whole",),
    ),
    Check(
        id="queue-age",
        looks_at="how long the oldest message or bundle has waited; a day is too long",
        run=_age,
        mend="actod why",
        prod="warn",
        needs=("store-whole",),
    ),
    Check(
        id="queue-share",
        looks_at="how much of its share of store.max_bytes the queue fills; 80 % is nearly full",
        run=_share,
        mend="actod why   # or a larger max_bytes in [store], then actod reload",
        prod="fail",
        needs=("store-whole",),
    ),
    Check(
        id="losses",
        looks_at="what was refused, dropped or damaged since the daemon's last start, by reason",
        run=_losses,
        mend="actod audit show --event refused",
        prod="warn",
        needs=("store-whole",),
    ),
    Check(
        id="audit-log",
        looks_at="each line of the audit log against its chain of hashes",
        run=_audit,
        mend="cp -a FOLDER/audit /root/evidence   # before anything else; it is an incident: actod audit verify",
        elsewhere="fail",
        limit_seconds=600.0,  # 128 MiB on a slow board
    ),
    Check(
        id="exports",
        looks_at="whether the operator's public key is there, to which exports are sealed",
        run=_exports,
        mend="actod vault key FILE   # on your machine; what it prints is masking.operator_key",
        elsewhere="ok",
        prod="warn",
    ),
)
