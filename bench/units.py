"""The same memory and idleness under the shipped units, with all of their sandbox, in a container of systemd-nspawn.

It needs root, systemd-nspawn, the package (`make deb`) and the root file system that `make hil-fast` makes; where one
of them is missing the run says so, and goes on without these figures.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import closing
from pathlib import Path

from bench.figure import Figure
from bench.load import publishing
from bench.machine import say
from bench.resident import MESSAGES
from hil.acceptance import MARK, Site, configure, figures, install, provision
from hil.collector.client import Collector
from hil.installed import BROKER
from hil.machine import booted, root_of
from hil.parts.broker import free_port
from hil.parts.certificates import CertificateAuthority
from hil.rig import DEFAULT_ROUTES, ROOT, wait_for

RELEASE = "bookworm"
_MIB = 1.048576  # MB
_PROCESSES = ("actod", "actod-signer")
_PACES = (100, 1000)  # messages/s: a robot's own, then a burst, after which the heap keeps its high water


def units(folder: Path) -> list[Figure]:
    """Install, start, wait until it is idle, and look; [] where that cannot be done here."""
    if missing := _missing():
        say(f"not under the shipped units: {missing}")
        return []
    authority = CertificateAuthority.make(folder / "ca")
    api_key = "acto_" + secrets.token_urlsafe(32)
    collector = Collector(folder=folder / "collector", certificate=authority.issue("collector"), api_keys=[api_key])
    with closing(collector), booted(RELEASE) as machine:
        collector.start()
        site = Site(machine, collector, authority, free_port(), RELEASE, api_key)
        install(site)
        provision(site)
        settings = f'[mqtt]\nport = {site.port}\n[log]\nlevel = "info"\n{DEFAULT_ROUTES}'
        configure(site, url=f"https://127.0.0.1:{collector.port}", environment="dev", settings=settings)
        machine.write("/etc/mosquitto/conf.d/actod.conf", BROKER.format(port=site.port))
        machine.run("systemctl", "restart", "mosquitto")
        began = time.perf_counter()
        machine.run("systemctl", "start", "actod")
        ready = time.perf_counter() - began
        wait_for(lambda: machine.shows("actod", "StatusText") == "collecting", what="the status")
        wait_for(lambda: site.collector.count() > 0, seconds=60, what="the record of the start")
        robots, burst = (_after(site, per_second=pace) for pace in _PACES)
    where = "under the shipped units"
    return [
        _memory(f"memory (PSS), {where}, at {_PACES[0]} messages/s", robots),
        _memory(f"memory (PSS), {where}", burst),
        _split(f"idle CPU, {where}", "%", {name: burst[f"{name}_idle_percent"] for name in _PROCESSES}),
        Figure(name=f"systemctl start, {where}", unit="s", values=[ready], kind="wall"),
    ]


def _after(site: Site, *, per_second: int) -> dict[str, float]:
    """Publish so fast, wait until all of it has its receipt, and look."""
    goal = site.queue()["acknowledged"] + MESSAGES
    with publishing(site.port, qos=1) as pace:
        pace.publish(MESSAGES, per_second=per_second)
    wait_for(lambda: site.queue()["acknowledged"] >= goal, what="the messages")
    wait_for(lambda: not site.queue()["outbox_bundles"], seconds=60, what="the receipts")
    return figures(site.machine)


def _memory(name: str, found: dict[str, float]) -> Figure:
    return _split(name, "MB", {process: found[f"{process}_pss_mib"] * _MIB for process in _PROCESSES})


def _split(name: str, unit: str, split: dict[str, float]) -> Figure:
    return Figure(name=name, unit=unit, values=[sum(split.values())], kind="count", split=split)


def _missing() -> str:
    """Say what is missing, "" if nothing is."""
    package = ROOT / "dist" / f"actod_0.1.0+deb{MARK[RELEASE]}_amd64.deb"
    root = ROOT / ".cache" / "hil" / f"root-{RELEASE}"
    needs = {
        "root": os.geteuid() == 0,
        "systemd-nspawn": shutil.which("systemd-nspawn") is not None,
        f"{package.name} (make deb)": package.exists(),
        f"{root.name} (make hil-fast)": root.exists(),
    }
    return ", ".join(name for name, there in needs.items() if not there)


if __name__ == "__main__":
    root_of(RELEASE)
