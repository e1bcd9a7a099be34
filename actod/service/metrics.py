"""Every metric of actod: its name, what it means, and how it outlives a restart. The place to look for a metric.

Nothing is counted here. The parts count for themselves, each where the thing happens; `actod/picture.py` reads them all at
one moment into a `Picture`, and `expose` writes that as Prometheus text. A new metric is a line in `METRICS`, a line in
`actod/picture.py`, and a row in docs/monitoring.md, which a test holds together.

Own code and not prometheus_client: that brings 3.3 MiB and 15 ms to each start of a daemon with a budget for both, and its
counters end with the process.

Labels are bounded: fixed or configured words alone, never an id, a topic or a value, and at most 64 of them; what comes
beyond, or looks like none, is `_other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from actod.latency import BOUNDS_SECONDS, Latency

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "_other"
_MOST_LABELS = 64
_WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,64}\Z")
_SUM = "sum"  # beside the bounds of a histogram, in its one label


class Kept(StrEnum):
    """What a restart leaves of it."""

    EXACT = "exact"  # the store or the audit log has it
    AT_LEAST = (
        "at least"  # metrics.json has it: a kill or a power cut takes what the last minute added, and Prometheus sees 0
    )
    START = "since the start"
    NOW = "now"  # no counter


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `kind` is Prometheus's word, `labels` the names of its labels."""

    name: str
    kind: str
    kept: Kept
    meaning: str
    labels: tuple[str, ...] = ()


def _exact(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"actod_{name}_total", "counter", Kept.EXACT, meaning, labels)


