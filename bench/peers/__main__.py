"""Peers on the same work in the same run: `python -m bench.peers [peer ...] [--reference]`, or `make bench-peers`.

Each takes 600 B states at QoS 1 from a broker of its own, at a pace that all of them hold, and delivers them. CPU is that of
all its processes, in turns with the floor. Then it is killed with SIGKILL in the middle of a run and started again, once
with its server there and once without: what did not arrive is what the kill cost. A peer that cannot be installed here is
named, with the reason.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import page
from bench.line import daemon_cost
from bench.load import SETTINGS, another_broker, floor_cost, publishing, rig, running
from bench.machine import cpu_seconds, named, say
from bench.peers.setups import CACHE, PEERS, Peer
from hil.oracle import events
from hil.parts.broker import Broker
from hil.parts.certificates import CertificateAuthority
from hil.rig import ROOT, Rig, wait_for

OUT = ROOT / "bench" / "out"
ROUNDS, MESSAGES, WARM_UP, PACE = 3, 1800, 300, 300.0
_KILL_MESSAGES = 2400
_PATIENCE_SECONDS = 60.0
_QUIET_SECONDS = 5.0  # after which nothing more is expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", help=f"default: all of {', '.join(PEERS)}")
    parser.add_argument("--reference", action="store_true", help="write what docs/performance.md is held to")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if options.peers and options.reference:
        parser.error("--reference is for a run of all peers: the page shows each of them")
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="actod-peers-", dir=CACHE))
    rows = [_actod(folder / "actod")]
    for name in options.peers or PEERS:
        (folder / name).mkdir()
        rows.append(_tried(name, folder / name))
        print(f"{rows[-1]['name']}: {rows[-1]['us'] or 0:.0f} us, {rows[-1]['kept']}", flush=True)
    result = {"machine": named(folder), "taken": time.strftime("%Y-%m-%d", time.gmtime()), "pace": PACE, "peers": rows}
    shutil.rmtree(folder, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "peers.json").write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(f"{row['name']:<60} {row['us'] or 0:7.0f} us  {row['ratio'] or 0:5.2f} x  {row['kept']}")
    if options.reference:
        page.PEERS.write_text(json.dumps(result, indent=1) + "\n")
        page.PAGE.write_text(page.rendered(page.PAGE.read_text()))


def _row(
    name: str, values: list[float], floors: list[float], *, kept: str, masks: str, signs: str, cannot: str
) -> dict[str, Any]:
    ratio = statistics.median(value / bare for value, bare in zip(values, floors, strict=True)) if values else None
    return {
        "name": name,
        "us": statistics.median(values) if values else None,
        "values": values,
        "floor": statistics.median(floors) if floors else None,
        "ratio": ratio,
        "kept": kept,
        "masks": masks,
        "signs": signs,
        "cannot": cannot,
    }


def _tried(name: str, folder: Path) -> dict[str, Any]:
    """Measure one; what keeps it from running is its row."""
    say(f"-- {name}")
    try:
        return _measured(name, folder)
    except (subprocess.CalledProcessError, OSError, RuntimeError, LookupError) as exc:  # another version's files, too
        say(f"{name} could not run: {exc}")
        return _row(name, [], [], kept=f"could not run here: {_reason(exc)}", masks="-", signs="-", cannot="-")


def _reason(exc: Exception) -> str:
    """Say in one line what keeps a peer from running."""
    if isinstance(exc, subprocess.CalledProcessError):
        return f"`{' '.join(Path(word).name for word in exc.cmd[:4])} ...` ended with {exc.returncode}"
    if isinstance(exc, FileNotFoundError):
        return f"{exc.filename or exc} is missing"
    return str(exc) or type(exc).__name__


def _measured(name: str, folder: Path) -> dict[str, Any]:
    authority = CertificateAuthority.make(folder / "ca")
    broker = Broker(folder / "broker", settings="max_inflight_messages 20")
    broker.start()
    try:
        with PEERS[name](folder, broker.port, authority) as peer:
            with another_broker(folder / "beside") as beside:
                floors, values = _costs(peer, broker, beside)
            kept = f"{_kill(peer, broker)}; with its server away {_kill(peer, broker, away=True)}"
            return _row(peer.name, values, floors, kept=kept, masks=peer.masks, signs=peer.signs, cannot=peer.cannot)
    finally:
        broker.stop()


def _costs(peer: Peer, broker: Broker, beside: Broker) -> tuple[list[float], list[float]]:
    floors, values = [], []
    try:
        peer.start()
        with publishing(broker.port, qos=1) as pace:
            _until_it_takes(peer, pace)
            for _ in range(ROUNDS):
                floors.append(floor_cost(beside.port, messages=MESSAGES, per_second=PACE, qos=1))
                before = sum(cpu_seconds(process.pid) for process in peer.processes)
                pace.publish(MESSAGES, per_second=PACE)
                wanted = pace.sent
                wait_for(lambda: max(peer.sink.numbers) >= wanted - 1, seconds=_PATIENCE_SECONDS, what="the last state")  # noqa: B023
                values.append((sum(cpu_seconds(process.pid) for process in peer.processes) - before) / MESSAGES * 1e6)
    finally:
        peer.kill()
    return floors, values


def _until_it_takes(peer: Peer, pace: Any) -> None:
    """Publish until the first states arrive, then warm up."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not peer.sink.numbers:
        if time.monotonic() > deadline:
            raise TimeoutError("nothing arrives")
        pace.publish(20, per_second=20)
    pace.publish(WARM_UP, per_second=PACE)
    wait_for(lambda: max(peer.sink.numbers) >= pace.sent - 1, seconds=_PATIENCE_SECONDS, what="the warm-up")


