"""The account at the end: what the witness saw acknowledged, held against what the collector has and what the disk shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from hil import lives
from hil.acceptance import SOFTHSM
from hil.oracle import events, stock_verified
from hil.parts.scan import Hit, plant, proves, scan
from hil.rig import ROOT
from hil.robot.publisher import number_of
from hil.traffic import marked, overheard
from hil.verdict import Account, ended, problems
from hil.world import COLLECTOR, World


def draw_up(world: World, *, twice_published: set[str], acknowledged: set[str] | None = None) -> Account:
    """Hold everything against everything, but for the canaries; under traffic, what was `acknowledged` until a moment."""
    world.tally.refresh()
    acknowledged = world.tally.acknowledged if acknowledged is None else acknowledged
    record = world.site.record()
    envelopes = [orjson.loads(line) for line in record.read_bytes().splitlines()]
    account = Account(acknowledged=len(acknowledged), bundles=len(envelopes))
    copies, _ = _copies(envelopes)
    account.arrived, account.repeated = len(copies), sum(count - 1 for count in copies.values())
    account.lost = sorted(acknowledged - set(copies))
    account.gone = {why: len(names - set(copies)) for why, names in world.gone.items()}
    if world.inside is not None:
        account.inside = world.inside.figures()
        account.lost += sorted(world.inside.lost())
        twice_published = twice_published | world.inside.names()  # after a power cut a broker has what it had saved
    for places in lives.lives(envelopes, world.site.overwritten):
        found, marked = _copies([envelopes[place] for place in places])
        account.unexplained += sum(count - 1 > marked[name] for name, count in found.items() if name not in twice_published)
    ledger: Counter[str] = Counter()
    for envelope in envelopes:
        for line in envelope["payload"]["meta"]["actod"]["loss"]:
            ledger[line["reason"]] += line["count"]
    account.ledger = dict(ledger)
    parts = [envelope["payload"]["meta"]["actod"] for envelope in envelopes]
    account.devices = len({part["device"] for part in parts})
    account.epochs = sorted({part["epoch"] for part in parts})
    _verify(world, account, record)
    return account


def _copies(envelopes: Iterable[dict[str, Any]]) -> tuple[Counter[str], Counter[str]]:
    """Count how often each message is there, and how often it is marked as a repeated one."""
    copies: Counter[str] = Counter()
    marked: Counter[str] = Counter()
    for event, mark in events(envelopes):
        if (name := number_of(event["topic"], event["data"])) is not None:
            copies[name] += 1
            marked[name] += mark
    return copies, marked


def _verify(world: World, account: Account, record: Path) -> None:
    """Have every bundle verified by the server's function, and by `actod verify` against the enrolled key in the chip.

    Where an image was put back, each life has to be whole, and all bundles together have to be called a fork.
    """
    site = world.site
    account.verified_by_server = stock_verified(record, None)
    hardware = ["--require-hardware"] if site.token != SOFTHSM else []
    found = lives.write(record, site.overwritten)
    account.lives = len(found)
    for life in found:
        said = site.verify(life, *hardware)
        (world.folder / f"verified-{life.stem}.json").write_text(said.stdout or said.stderr, encoding="utf-8")
        account.chains += "; ".join(problems(said))[:1500]
    if site.overwritten and "a fork" not in site.verify(record).stdout:
        account.chains += "an image was put back, and nothing in what the collector holds shows it"
    if not account.chains:
        account.verified_by_hardware = account.bundles
    robot = world.robot
    audit = robot.run("runuser", "-u", "actod", "--", "actod", "audit", "verify", "--state", "/var/lib/actod", check=False)
    account.audit = "" if audit.returncode == 0 else (audit.stdout or audit.stderr or ended(audit))[:500]


def search(world: World, account: Account, *, canaries: list[str]) -> None:
    """Scan what the robot wrote, byte by byte: its disk and swap as the card has them, its journal, its traffic.

    The robot is switched off for it. A control value was planted before, on the disk and in clear on the way to the
    collector: the scan must find it in both places.
    """
    robot, folder = world.robot, world.folder / "search"
    folder.mkdir()
    control = plant(folder)
    robot.copy(folder / "control.bin", "/root/control.bin")
    journal = folder / "journal.export"
    journal.write_text(robot.run("journalctl", "-o", "export", "--no-pager").stdout, encoding="utf-8")
    places = [journal, world.site.collector.received_file, world.site.collector.envelopes_file]
    if robot.vm is None:
        places += [folder / "control.bin"]
        _leave_for_the_reader([*canaries, *world.canaries, world.site.pin])
    else:
        _send_in_clear(world, folder / "control.bin")
        world.shut_down()
        world.sift()
        port, whole = world.site.collector.port, world.heard_all
        account.traffic = overheard(world.capture_file, folder, port=port, host=COLLECTOR, whole=whole)
        places += [*robot.vm.raw_disks(folder), account.traffic.sent_file, account.traffic.other_file]
    secrets = [*world.api_keys, world.site.pin]
    hits = scan(places, [*canaries, *world.canaries, *secrets, control])
    for copy in folder.glob("*.raw"):
        copy.unlink()  # gigabytes
    account.canaries = len(canaries) + len(world.canaries) + len(secrets)
    if account.inside:
        account.inside["in_the_brokers_store"] = sum(_is_brokers(hit) for hit in hits)
    mine = (hit for hit in hits if hit.canary != control and not _belongs(hit, world) and not _is_brokers(hit))
    account.canary_hits = [_said(hit) for hit in mine]
    proving = [folder / "control.bin"] if robot.vm is None else [folder / "disk.raw", folder / "sent-to-collector.bin"]
    account.control_found = all(proves((hit for hit in hits if hit.file == file), control) for file in proving)


def _leave_for_the_reader(values: list[str]) -> None:
    """Write what must not be on a board's card, which is scanned in a reader: see hil/README.md."""
    file = ROOT / "hil" / "out" / "canaries.txt"
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_text("".join(f"{value}\n" for value in values), encoding="utf-8")


def _send_in_clear(world: World, control: Path) -> None:
    """Have the robot send the control to the collector as no TLS, over the link that everything takes."""
    send = (
        "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 20).sendall(sys.stdin.buffer.read())"
    )
    place = (world.robot.options["host"], str(world.site.collector.port))
    world.robot.run("python3", "-c", send, *place, text=marked(control.read_bytes()))


def _belongs(hit: Hit, world: World) -> bool:
    """Whether it may be there: an API key lies in its credential on the disk. The collector notes it nowhere."""
    return hit.canary in world.api_keys and hit.file.name == "disk.raw"


def _is_brokers(hit: Hit) -> bool:
    """Whether it lies on the disk of a broker on the robot, which writes what it is given."""
    return hit.file.name == "store.raw"


def _said(hit: Hit) -> str:
    return f"{hit.file.name}@{hit.offset} {hit.form} {hit.inside} #{hit.index}"
