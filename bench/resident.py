"""What actod takes when nothing happens: memory, idle CPU, wake-ups, and how long it takes to be READY.

It runs in a virtual environment of its own without extras: what a robot has, and nothing that the tests brought.
Memory is the proportional set size of daemon and signer after a few thousand messages, not that of a process that has
done nothing yet. It leaves to the programs of the measurement, Python as well, their part of what is shared; so what the two
would take without them is shown beside it.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from bench.content import fill_state
from bench.figure import Figure
from bench.load import SETTINGS, look, publishing, rig, sealed, stopped
from bench.machine import alone_kib, cpu_seconds, pss_kib, say, wake_ups
from hil.rig import ROOT, Rig, wait_for

BARE = ROOT / "bench" / ".cache" / "bare"
STORE_BYTES = 256 << 20
MESSAGES = 3000
_SETTLE_SECONDS = 5.0
_STARTS = 3
_IDLE_ROUNDS = 3  # of half a minute: what comes once in ten seconds is in each
_KIB = 1024 / 1e6  # MB


def environment() -> Path:
    """Make the virtual environment without extras, or bring it up to date; return its Python."""
    python = BARE / "bin" / "python"
    if not python.exists():
        say("making a virtual environment without extras")
        subprocess.run([sys.executable, "-m", "venv", str(BARE)], check=True)
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, str(ROOT)], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(ROOT)], check=True)
    return python


def resident(folder: Path, *, idle_seconds: float = 30.0) -> list[Figure]:
    """Measure one daemon with its signer, then starts on a store of 256 MiB."""
    python = environment()
    with rig(folder / "idle", qos=1, settings=SETTINGS.replace("3600", "300")) as made:
        figures = _idle(made, python, idle_seconds)
    with rig(folder / "start", qos=1, settings=f"{SETTINGS}\n[store]\nmax_bytes = {4 * STORE_BYTES}\n") as made:
        say("filling a store of 256 MiB")
        fill_state(made.state, size=STORE_BYTES)
        figures.append(_starts(made, python))
    size = sum(file.stat().st_size for file in (BARE / "lib").rglob("*") if file.is_file() and _is_ours(file))
    figures.append(Figure(name="installed size, with all that it needs", unit="MB", values=[size / 1e6], kind="count"))
    return figures


def _is_ours(file: Path) -> bool:
    return "pip" not in file.relative_to(BARE).parts[3].split("-")[0] and "setuptools" not in str(file)


def _idle(made: Rig, python: Path, seconds: float) -> list[Figure]:
    with started(made, python), publishing(made.broker.port, qos=1) as pace:
        signer = wait_for(made.actod.signer_pid, what="the signer")
        wait_for(lambda: sealed(made), what="the record of the start")
        pids = {"daemon": made.actod.pid(), "signer": signer}
        pace.publish(MESSAGES, per_second=1000)
        wait_for(lambda: look(made).acknowledged >= MESSAGES, what="the messages")
        wait_for(lambda: not look(made).outbox_bundles and not look(made).journal_messages, what="the receipts")
        memory = {name: pss_kib(pid) * _KIB for name, pid in pids.items()}
        alone = alone_kib(pids.values()) * _KIB
        time.sleep(_SETTLE_SECONDS)
        idleness = _idleness(pids, seconds)
    return [
        Figure(name="memory (PSS), daemon and signer", unit="MB", values=[sum(memory.values())], kind="count", split=memory),
        Figure(name="memory of daemon and signer, if nothing else ran", unit="MB", values=[alone], kind="count"),
        *idleness,
    ]


def _idleness(pids: Mapping[str, int], seconds: float) -> list[Figure]:
    """Look on for a few rounds."""
    looks = [_look(pids)]
    for turn in range(_IDLE_ROUNDS):
        say(f"idle for {seconds:.0f} s, {turn + 1} of {_IDLE_ROUNDS}")
        time.sleep(seconds)  # idleness is what is measured
        looks.append(_look(pids))
    figures = []
    for index, name, unit, scale in ((0, "idle CPU", "%", 100.0), (1, "wake-ups", "1/s", 1.0)):
        rounds = {
            pid: [(after[pid][index] - before[pid][index]) / seconds * scale for before, after in pairwise(looks)]
            for pid in pids
        }
        figures.append(
            Figure(
                name=f"{name}, daemon and signer",
                unit=unit,
                values=[sum(each) for each in zip(*rounds.values(), strict=True)],
                kind="count",
                split={pid: statistics.median(each) for pid, each in rounds.items()},
            )
        )
    return figures


def _look(pids: Mapping[str, int]) -> dict[str, tuple[float, int]]:
    """Return CPU seconds and wake-ups of each process until now."""
    return {name: (cpu_seconds(pid), wake_ups(pid)) for name, pid in pids.items()}


def _starts(made: Rig, python: Path) -> Figure:
    say("starts on a store of 256 MiB")
    address = made.folder / "notify"
    seconds = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(60)
        for _ in range(_STARTS):
            began = time.perf_counter()
            with started(made, python, NOTIFY_SOCKET=str(address)):
                while b"READY=1" not in manager.recv(4096):
                    pass
                seconds.append(time.perf_counter() - began)
            manager.settimeout(0)
            try:
                while manager.recv(4096):
                    pass
            except BlockingIOError:
                manager.settimeout(60)
    return Figure(name="start to READY, on a store of 256 MiB", unit="s", values=seconds, kind="wall")


@contextmanager
def started(made: Rig, python: Path, **variables: str) -> Iterator[None]:
    """Run the daemon of the environment without extras."""
    variables = {name: value for name, value in made.actod.environment.items() if name != "PYTHONPATH"} | variables
    with made.actod.log_file.open("ab") as log:
        made.actod.process = subprocess.Popen(
            [str(python), "-m", "actod", "run", "--config", str(made.config_file)],
            stdout=log,
            stderr=log,
            env=variables,
            cwd=os.sep,
        )
    try:
        yield
    finally:
        stopped(made)