def _counter(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"actod_{name}_total", "counter", Kept.AT_LEAST, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Metric:
    return Metric(f"actod_{name}", "gauge", Kept.NOW, meaning, labels)


def _histogram(name: str, meaning: str) -> Metric:
    return Metric(f"actod_{name}", "histogram", Kept.AT_LEAST, meaning, ("le",))


METRICS = (
    # -- the daemon
    _gauge("build_info", "1, with the versions of actod and Python", "version", "python"),
    _gauge(
        "start_time_seconds",
        "when the daemon started, in Unix time",
    ),
    _exact("starts", "starts of the daemon on this store"),
    _gauge("configuration_refused", "1 while the newest configuration is refused and an older one is in force"),
    _gauge("clock_synchronised", "1 if the kernel holds the clock to be synchronised, else 0; absent if it does not say"),
    _counter("clock_steps", "times the clock was set, or came to be synchronised"),
    _exact("audit_lines", "lines of the audit log"),
    _counter("access_denied", "callers refused at a socket (control, signer)", "where"),
    _counter("alert_failures", "alerts that no try brought to their channel"),
    # -- what stands still
    _gauge("blocked", "1 while a part (collect, disk, seal, submit) stands still for this reason", "part", "reason"),
    _gauge("blocked_seconds", "for how long a part has stood still, as far as this run knows; 0 if it does not", "part"),
    # -- collect
    _gauge("intake_state", "1 for the state that the session with the broker is in", "state"),
    _counter("messages_received", "messages from the broker whose fate is on disk: journaled, or counted as refused"),
    _exact("messages_acknowledged", "messages that are in the journal, and were acknowledged for that", "class"),
    _counter("messages_masked", "of these, messages in which anything was masked"),
    _counter("messages_refused", "messages that were refused, thinned out or missed before the journal", "reason"),
    _counter("redactions", "findings that were masked", "type"),
    _counter("losses", "messages entered in the signed loss ledger, refusals among them", "reason", "class"),
    _gauge("losses_pending", "of these, messages that no sealed bundle has carried yet", "reason"),
    _counter("limits_hit", "times a limit was hit; messages for rate and flood_brake", "limit"),
    # -- store
    _gauge("journal_messages", "messages that no bundle holds yet"),
    _gauge("journal_bytes", "their bytes"),
    _gauge("journal_oldest_seconds", "how long the oldest of them has waited"),
    _gauge("queue_bundles", "sealed bundles that wait for the collector", "class"),
    _gauge("queue_bytes", "their bytes"),
    _gauge("queue_oldest_seconds", "how long the oldest of them has waited"),
    _gauge("queue_cap_bytes", "what journal, queue and archive may take together"),
    _gauge("queue_full_seconds", "time until the cap if nothing leaves, at the pace since the start; absent at first"),
    _gauge("quarantine_bundles", "bundles that the collector will not take, set aside"),
    _gauge("archive_bundles", "confirmed bundles that are still kept"),
    _gauge("archive_bytes", "their bytes"),
    _gauge("store_file_bytes", "size of the store's file"),
    _gauge("store_answers", "0 while the disk hangs: what is told of the store is then what it said last"),
    _counter("store_waits", "times the disk refused and was waited for", "reason"),
    _counter("disk_written_bytes", "bytes that the daemon had the kernel write to disk"),
    # -- seal
    _exact("bundles_sealed", "bundles that were signed"),
    _counter("sign_failures", "attempts to seal a bundle that failed", "reason"),
    _histogram("sign_seconds", "how long sealing a bundle took, the token's part included"),
    _counter("signer_restarts", "ends of the signer process"),
    # -- submit
    _counter("bundles_submitted", "attempts to submit a bundle"),
    _exact("bundles_receipted", "bundles that the collector has confirmed"),
    _counter("submit_failures", "attempts that ended without a receipt (docs/submission.md has the reasons)", "reason"),
    _histogram("submit_seconds", "how long an attempt with a receipt took"),
    _counter(
        "authentication_failures", "attempts that the collector answered with 401, or with 403 (451 counts there)", "status"
    ),
    _counter("pin_failures", "attempts that ended since no certificate was pinned, or the pins had expired"),
    _counter("wire_bytes", "bytes to and from the collector, TLS included", "direction"),
    # -- the metrics themselves
    Metric("actod_metrics_requests_total", "counter", Kept.START, "requests for metrics, by what was answered", ("status",)),
)
BY_NAME = {metric.name: metric for metric in METRICS}


class Picture:
    """What all metrics say at one moment: {name: {label values: value}}. A histogram's buckets are cumulative."""

    def __init__(self) -> None:
        self.values: dict[str, dict[tuple[str, ...], float]] = {}

    def add(self, name: str, value: float | None, *labels: str) -> None:
        """Add a value to what is there under the labels; None: nothing is known. Raises KeyError for no metric of ours."""
        metric = BY_NAME[name]
        if value is None:
            return
        if len(labels) != len(metric.labels):
            raise KeyError(f"{name} has the labels {metric.labels}")
        values = self.values.setdefault(name, {})
        key = tuple(label if _WORD.match(label) else OTHER for label in labels)
        if key not in values and len(values) >= _MOST_LABELS:
            key = (OTHER,) * len(labels)
        values[key] = values.get(key, 0) + value

    def add_latency(self, name: str, latency: Latency) -> None:
        """Add a histogram."""
        for bound, count in zip((*map(repr, BOUNDS_SECONDS), "+Inf"), latency.cumulative(), strict=True):
            self.add(name, count, bound)
        self.add(name, round(latency.sum_seconds, 6), _SUM)

    def sums(self, name: str, label: str) -> dict[str, int]:
        """Return a counter's values by one of its labels."""
        place, sums = BY_NAME[name].labels.index(label), dict[str, int]()
        for key, value in self.values.get(name, {}).items():
            sums[key[place]] = sums.get(key[place], 0) + int(value)
        return sums


def expose(picture: Picture) -> bytes:
    """Write a picture in Prometheus's text format (version 0.0.4, UTF-8)."""
    lines: list[str] = []
    for metric in METRICS:
        values = picture.values.get(metric.name)
        if values:
            lines.append(f"# HELP {metric.name} {metric.meaning}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += _histogram_lines(metric, values) if metric.kind == "histogram" else _lines(metric, values)
    return ("\n".join(lines) + "\n").encode()


def _lines(metric: Metric, values: dict[tuple[str, ...], float]) -> Iterator[str]:
    for key, value in values.items():
        labels = ",".join(f'{name}="{word}"' for name, word in zip(metric.labels, key, strict=True))
        yield f"{metric.name}{{{labels}}} {value!r}" if labels else f"{metric.name} {value!r}"


def _histogram_lines(metric: Metric, values: dict[tuple[str, ...], float]) -> Iterator[str]:
    for (bound,), value in values.items():
        if bound != _SUM:
            yield f'{metric.name}_bucket{{le="{bound}"}} {value!r}'
    yield f"{metric.name}_sum {values[_SUM,]!r}"
    yield f"{metric.name}_count {values['+Inf',]!r}"
