"""Maintenance and an incident on a real machine: steps of `hil/installed.py`, after the daemon runs."""

from __future__ import annotations

import json

from actod.service.messages import MESSAGES
from hil.acceptance import Site, say

ROUNDS = ("weekly", "monthly", "quarterly")


def maintain(site: Site) -> None:
    """Make each round of maintenance in its unit: nothing fails there for the sandbox's sake, and the journal has it."""
    machine = site.machine
    results = {}
    for kind in ROUNDS:
        timer, unit = f"actod-maintenance-{kind}.timer", f"actod-maintenance@{kind}.service"
        assert (machine.shows(timer, "UnitFileState"), machine.shows(timer, "ActiveState")) == ("enabled", "active")
        machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)
        done = machine.run("systemctl", "start", unit, check=False)
        lines = machine.run("journalctl", "-u", unit, "-o", "json", "--no-pager").stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        assert done.returncode == 0, "\n".join(entry["MESSAGE"] for entry in entries)
        said = {entry.get("MESSAGE_ID") for entry in entries if entry.get("ACTOD_KIND") == kind}
        assert said & {message.id for sentence, message in MESSAGES.items() if sentence.startswith("Maintenance ")}
    status = machine.run("runuser", "-u", "actod", "--", "actod", "status", "--json").stdout
    for kind, run in json.loads(status)["maintenance"].items():
        assert run["result"] in {"ok", "warn"}, run
        results[kind] = ",".join(run["warned"]) or "ok"
    say("maintenance: each round runs under its unit, and stands in journal and status", **results)


def lock(site: Site) -> None:
    """Lock and unlock submission as the daemon's user; what came meanwhile arrives."""
    machine, actod = site.machine, ("runuser", "-u", "actod", "--", "actod")
    machine.run(*actod, "incident", "lock", "--reason", "exercise")
    assert "blocked:incident" in site.wait(
        lambda: "incident" in (text := machine.shows("actod", "StatusText")) and text, seconds=30, what="the status"
    )
    number = site.publish()
    site.wait(lambda: site.queue()["outbox_bundles"] > 0, seconds=60, what="a bundle that waits")
    assert number not in site.numbers()
    machine.run(*actod, "incident", "unlock")
    site.wait(lambda: number in site.numbers(), seconds=60, what="what came while it was locked")
    say("incident: locked and unlocked, nothing lost")