def _kill(peer: Peer, broker: Broker, *, away: bool = False) -> str:
    """Kill in the middle, start again, and count what never arrived. Its broker keeps what it had not acknowledged.

    With the server away nothing is delivered before the kill: what is kept then was on the peer's disk, or at the broker.
    """
    try:
        peer.start()
        with publishing(broker.port, qos=1) as pace:
            pace.sent = max(peer.sink.numbers) + 1
            _until_connected(peer, pace)
            first = pace.sent
            if away:
                peer.sink.away()
            pace.publish(_KILL_MESSAGES // 2, per_second=PACE)
            peer.kill()
            if away:
                peer.sink.back()
            pace.publish(_KILL_MESSAGES // 4, per_second=PACE)
            peer.start()
            pace.publish(_KILL_MESSAGES // 4, per_second=PACE)
            wanted = set(range(first, pace.sent))
            missing = _settled(lambda: len(wanted - peer.sink.numbers))
    finally:
        peer.kill()
    return _kept(missing, len(wanted))


def _until_connected(peer: Peer, pace: Any) -> None:
    before = pace.sent
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not any(number >= before for number in peer.sink.numbers):
        if time.monotonic() > deadline:
            raise TimeoutError("nothing arrives after a start")
        pace.publish(20, per_second=20)


def _settled(missing: Any) -> int:
    """Wait until nothing is missing, or nothing changes any more."""
    last, since = missing(), time.monotonic()
    while last and time.monotonic() - since < _QUIET_SECONDS * 4:
        time.sleep(0.2)
        if (now := missing()) != last:
            last, since = now, time.monotonic()
    return int(last)


def _kept(missing: int, of: int) -> str:
    return f"all of {of:,}" if not missing else f"{of - missing:,} of {of:,}: **{missing:,} lost**"


def _actod(folder: Path) -> dict[str, Any]:
    """Measure actod with the same work."""
    say("-- actod")
    floors, values = [], []
    settings = SETTINGS.replace("max_age_seconds = 1.0", "max_age_seconds = 1.0\nmax_events = 500")  # as the straight line
    with rig(folder, qos=1, settings=settings) as made, another_broker(folder / "beside") as beside:
        for _ in range(ROUNDS):
            floors.append(floor_cost(beside.port, messages=MESSAGES, per_second=PACE, qos=1))
            values.append(sum(daemon_cost(made, messages=MESSAGES, per_second=PACE, qos=1, delivered=True)))
        kept = f"{_kill_actod(made)}; with its server away {_kill_actod(made, away=True)}"
    return _row(
        "actod",
        values,
        floors,
        kept=kept,
        masks="yes",
        signs="Ed25519, on a token where there is one",
        cannot="take data by anything but MQTT",
    )


def _kill_actod(made: Rig, *, away: bool = False) -> str:
    with running(made), publishing(made.broker.port, qos=1) as pace:
        pace.sent = first = 20_000_000 if away else 10_000_000
        if away:
            made.collector.close()
        pace.publish(_KILL_MESSAGES // 2, per_second=PACE)
        made.actod.kill()
        if away:
            made.collector.start()
        pace.publish(_KILL_MESSAGES // 4, per_second=PACE)
        with running(made):
            pace.publish(_KILL_MESSAGES // 4, per_second=PACE)
            wanted = set(range(first, pace.sent))
            missing = _settled(
                lambda: len(wanted - {event["data"].get("headerId") for event, _ in events(made.envelopes())})
            )
    return _kept(missing, len(wanted))


if __name__ == "__main__":
    main()
