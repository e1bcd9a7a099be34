"""The units: installed, started at boot, never given up, and with their whole sandbox: each relaxed line is named."""

from __future__ import annotations

from collections.abc import Iterator

from actod.cli.checks.check import Check, Finding, ok, skip, trouble
from actod.cli.checks.site import DAEMON, SIGNER, Site
from actod.cli.checks.unitfile import Unit

_YES = (
    "NoNewPrivileges", "PrivateTmp", "PrivateMounts", "PrivateIPC", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups", "RestrictNamespaces", "RestrictRealtime",
    "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RemoveIPC",
)  # fmt: skip
_BOTH = dict.fromkeys(_YES, "yes") | {
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "DevicePolicy": "closed",
    "ProtectSystem": "strict",
    "ProtectProc": "invisible",
    "KeyringMode": "private",
    "UMask": "0077",
    "NoExecPaths": "/",
    "SystemCallArchitectures": "native",
    "LimitCORE": "0",
    "MemorySwapMax": "0",
}
# What the shipped units say, and a drop-in may only tighten: tests/deploy holds this against them.
SANDBOX = {
    DAEMON: _BOTH
    | {"User": "actod", "Group": "actod", "PrivateUsers": "yes", "PrivateDevices": "yes", "SocketBindDeny": "any"},
    SIGNER: _BOTH
    | {"User": "actod-signer", "PrivateNetwork": "yes", "IPAddressDeny": "any", "ProtectClock": "yes", "ProcSubset": "pid"}
    | {"SocketBindDeny": "any", "Group": "actod-signer"},
}
_EXECUTABLE = {"/usr", "-/lib", "-/lib64"}
_PLACES: dict[str, set[str]] = {
    "SupplementaryGroups": set(),
    "BindPaths": set(),
    "ReadWritePaths": set(),
    "ExecPaths": _EXECUTABLE,
    "DeviceAllow": set(),
}
# Lists that may not grow: words beyond these open something.
ADDS = {
    DAEMON: _PLACES | {"ReadWritePaths": {"-/run/actod-metrics"}},
    # docs/install.md: a token at USB
    SIGNER: _PLACES | {"IPAddressAllow": set(), "DeviceAllow": {"/dev/tpmrm0", "char-usb_device", "rw"}},
}
_WHERE = {"any", "0.0.0.0/0", "::/0"}
_METRICS = "ipv4:tcp:9464"  # of metrics.listen, in the shipped unit
FAMILIES = {DAEMON: {"AF_UNIX", "AF_INET", "AF_INET6"}, SIGNER: {"AF_UNIX"}}
CALLS = {
    DAEMON: {
        "@system-service",
        "adjtimex",
        "clock_adjtime",
        "~@privileged",
        "~@resources",
        "~@memlock",
        "~@aio",
        "~@keyring",
    },
    SIGNER: {"@system-service", "~@privileged", "~@resources", "~@aio", "~@keyring"},
}
_RESTART = {"Type": "notify", "Restart": "always", "RestartPreventExitStatus": "78", "StartLimitIntervalSec": "0"}


def _installed(site: Site) -> Finding:
    missing = [name for name in _wanted(site) if site.unit(name) is None]
    return trouble(f"{' and '.join(missing)} not installed, or masked") if missing else ok(" and ".join(_wanted(site)))


def _wanted(site: Site) -> tuple[str, ...]:
    return (DAEMON,) if site.config.signer.spawn else (DAEMON, SIGNER)


def relaxed(unit: Unit, name: str, *, listen: str = "", writes: frozenset[str] = frozenset()) -> Iterator[str]:
    """Name each line of a unit that is looser than the shipped one; the configuration asks for `listen` and `writes`."""
    for key, value in SANDBOX[name].items():
        found = unit.last(key)
        if found != value:
            yield f"{key}={found}" if found is not None else f"{key}= is missing"
    for key, shipped in ADDS[name].items():
        added = set(unit.words(key)) - shipped - (writes if key == "ReadWritePaths" else frozenset())
        if added:
            yield f"{key}={' '.join(sorted(added))}"
    for key, values in unit.settings.items():
        if key.startswith("Exec") and any(value.lstrip("@-:").startswith(("+", "!")) for value in values):
            yield f"{key}= outside of the sandbox"
    ports = set(unit.words("SocketBindAllow")) - {_METRICS, f"ipv4:tcp:{listen.rpartition(':')[2]}"}
    if ports:
        yield f"SocketBindAllow={' '.join(sorted(ports))}"
    families = set(unit.words("RestrictAddressFamilies"))
    if not families or families - FAMILIES[name]:
        yield f"RestrictAddressFamilies={' '.join(sorted(families))}"
    calls = set(unit.words("SystemCallFilter"))
    denied = {word for word in CALLS[name] if word.startswith("~")}
    looser = {word for word in calls if not word.startswith("~")} - CALLS[name]
    if looser or denied - calls or not calls:
        yield f"SystemCallFilter={' '.join(sorted(looser)) or 'without ' + ' '.join(sorted(denied - calls))}"


