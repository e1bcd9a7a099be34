"""What a mosquitto on this machine was told: its configuration file, and the folders that it includes."""

from __future__ import annotations

from pathlib import Path

from actod.cli.checks.site import Site

MAIN = "etc/mosquitto/mosquitto.conf"
_DEEPEST = 8
_DEFAULT_PORT = "1883"
DEFAULTS = {  # of mosquitto 2.0; bytes: 0 is without limit
    "max_queued_messages": "1000",
    "max_queued_bytes": "0",
    "max_inflight_messages": "20",
    "persistence": "false",
    "persistence_location": "/var/lib/mosquitto/",
    "max_packet_size": "0",
    "message_size_limit": "0",
}


def settings(site: Site, *, port: int) -> dict[str, str] | None:
    """Return what is in force of DEFAULTS for the broker at a port, None where no file is for it.

    Raises OSError where a file cannot be read.
    """
    if not site.path(MAIN).exists():
        return None
    found, ports = dict(DEFAULTS), set[str]()
    _read(site, site.path(MAIN), found, ports, 0)
    return found if str(port) in (ports or {_DEFAULT_PORT}) else None  # else another broker answers there


def _read(site: Site, file: Path, found: dict[str, str], ports: set[str], depth: int) -> None:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        word, _, value = line.strip().partition(" ")
        if word in found:
            found[word] = value.strip()
            if word == "persistence":
                found[word] = {"1": "true"}.get(found[word], found[word])
        elif word in {"listener", "port"}:
            ports.add(value.split()[0] if value.split() else "")
        elif word == "include_dir" and depth < _DEEPEST:
            for included in sorted(site.path(value.strip()).glob("*.conf")):
                _read(site, included, found, ports, depth + 1)
