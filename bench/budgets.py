"""The design's budgets, each with the figure that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Found = Mapping[str, Mapping[str, Any]]
TO_OUTBOX = "CPU a message, QoS 1, to the sealed outbox"
TO_RECEIPT = "CPU a message, QoS 1, to the receipt"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent at first, and then; `take` finds the figure."""

    what: str
    unit: str
    first: float
    then: float
    take: Callable[[Found], float]


def _ratio(name: str) -> Callable[[Found], float]:
    return lambda found: float(found[name]["ratio"])


def _value(name: str) -> Callable[[Found], float]:
    return lambda found: float(found[name]["value"])


def _split(*stages: str) -> Callable[[Found], float]:
    return lambda found: sum(float(found[TO_RECEIPT]["split"][stage]) for stage in stages)


BUDGETS = (
    Budget("CPU a message, MQTT to sealed outbox, QoS 1, against paho's loop", "x", 2.5, 2.0, _ratio(TO_OUTBOX)),
    Budget("of it masking a valid state message", "us", 25, 15, _split("mask")),
    Budget("of it journal and seal", "us", 20, 15, _split("journal", "seal")),
    Budget("memory of daemon and signer (PSS)", "MB", 75, 55, _value("memory (PSS), daemon and signer")),
    Budget(
        "memory under the shipped units", "MB", 75, 55, _value("memory (PSS), under the shipped units, at 100 messages/s")
    ),
    Budget("memory under the shipped units, after a burst", "MB", 75, 55, _value("memory (PSS), under the shipped units")),
    Budget("start to READY on a store of 256 MiB", "s", 2.0, 1.0, _value("start to READY, on a store of 256 MiB")),
    Budget("idle CPU", "%", 1.0, 0.3, _value("idle CPU, daemon and signer")),
    Budget("idle CPU under the shipped units", "%", 1.0, 0.3, _value("idle CPU, under the shipped units")),
    Budget(
        "bytes written a payload byte, 100 messages/s of 512 B, 500 ms",
        "B/B",
        1.5,
        1.0,
        _value("journal to archive, 500 ms, bytes written a payload byte"),
    ),
    Budget(
        "the same where a broker holds to 20 messages in flight",
        "B/B",
        1.5,
        1.0,
        _value("journal to archive, 220 ms, bytes written a payload byte"),
    ),
    Budget(
        "put, take and receipt with 1,000,000 queued against 1,000, CPU",
        "x",
        1.3,
        1.1,
        _ratio("put, take and receipt with 1,000,000 queued, CPU"),
    ),
    Budget(
        "the same, wall clock",
        "x",
        1.3,
        1.1,
        _ratio("put, take and receipt with 1,000,000 queued, wall clock"),
    ),
)
ELSEWHERE = (  # what no figure of this run shows
    ("acknowledged messages lost over any power cut or kill", "0", "`make soak`, `make power`"),
    ("request bytes sent to a server with a wrong pin", "0", "tests/submit/test_pins.py"),
)


def judged(found: Found) -> list[dict[str, Any]]:
    """Hold what was found against each budget whose figure is there."""
    rows = []
    for budget in BUDGETS:
        try:
            value = budget.take(found)
        except KeyError:
            continue
        verdict = "met, and the next" if value <= budget.then else "met" if value <= budget.first else "NOT MET"
        text = f"{value:.3g} {budget.unit} (budget {budget.first:g}, then {budget.then:g})"
        rows.append(
            {
                "what": budget.what,
                "unit": budget.unit,
                "first": budget.first,
                "then": budget.then,
                "value": value,
                "verdict": verdict,
                "text": text,
            }
        )
    return rows


def unmeasured(rows: list[dict[str, Any]]) -> list[str]:
    """Name the budgets that have no row: their figures were not asked for, or could not be taken here."""
    judged_here = {row["what"] for row in rows}
    return [budget.what for budget in BUDGETS if budget.what not in judged_here]
