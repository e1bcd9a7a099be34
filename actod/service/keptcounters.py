"""Counters over restarts: those that neither the store nor the audit log has, in one small file.

It is written at most once a minute and at the end, whole or not at all. So after an orderly stop it is exact; after a kill
or a power cut it says less than the truth, by what the last minute added, and never more: "at least".
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
    """What earlier runs counted. `save` blocks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = Picture()
        self._written: dict[str, Any] = {}
        try:
            kept = orjson.loads(path.read_bytes())
            if kept["v"] == _VERSION:
                self._read(kept["counters"], same_buckets=kept["bounds_seconds"] == list(BOUNDS_SECONDS))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._before = Picture()
            _log.warning("The counters of earlier runs cannot be read; they begin anew.", file=str(path))

    def _read(self, counters: dict[str, dict[str, Any]], *, same_buckets: bool) -> None:
        for name in _KEPT:
            if BY_NAME[name].kind == "histogram" and not same_buckets:
                continue
            for labels, value in counters.get(name, {}).items():
                if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
                    raise ValueError("a counter is a number")
                words = labels.split(_BETWEEN_LABELS) if labels else []
                if len(words) == len(BY_NAME[name].labels):  # else an older version's
                    self._before.add(name, value, *words)

    def complete(self, picture: Picture) -> Picture:
        """Add to what this run counted what the runs before did."""
        for name, values in self._before.values.items():
            for labels, value in values.items():
                picture.add(name, value, *labels)
        return picture

    def save(self, picture: Picture) -> None:
        """Write a complete picture's counters, if they changed. Raises OSError."""
        counters = {
            name: {_BETWEEN_LABELS.join(labels): value for labels, value in picture.values[name].items() if value}
            for name in _KEPT
            if name in picture.values
        }
        if {**counters, _RESTLESS: None} != {**self._written, _RESTLESS: None}:
            write_whole(self._path, orjson.dumps({"v": _VERSION, "bounds_seconds": BOUNDS_SECONDS, "counters": counters}))
            self._written = counters
