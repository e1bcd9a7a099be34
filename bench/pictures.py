"""The pictures of a result: throughput and depth against time, cost against queue length, CPU split by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.chart import Axis, Curve, bars, svg

NAMES = ("performance-hold.svg", "performance-queue.svg", "performance-stages.svg")
_LENGTHS = {1_000.0: "1,000", 10_000.0: "10,000", 100_000.0: "100,000", 1_000_000.0: "1,000,000"}
_DECADES = {10.0**power: f"{10**power:,}" for power in range(7)}


def draw(result: dict[str, Any], folder: Path) -> None:
    """Write each picture whose figures are there."""
    for name, picture in zip(NAMES, (_hold(result), _queue(result), _stages(result)), strict=True):
        if picture:
            (folder / name).write_text(picture)


def _hold(result: dict[str, Any]) -> str:
    samples = result["series"].get("hold")
    if not samples:
        return ""
    last = samples[-1][0]
    titles = ("messages a second, durable", "messages at the broker", "messages in the journal", "bundles in the outbox")
    curves = [
        Curve([(sample[0], max(1.0, float(sample[index]))) for sample in samples], title)
        for index, title in enumerate(titles, 1)
    ]
    seconds = {float(second): f"{second} s" for second in range(0, int(last) + 1, 10)}
    up = Axis("number", 1, 100_000, {value: word for value, word in _DECADES.items() if value <= 100_000})
    return svg("Throughput and queue depth", Axis("time", 0, last, seconds, linear=True), up, curves)


def _queue(result: dict[str, Any]) -> str:
    found, curves = result["figures"], []
    for kind in ("CPU", "wall clock"):
        points = []
        for length in (1_000, 100_000, 1_000_000):
            figure = found.get(f"put, take and receipt with {length:,} queued, {kind}")
            if figure:
                points.append((float(length), figure["value"]))
        if points:
            curves.append(Curve(points, kind))
    if not curves:
        return ""
    ticks = {value: word for value, word in _DECADES.items() if 100 <= value <= 100_000}
    up = Axis("us for put, take and receipt of a bundle", 100, 100_000, ticks)
    return svg("Cost against the length of the queue", Axis("bundles queued", 1e3, 1e6, _LENGTHS), up, curves)


def _stages(result: dict[str, Any]) -> str:
    rows = {}
    for qos in (1, 0):
        figure = result["figures"].get(f"CPU a message, QoS {qos}, to the receipt")
        if figure:
            rows[f"paho's own loop, QoS {qos}"] = {"paho": figure["floor"]}
            rows[f"actod, QoS {qos}"] = figure["split"]
    return bars("CPU of a 600 B state by stage, us a message", rows, unit="us") if rows else ""
