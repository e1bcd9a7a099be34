"""The journal: durable messages a second, and bytes written for each payload byte, against raw append and fdatasync.

Both write the same groups, in turns. Ten minutes of 100 messages a second are written as fast as the disk takes them:
time is the simulation's, so that a group is what a commit interval brings. 220 ms is what a broker that holds to 20 in
flight makes of the default 500 ms. Bytes are those of /proc/self/io, what the kernel was asked to bring to the device, and
those that the block device took meanwhile from all programs, the file system's own journal included. The pace is that of
commits alone.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

from actod.model import Receipt
from bench.content import EVENTS, PAYLOAD_BYTES, RATE, group, noise, opened, sealed
from bench.figure import Figure
from bench.machine import device_written_bytes, say, written_bytes

INTERVALS_MS = (100, 220, 500, 1000)
_DEFAULT_MS = 500
FLOOR_NAME = "append and fdatasync"
_SECONDS = {100: 180, 220: 360, 500: 600, 1000: 600}


def durable(folder: Path, *, rounds: int = 3) -> list[Figure]:
    """Measure each interval, the journal alone and the way to the archive; at the default what no compression helps, too."""
    figures = []
    for interval_ms in INTERVALS_MS:
        say(f"journal at {interval_ms} ms")
        for whole in (False, True):
            runs = [_run(folder, interval_ms, EVENTS, whole=whole) for _ in range(rounds)]
            figures += _figures(f"{interval_ms} ms", runs, whole=whole)
    hex_noise = [noise(number) for number in range(len(EVENTS))]
    runs = [_run(folder, _DEFAULT_MS, hex_noise, whole=True) for _ in range(rounds)]
    return figures + _figures(f"{_DEFAULT_MS} ms, hex noise", runs, whole=True)


def _figures(what: str, runs: list[dict[str, float]], *, whole: bool) -> list[Figure]:
    where = "journal to archive" if whole else "journal alone"
    name = f"{where}, {what}, "

    def of(value: str) -> list[float]:
        return [run[value] for run in runs]

    shown = [
        ("bytes written a payload byte", "amplification", "B/B", "bytes"),
        ("the block device, all programs", "device_amplification", "B/B", "bytes"),
    ]
    if not whole:
        shown.append(("durable messages", "pace", "msg/s", "wall"))
    return [
        Figure(
            name=name + words,
            unit=unit,
            values=of(value),
            floors=of(f"raw_{value}"),
            floor_name=FLOOR_NAME,
            kind=kind,
        )
        for words, value, unit, kind in shown
    ]


def _run(folder: Path, interval_ms: int, events: list[bytes], *, whole: bool) -> dict[str, float]:
    count = RATE * interval_ms // 1000
    messages = RATE * _SECONDS[interval_ms] // count * count
    payload = messages * PAYLOAD_BYTES
    os.sync()
    raw_device = device_written_bytes(folder)
    raw, raw_seconds = _raw(folder / "raw", events, count=count, messages=messages)
    os.sync()
    device = device_written_bytes(folder)
    raw_device = device - raw_device
    place = folder / f"journal-{interval_ms}-{whole}-{time.time_ns()}"
    bytes_, seconds = _journal(place, interval_ms, events, messages=messages, whole=whole)
    os.sync()
    return {
        "amplification": bytes_ / payload,
        "raw_amplification": raw / payload,
        "device_amplification": (device_written_bytes(folder) - device) / payload,
        "raw_device_amplification": raw_device / payload,
        "pace": messages / seconds,
        "raw_pace": messages / raw_seconds,
    }


def _raw(file: Path, events: list[bytes], *, count: int, messages: int) -> tuple[int, float]:
    """Append groups to a file, each brought to disk: bytes, and seconds."""
    os.sync()
    before, began = written_bytes(), time.perf_counter()
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for first in range(0, messages, count):
        os.write(descriptor, b"\n".join(events[number % len(events)] for number in range(first, first + count)))
        os.fdatasync(descriptor)
    os.close(descriptor)
    seconds = time.perf_counter() - began
    bytes_ = written_bytes() - before
    file.unlink()
    return bytes_, seconds


def _journal(folder: Path, interval_ms: int, events: list[bytes], *, messages: int, whole: bool) -> tuple[int, float]:
    count = RATE * interval_ms // 1000
    with opened(folder) as (store, clock):
        os.sync()
        before, seconds = written_bytes(), 0.0
        for number in range(0, messages, count):
            made = group(number, count, clock, lambda n: events[n % len(events)])
            began = time.perf_counter()
            store.run(partial(store.commit, made))
            seconds += time.perf_counter() - began
            clock.ahead_ns += interval_ms * 1_000_000
            while whole and (bundle := store.run(store.next_bundle)):
                envelope = sealed(bundle)
                store.run(partial(store.put, bundle, envelope))
                store.run(store.next_envelope)
                store.run(partial(store.receipt, envelope, Receipt(envelope.proof_id, 1, None)))
    return written_bytes() - before, seconds
