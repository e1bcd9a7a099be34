"""Counters over restarts: those that neither the store nor the audit log has, in one small file.

It is written at most once a minute and at the end, whole or not at all. So after an orderly stop it is exact; after a kill
or a power cut it says less than the truth, by what the last minute added, and never more: "at least".

Prometheus takes a counter that fell for one that began at 0, and adds all of it again. So what it is told is kept apart: it
goes on after an orderly stop, since then the file has what was told last, and begins at 0 after any other end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import structlog

from actod.durable import write_whole
from actod.latency import BOUNDS_SECONDS
from actod.service.metrics import BY_NAME, METRICS, Kept, Picture

FILE = "metrics.json"
_VERSION = 1
_KEPT = tuple(metric.name for metric in METRICS if metric.kept is Kept.AT_LEAST)
_RESTLESS = "actod_disk_written_bytes_total"  # grows by writing this file: alone it is no reason to
_BETWEEN_LABELS = " "  # a label is a word

_log = structlog.get_logger(__name__)


class KeptCounters:
    """What earlier runs counted. `begin` and `save` block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before, self._told_before = Picture(), Picture()
        self._written: dict[str, Any] = {}
        try:
            kept = orjson.loads(path.read_bytes())
            if kept["v"] == _VERSION:
                same_buckets = kept["bounds_seconds"] == list(BOUNDS_SECONDS)
                self._before = _read(kept["counters"], same_buckets=same_buckets)
                self._told_before = _read(kept.get("told") or {}, same_buckets=same_buckets)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._before, self._told_before = Picture(), Picture()
            _log.warning("The counters of earlier runs cannot be read; they begin anew.", file=str(path))

    def begin(self) -> None:
        """Take back that the file has what was told last, before more is told. A disk that refuses: it begins at 0."""
        if self._told_before.values:
            try:
                self._write(_counters(self._before), None)
            except OSError:
                self._told_before = Picture()

    def complete(self, picture: Picture) -> Picture:
        """Return what this run counted with what the runs before did, as far as that is known."""
        return _sum(picture, self._before)

    def told(self, picture: Picture) -> Picture:
        """Return what Prometheus is told: a counter that never falls but to begin again."""
        return _sum(picture, self._told_before)

    def save(self, picture: Picture, *, last: bool = False) -> None:
        """Write the counters if they changed, given what this run counted; `last`: with what was told. Raises OSError."""
        counters = _counters(self.complete(picture))
        if last:
            self._write(counters, _counters(self.told(picture)))
        elif {**counters, _RESTLESS: None} != {**self._written, _RESTLESS: None}:
            self._write(counters, None)

    def _write(self, counters: dict[str, Any], told: dict[str, Any] | None) -> None:
        text = {"v": _VERSION, "bounds_seconds": BOUNDS_SECONDS, "counters": counters, "told": told}
        write_whole(self._path, orjson.dumps(text))
        self._written = counters


def _counters(picture: Picture) -> dict[str, dict[str, float]]:
    return {
        name: {_BETWEEN_LABELS.join(labels): value for labels, value in picture.values[name].items() if value}
        for name in _KEPT
        if name in picture.values
    }


def _sum(one: Picture, other: Picture) -> Picture:
    sums = Picture()
    for picture in (one, other):
        for name, values in picture.values.items():
            for labels, value in values.items():
                sums.add(name, value, *labels)
    return sums


def _read(counters: dict[str, dict[str, Any]], *, same_buckets: bool) -> Picture:
    """Return counters as they were written. Raises ValueError and its like."""
    picture = Picture()
    for name in _KEPT:
        if BY_NAME[name].kind == "histogram" and not same_buckets:
            continue
        for labels, value in counters.get(name, {}).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                raise ValueError("a counter is a number")
            words = labels.split(_BETWEEN_LABELS) if labels else []
            if len(words) == len(BY_NAME[name].labels):  # else an older version's
                picture.add(name, value, *words)
    return picture
