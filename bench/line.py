"""What a message costs from the broker to the sealed outbox, and to the receipt, against paho's own loop.

The floor is a process with paho's `loop_forever()` and `manual_ack` that acknowledges in `on_message` and does nothing
else. Floor and daemon take the same 600 B VDA 5050 states from mosquittos with the same settings, in turns (A B C A B C),
each after as many to warm up. CPU is that of whole processes, threads and signer included. To the outbox: the collector is
away, as on a robot out of reach.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
from pathlib import Path

from bench.figure import Figure
from bench.load import WARM_UP_PACE, another_broker, floor_cost, look, publishing, rig, running
from bench.machine import cpu_seconds, say
from bench.stages import STAGES
from hil.rig import Rig, wait_for

FLOOR_NAME = "paho's loop"
_STARTED_SECONDS = 120.0


def line(folder: Path, *, rounds: int = 5, messages: int = 4000, per_second: float = 1000) -> list[Figure]:
    """Measure QoS 1 and QoS 0."""
    return [figure for qos in (1, 0) for figure in measured(folder / f"qos{qos}", qos, rounds, messages, per_second)]


def measured(folder: Path, qos: int, rounds: int, messages: int, per_second: float) -> list[Figure]:
    costs: dict[str, list[float]] = {name: [] for name in ("floor", "outbox", "receipt", "signer")}
    work = {"messages": messages, "per_second": per_second, "qos": qos}
    with rig(folder, qos=qos) as made, another_broker(folder / "beside") as beside:
        for turn in range(rounds):
            say(f"line at QoS {qos}, round {turn + 1} of {rounds}")
            costs["floor"].append(floor_cost(beside.port, **work))  # type: ignore[arg-type]
            made.collector.close()
            costs["outbox"].append(sum(daemon_cost(made, **work)))  # type: ignore[arg-type]
            made.collector.start()
            process, signer = daemon_cost(made, **work, delivered=True)  # type: ignore[arg-type]
            costs["receipt"].append(process + signer)
            costs["signer"].append(signer)
        say(f"line at QoS {qos}, split by stage")
        split = staged(made, qos=qos, messages=messages, per_second=per_second)
    whole = costs["receipt"]
    total = statistics.median(whole)
    shares = {stage: us * total / sum(split.values()) for stage, us in split.items()}
    floor = {"floors": costs["floor"], "floor_name": FLOOR_NAME}
    name = f"CPU a message, QoS {qos}, "
    return [
        Figure(name=name + "to the sealed outbox", unit="us", values=costs["outbox"], **floor),  # type: ignore[arg-type]
        Figure(name=name + "to the receipt", unit="us", values=whole, split=shares, **floor),  # type: ignore[arg-type]
        Figure(name=name + "of it the signer", unit="us", values=costs["signer"], kind="count"),
    ]


def daemon_cost(made: Rig, *, messages: int, per_second: float, qos: int, delivered: bool = False) -> tuple[float, float]:
    """Return the CPU time of daemon and signer, in us a message."""
    with running(made), publishing(made.broker.port, qos=qos) as pace:
        if delivered:
            wait_for(lambda: not look(made).outbox_bundles, seconds=_STARTED_SECONDS, what="an empty queue")
        signer = wait_for(made.actod.signer_pid, what="the signer")
        _through(made, pace.publish, messages, per_second=WARM_UP_PACE * per_second, delivered=delivered)
        before = cpu_seconds(made.actod.pid()), cpu_seconds(signer)
        _through(made, pace.publish, messages, per_second=per_second, delivered=delivered)
        after = cpu_seconds(made.actod.pid()), cpu_seconds(signer)
    process, of_signer = ((end - begin) / messages * 1e6 for begin, end in zip(before, after, strict=True))
    return process, of_signer


def _through(made: Rig, publish, messages: int, *, per_second: float, delivered: bool) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    wanted = look(made).acknowledged + messages
    publish(messages, per_second=per_second)

    def there() -> bool:
        status = look(made)
        sealed = status.acknowledged >= wanted and not status.journal_messages
        return sealed and not (delivered and status.outbox_bundles)

    wait_for(there, seconds=_STARTED_SECONDS, what="the end of the line")


def staged(made: Rig, *, qos: int, messages: int, per_second: float) -> dict[str, float]:
    """Return us a message by stage, of a daemon that keeps books."""
    file = made.folder / "stages.json"
    with running(made, sys.executable, "-m", "bench.stages", str(file)), publishing(made.broker.port, qos=qos) as pace:
        signer = wait_for(made.actod.signer_pid, what="the signer")
        _through(made, pace.publish, messages, per_second=WARM_UP_PACE * per_second, delivered=True)
        before, signed = _books(made, file), cpu_seconds(signer)
        _through(made, pace.publish, messages, per_second=per_second, delivered=True)
        after, signed = _books(made, file), cpu_seconds(signer) - signed
    books = {stage: (after.get(stage, 0) - before.get(stage, 0)) / 1e3 / messages for stage in STAGES}
    books["sign"] += signed / messages * 1e6
    return books


def _books(made: Rig, file: Path) -> dict[str, int]:
    file.unlink(missing_ok=True)
    os.kill(made.actod.pid(), signal.SIGUSR2)
    wait_for(file.exists, what="the books")
    books: dict[str, int] = json.loads(file.read_text())
    return books
