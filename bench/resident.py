"""What actod takes when nothing happens: memory, idle CPU, wake-ups, and how long it takes to be READY.

It runs in a virtual environment of its own without extras: what a robot has, and nothing that the tests brought.
Memory is the proportional set size of daemon and signer after a few thousand messages, not that of a process that has
done nothing yet. It leaves to the programs of the measurement, Python as well, their part of what is shared; so what the two
would take without them is shown beside it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.content import fill_state
from bench.figure import Figure
from bench.load import SETTINGS, look, publishing, rig, sealed, stopped
from bench.machine import alone_kib, cpu_seconds, pss_kib, say, wake_ups
from hil.rig import ROOT, Rig, wait_for

BARE = ROOT / "bench" / ".cache" / "bare"
STORE_BYTES = 256 << 20
_MESSAGES = 3000
_SETTLE_SECONDS = 5.0
_STARTS = 3
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
        pace.publish(_MESSAGES, per_second=1000)
        wait_for(lambda: look(made).acknowledged >= _MESSAGES, what="the messages")
        wait_for(lambda: not look(made).outbox_bundles and not look(made).journal_messages, what="the receipts")
        memory = {name: pss_kib(pid) * _KIB for name, pid in pids.items()}
        alone = alone_kib(pids.values()) * _KIB
        time.sleep(_SETTLE_SECONDS)
        say(f"idle for {seconds:.0f} s")
        before = {name: (cpu_seconds(pid), wake_ups(pid)) for name, pid in pids.items()}
        time.sleep(seconds)  # idleness is what is measured
        after = {name: (cpu_seconds(pid), wake_ups(pid)) for name, pid in pids.items()}
    cpu = {name: (after[name][0] - before[name][0]) / seconds * 100 for name in pids}
    wakes = {name: (after[name][1] - before[name][1]) / seconds for name in pids}
    return [
        Figure(name="memory (PSS), daemon and signer", unit="MB", values=[sum(memory.values())], kind="count", split=memory),
        Figure(name="memory of daemon and signer, if nothing else ran", unit="MB", values=[alone], kind="count"),
        Figure(name="idle CPU, daemon and signer", unit="%", values=[sum(cpu.values())], kind="count", split=cpu),
        Figure(name="wake-ups, daemon and signer", unit="1/s", values=[sum(wakes.values())], kind="count", split=wakes),
    ]


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