def _daemon(site: Site) -> Finding:
    return _sandbox(site, DAEMON)


def _signer(site: Site) -> Finding:
    return skip("the daemon starts the signer, in its own sandbox") if site.config.signer.spawn else _sandbox(site, SIGNER)


def _sandbox(site: Site, name: str) -> Finding:
    unit = site.unit(name)
    if unit is None:
        return skip(f"no {name} is installed")
    textfile = site.config.metrics.textfile
    folders = [site.config.state_directory, *([textfile.parent] if textfile else [])] if name == DAEMON else []
    writes = frozenset(f"{mark}{folder}" for folder in folders for mark in ("", "-"))
    lines = list(relaxed(unit, name, listen=site.config.metrics.listen, writes=writes))
    if lines:
        return trouble(f"{name}, looser than shipped: {', '.join(lines)}", f"systemctl revert {name}")
    return ok(f"{name}, {len(SANDBOX[name]) + len(ADDS[name]) + 3} settings as shipped")


def _restart(site: Site) -> Finding:
    for name in _wanted(site):
        unit = site.unit(name)
        if unit is None:
            return skip(f"no {name} is installed")
        for key, value in _RESTART.items():
            if unit.last(key) != value:
                return trouble(f"{name}: {key}={unit.last(key) or ''}, not {value}", f"systemctl revert {name}")
        if unit.last("WatchdogSec") in {None, "", "0", "infinity"}:
            return trouble(f"{name}: no WatchdogSec=: one that hangs is not ended", f"systemctl revert {name}")
    return ok("started again always, but after a refused configuration; one that hangs is ended")


def _enabled(site: Site) -> Finding:
    if site.unit(DAEMON) is None:
        return skip(f"no {DAEMON} is installed")
    if not site.starts_at_boot(DAEMON):
        return trouble(f"{DAEMON} does not start at boot")
    return ok(f"{DAEMON} starts at boot")


def _egress(site: Site) -> Finding:
    unit = site.unit(DAEMON)
    if unit is None:
        return skip(f"no {DAEMON} is installed")
    allowed = unit.words("IPAddressAllow")
    if "any" in unit.words("IPAddressDeny") and not _WHERE & set(allowed):
        return ok(f"only to {' '.join(allowed) or 'nowhere'}")
    return trouble("the daemon may reach every address: broker, collector and resolver are all that it needs")


GROUP = "unit"
CHECKS = (
    Check(
        id="unit-installed",
        looks_at="whether actod.service and actod-signer.service are there",
        run=_installed,
        mend="apt-get install ./actod_VERSION_ARCH.deb   # or systemctl unmask actod actod-signer",
        elsewhere="ok",
        prod="warn",
    ),
    Check(
        id="unit-daemon",
        looks_at="the daemon's sandbox, drop-ins included: each line that is looser than shipped is named",
        run=_daemon,
        mend="systemctl revert actod.service",
        needs=("unit-installed",),
    ),
    Check(
        id="unit-signer",
        looks_at="the signer's sandbox, likewise",
        run=_signer,
        mend="systemctl revert actod-signer.service",
        needs=("unit-installed",),
    ),
    Check(
        id="unit-restart",
        looks_at="restart without end, watchdog, notification",
        run=_restart,
        mend="systemctl revert actod.service actod-signer.service",
        needs=("unit-installed",),
    ),
    Check(
        id="unit-enabled",
        looks_at="whether the daemon starts at boot",
        run=_enabled,
        mend="systemctl enable actod",
        needs=("unit-installed",),
    ),
    Check(
        id="egress",
        looks_at="whether the daemon's unit names the addresses that it may reach",
        run=_egress,
        mend="systemctl edit actod   # [Service] IPAddressDeny=any, IPAddressAllow=localhost BROKER COLLECTOR RESOLVER",
        elsewhere="ok",
        prod="warn",
        needs=("unit-installed",),
    ),
)
